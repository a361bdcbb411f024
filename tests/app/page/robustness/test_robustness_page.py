"""What the page Robustness shows of evaluations: finished, running, failed and damaged."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.page.robustness.misclassified import choose_misclassified
from app.page.robustness.report import report_html
from app.page.robustness.report_pictures import broken_images
from app.page.robustness.reproduction import reproduce_attack
from app.page.robustness.rows import (
    LOWEST,
    NOT_CHECKED,
    NOT_YET,
    TRANSFER,
    WEAK,
    result_rows,
)
from app.ui.accuracy_charts import CURVE_TITLES
from app.ui.finding_words import SEVERITY_WORDS
from app.ui.image_picker import ChosenImage
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import checkpoint_info, load_model
from robust_core.config.attack_run import AttackRun
from robust_core.data import load_data
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Severity
from robust_core.evaluation_runs import (
    EvaluationDirectory,
    EvaluationPlan,
    EvaluationStatus,
    run_evaluation,
)
from robust_core.evaluation_runs.subjects import version_of
from robust_core.paths import REPOSITORY
from tests.app.page.robustness.examples import (
    BALL,
    MODEL,
    PLAN,
    open_page,
    remove_all,
    the_only_run,
    use_folder,
)
from tests.app.page_driver import check, labels, press, said
from tests.pretended import end_processes, hold
from tests.shelves import use_only

WARNING = f"⚠ {SEVERITY_WORDS[Severity.WARN]}"
EPSILON = CURVE_TITLES["epsilon"]
FINDINGS = [
    {
        "name": "converged",
        "severity": "warn",
        "value": 0.25,
        "threshold": 0.02,
        "sentence": "More steps break more images <b>.",
        "advice": "Take more steps.",
    },
    {
        "name": "logits",
        "severity": "ok",
        "value": 0.0,
        "threshold": 0.5,
        "sentence": "The outputs are finite logits.",
        "advice": "",
    },
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A checkpoint folder with one finished evaluation, whose first attack was checked."""
    root = tmp_path_factory.mktemp("checkpoints")
    shutil.copytree(REPOSITORY / "checkpoints" / "pretrained", root / "pretrained")
    with pytest.MonkeyPatch.context() as patch:
        use_only(root, patch)
        run = run_evaluation(PLAN)
        version = version_of(checkpoint_info(MODEL), PLAN)
        run.write_unit(
            "0-reliability-0-0", {"version": version, "findings": FINDINGS, "seconds": 1.0}
        )
        yield root, run.run_id


@pytest.fixture(autouse=True)
def checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: tuple[Path, str]
) -> None:
    """A copy of the finished evaluation and of the shipped checkpoints for each test."""
    root = tmp_path / "checkpoints"
    shutil.copytree(finished[0], root)
    use_folder(root, monkeypatch)


@pytest.mark.slow
def test_without_an_evaluation_the_page_says_how_to_begin() -> None:
    remove_all()
    page = open_page()
    assert "No evaluation yet" in said(page)
    assert not page.error
    assert "Cost: at most" in said(page)


@pytest.mark.slow
def test_without_a_checkpoint_the_page_says_so() -> None:
    remove_all()
    shutil.rmtree(Path(os.environ["ROBUST_CHECKPOINTS"]) / "pretrained")
    page = open_page()
    assert "no checkpoint yet" in said(page)
    assert labels(page) == []


def test_a_finished_evaluation_shows_every_number_with_attack_and_images() -> None:
    page = open_page()
    (result,) = the_only_run().results().checkpoints
    table = page.dataframe[0].value.to_dict("list")
    assert table["Attack"] == [
        "None (clean accuracy)",
        "FGSM",
        "PGD-5",
        "Square, 3 queries",
        LOWEST,
    ]
    for place, row in enumerate(result_rows(result)):
        low, high = (100 * bound for bound in row.interval)
        expected = f"{100 * row.accuracy:.1f}\u00a0%\u00a0({low:.0f}–\u2060{high:.0f})"
        assert table["Accuracy"][place] == f"{expected} {row.num_correct}\u00a0of\u00a012"
    assert set(table["Threat model"][1:]) == {"Linf 25.5/255"}
    assert table["Steps / queries"][2] == "5 steps"
    assert table["Checks"][1:3] == [WARNING, NOT_CHECKED]
    assert table["Checks"][3] == WEAK  # three queries do nothing where five steps do much


def test_a_number_whose_checks_are_to_come_says_so() -> None:
    (result,) = the_only_run().results().checkpoints
    rows = {
        row.label: row for row in result_rows(result, pending=[one.label for one in result.attacks])
    }
    assert rows["fgsm"].checks == WARNING
    assert rows["pgd"].checks == NOT_YET


@pytest.mark.slow
def test_the_findings_are_shown_in_full() -> None:
    text = said(open_page())
    assert "More steps break more images" in text
    assert "Take more steps." in text
    assert "The outputs are finite logits." in text


@pytest.mark.slow
def test_the_misclassified_images_lead_to_the_attack_page() -> None:
    page = open_page()
    run = the_only_run()
    (result,) = run.results().checkpoints
    key = f"robustness.misclassified.{run.run_id}"
    page.selectbox(key=key).select((MODEL, "pgd"))
    check(page.run())
    places = result.fooled_by("pgd").tolist()
    assert places
    expected = [f"Attack {int(result.index[place])}" for place in places]
    assert opening(page) == expected
    press(page, expected[0])
    assert page.query_params["model"] in (MODEL, [MODEL])
    assert page.query_params["num_steps"] in ("5", ["5"])
    (warning,) = page.warning
    assert "PGD fools the standard model" in str(warning.value)


def opening(page: AppTest) -> list[str]:
    """The buttons that lead to the attack page."""
    return [label for label in labels(page) if label.startswith("Attack ")]


@pytest.mark.slow
def test_a_success_that_depends_on_its_batch_is_reproduced_or_reported_as_lost() -> None:
    info = checkpoint_info(MODEL)
    images = load_data("digits").subset(slice(64))
    attack = create_attack("pgd", **BALL | {"epsilon": 0.06}, num_steps=1, seed=11)
    report = evaluate(load_model(MODEL), images.x, images.y, attack, batch_size=16)
    places = torch.where(report.clean_correct & ~report.robust_correct)[0].tolist()
    again = 0
    for place in places:
        image = ChosenImage(images.x[place], int(images.y[place]), images.image_id(place))
        found = reproduce_attack(info, image, attack, place // 16)
        if found is not None:
            own = evaluate(load_model(MODEL), image.x[None], images.y[place, None], found)
            assert own.robust_accuracy == 0.0
            again += 1
    assert again > 4
    robust = int(torch.where(report.robust_correct)[0][0])
    image = ChosenImage(images.x[robust], int(images.y[robust]), None)
    nothing = create_attack("fgsm", **BALL | {"epsilon": 0.001})
    assert reproduce_attack(info, image, nothing, 0) is None


@pytest.mark.slow
def test_many_misclassified_images_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.page.robustness.misclassified.PER_PAGE", 2)
    page = open_page()
    (result,) = the_only_run().results().checkpoints
    key = f"robustness.misclassified.{the_only_run().run_id}"
    places = result.fooled_by("fgsm").tolist()
    assert len(places) > 2
    page.number_input(key=f"{key}.{MODEL}.fgsm.page").set_value(2)
    check(page.run())
    assert opening(page) == [f"Attack {int(result.index[place])}" for place in places[2:4]]
    page.selectbox(key=key).select((MODEL, "square"))  # nothing is broken, no page 2
    assert not opening(check(page.run()))


@pytest.mark.slow
def test_curves_of_two_norms_have_two_axes() -> None:
    def attack(norm: str) -> AttackRun:
        return AttackRun(name="fgsm", parameters={"norm": norm, "epsilon": 0.1})

    remove_all()
    attacks = (attack("Linf"), attack("L2"))
    run_evaluation(
        EvaluationPlan(checkpoints=(MODEL,), attacks=attacks, num_images=2, curves=PLAN.curves[:1])
    )
    charts = [json.loads(one.proto.spec) for one in open_page().get("plotly_chart")]
    titles = [chart["layout"]["xaxis"]["title"]["text"] for chart in charts]
    assert titles == [f"{EPSILON} (Linf, n/255)", f"{EPSILON} (L2, pixel units)"]
    assert [chart["data"][0]["x"][-1] for chart in charts] == [25.5, 0.1]


@pytest.mark.slow
def test_the_parameter_of_the_curves_can_be_chosen() -> None:
    page = open_page()
    (chart,) = page.get("plotly_chart")
    assert json.loads(chart.proto.spec)["layout"]["xaxis"]["title"]["text"].startswith(EPSILON)
    control = next(one for one in page.button_group if one.label == "Parameter")
    control.set_value("num_steps")
    (chart,) = check(page.run()).get("plotly_chart")
    spec = json.loads(chart.proto.spec)
    assert spec["layout"]["xaxis"]["title"]["text"] == CURVE_TITLES["num_steps"]
    (line,) = spec["data"]  # neither FGSM nor Square takes a number of steps
    assert line["name"] == "pgd"
    assert line["error_y"]["array"]


REPORTED = AttackRun(
    name="pgd", parameters=BALL | {"num_steps": 5}, surrogate="digits-pgd_at", role="claim"
)


@pytest.mark.slow
def test_an_accuracy_as_reported_is_shown_beside_the_lowest_measured() -> None:
    remove_all()
    plan = EvaluationPlan(checkpoints=(MODEL,), attacks=(REPORTED, PLAN.attacks[1]), num_images=12)
    run = run_evaluation(plan)
    page = open_page()
    table = page.dataframe[0].value.to_dict("list")
    transferred, direct = table["Attack"][1:3]
    assert transferred.endswith("computed on digits-pgd_at") and "computed" not in direct
    assert table["Checks"][1] == TRANSFER
    (result,) = run.results().checkpoints
    reported, lowest = (one.report.robust_accuracy for one in result.attacks)
    assert lowest < reported
    text = said(page)
    assert f"{100 * reported:.0f}\u00a0% as reported, at most {100 * lowest:.0f}\u00a0%" in text


@pytest.mark.slow
def test_a_selected_row_chooses_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = the_only_run().results().checkpoints
    state: dict[str, object] = {}
    monkeypatch.setattr("streamlit.session_state", state)
    rows = result_rows(result)
    choose_misclassified(rows, {"selection": {"rows": [2]}}, "some")
    assert state == {"robustness.misclassified.some": (MODEL, "pgd")}
    choose_misclassified(rows, {"selection": {"rows": [0]}}, "some")  # clean accuracy has no attack
    assert state == {"robustness.misclassified.some": (MODEL, "pgd")}


@pytest.mark.slow
def test_images_of_a_model_that_changed_are_listed_without_pictures() -> None:
    pretrained = Path(os.environ["ROBUST_CHECKPOINTS"]) / "pretrained"
    shutil.copy(pretrained / "digits-trades.safetensors", pretrained / f"{MODEL}.safetensors")
    page = open_page()
    assert "changed or removed" in said(page)
    assert not opening(page)


@pytest.mark.parametrize("value", ["gone", "../../etc", ""])
@pytest.mark.slow
def test_an_unknown_id_in_the_address_is_one_sentence(value: str) -> None:
    page = open_page(evaluation=value)
    (warning,) = page.warning
    assert str(warning.value).count("The link cannot be followed in full") == 1
    assert page.dataframe  # the newest is shown instead


@pytest.mark.slow
def test_cancel_asks_the_process_to_stop() -> None:
    remove_all()
    run = EvaluationDirectory.create(PLAN)
    run.write_status(
        EvaluationStatus("running", 0.4, MODEL, "pgd", seconds_left=30.0, phase="attack")
    )
    hold(run)
    page = press(open_page(), "Cancel")
    assert run.stop_requested()
    assert "Stopping …" in labels(page)
    assert "stopping" in said(page)
    bar = page.get("progress")[0].proto
    assert "about 30.0 s left" in bar.text
    assert bar.value == 40


@pytest.mark.slow
def test_a_lost_evaluation_can_be_resumed_and_deleted() -> None:
    remove_all()
    run = EvaluationDirectory.create(PLAN)
    run.write_status(EvaluationStatus("running", 0.4))
    page = open_page()
    assert "process is gone" in said(page)
    page = press(page, "Resume")
    assert run.status().state == "starting"
    end_processes()
    run.write_status(EvaluationStatus("stopped", 0.4))
    page = press(open_page(), "Yes, delete it")
    assert not run.path.exists()
    assert "No evaluation yet" in said(page)


@pytest.mark.slow
def test_a_failed_and_a_damaged_evaluation_say_why() -> None:
    run = the_only_run()
    run.write_status(EvaluationStatus("failed", error="the disk is full"))
    assert "The disk is full." in [str(error.value) for error in open_page().error]
    run.write_status(EvaluationStatus("finished"))
    assert "cannot be read" not in said(open_page())
    (run.path / "units" / "0-attack-0-0.json").unlink()
    assert "cannot be read" in said(open_page())
    (run.path / "plan.json").write_text("{")
    page = open_page()
    assert "plan.json is missing or damaged." in [str(error.value) for error in page.error]
    assert "Yes, delete it" in labels(page)


@pytest.mark.slow
def test_the_report_is_self_contained_and_escapes_what_it_shows() -> None:
    results = the_only_run().results()
    text = report_html(results, "my <run>")
    assert "my &lt;run&gt;" in text
    assert "images &lt;b&gt;." in text
    for outside in ("<script", "src=", "href=", "@import", "url("):
        assert outside not in text
    for row in result_rows(results.checkpoints[0]):
        assert f"{100 * row.accuracy:.1f}\u00a0%" in text


@pytest.mark.slow
def test_the_report_begins_with_the_verdict_and_has_all_that_a_reviewer_asks_for() -> None:
    results = the_only_run().results()
    (result,) = results.checkpoints
    pictures = broken_images(results.plan, result)
    assert len(pictures) == 3
    assert all(one.clean.startswith("data:image/png;base64,") for one in pictures)
    assert any(one.adversarial not in ("", one.clean) for one in pictures)
    infos = {MODEL: checkpoint_info(MODEL)}
    text = report_html(results, "run", infos=infos, pictures={MODEL: pictures})
    marks = (result.headline()[:8], "<table>", "<svg", "<img src=", "Model card", "torch", "Plan")
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert (
        text.count("<polyline") == 4
    )  # epsilon of two attacks, steps of one, and Square's epsilon
    assert result.digest in text and "small_cnn" in text
    assert "checks passed</summary>" in text or "check passed</summary>" in text
    plan = text.partition("<h2>Plan")[2]
    assert "parameter epsilon; values 0.0, 0.05, 0.1" in plan and "{" not in plan
