"""No page draws what came from outside as Markdown or HTML: names, notes, titles, addresses."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.navigation import PAGES
from app.page.gradients import measure as gradients_work
from app.page.latent import link
from app.page.retina import attack
from app.page.robustness.report import report_html
from app.ui import measure
from app.ui.plain import in_html, in_markdown
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.config.attack_run import AttackRun
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationPlan, run_evaluation
from robust_core.evaluation_runs.subjects import version_of
from robust_core.training.directory import RunDirectory, RunStatus
from tests.app.marked_up import ALL, NAME, make_home, marked_up
from tests.app.page_driver import check, labels, open_view, press
from tests.pretended import pretend_processes
from tests.shelves import use_only
from tests.training.conftest import tiny_config

MODEL, RETINA = f"{NAME} small_cnn", f"{NAME} retinotopic"
STEP = {"attack": "pgd", "num_steps": 1}
BUTTONS = {
    "attack": "Run attack",
    "compare": "Run attack on all",
    "latent": "Map the features",
    "hard_pairs": "Run attack",
}
VIEWS = {
    ("hard_pairs", "hard_pairs.view"): (
        "Pairs",
        "Where they go",
        "Similarity",
        "Gradient",
        "Self-paced loss",
        "Two models",
    ),
    ("latent", "latent.tabs"): ("Along the path", "Discriminator"),
}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUST_DATA", str(root))
        use_only(root, patch)
        pretend_processes(patch)
        patch.setattr("app.ui.models.seconds_per_pass", lambda info, batch_size=1: 0.00001)
        patch.setattr(link.IMAGES, "low", 10)
        patch.setattr(gradients_work, "MORPH_STEPS", 1)
        patch.setattr(gradients_work, "DRAW_STEPS", 1)
        patch.setattr(attack, "NUM_STEPS", 1)
        make_home(root)
        yield root
    measure._results.clear()


@pytest.mark.slow
@pytest.mark.parametrize("view", ["attack", "compare", "latent", "hard_pairs"])
def test_names_are_no_markup_on_the_page(view):
    query = {"model": MODEL, "with": RETINA, **STEP}
    if view == "hard_pairs":
        query |= {"num_images": 20}
    page = open_view(view, query, timeout=60)
    if BUTTONS[view] in labels(page):
        press(page, BUTTONS[view])
    assert "zq" in str(page)
    assert marked_up(page) == []
    for (of, key), views in VIEWS.items():
        for one in views if of == view else ():
            page.session_state[key] = one
            assert marked_up(check(page.run())) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "view", ["classes", "targets", "alignment", "morph", "attribution", "synthesis"]
)
def test_names_are_no_markup_among_the_gradients(view):
    page = open_view("gradients", {"model": MODEL, "with": RETINA, "view": view}, timeout=60)
    for label in ("Measure alignment", "Measure all models", "Morph", "Explain", "Generate"):
        if label in labels(page):
            press(page, label)
    assert marked_up(page) == []


@pytest.mark.slow
def test_names_are_no_markup_on_the_retina():
    page = open_view("retina", {"model": RETINA}, timeout=60)
    if page.toggle:  # predict at every change
        check(page.toggle[0].set_value(True).run())
    press(page, "Attack this image")
    assert marked_up(page) == []


@pytest.mark.parametrize("view", PAGES)
def test_an_address_puts_nothing_into_a_page(view):
    parts = ("model", "attack", "image", "run", "view", "tour", "data", "method", "evaluation", ALL)
    page = open_view(view, dict.fromkeys(parts, ALL))
    assert marked_up(page) == []
    assert page.warning or view == "start"  # which has no state


def test_models_and_runs_are_named_as_they_are_called():
    run = RunDirectory.create(tiny_config(title=ALL[:90]))
    for status in (
        RunStatus("failed", error=ALL, note=ALL, num_epochs=3),
        RunStatus("finished", note=ALL, num_epochs=3),
    ):
        run.write_status(status)
        for view in ("train", "start"):
            assert marked_up(open_view(view, {"run": run.run_id} if view == "train" else {})) == []


@pytest.fixture(scope="module")
def evaluation() -> EvaluationDirectory:
    plan = EvaluationPlan(
        checkpoints=(MODEL,),
        attacks=(
            AttackRun(name="fgsm", parameters={}),
            AttackRun(name="fgsm", parameters={"epsilon": 0.2}, surrogate=RETINA),
        ),
        num_images=20,
        title=ALL[:90],
    )
    run = run_evaluation(plan)
    clean = run.results().checkpoints[0]
    finding = {"name": "converged", "severity": "warn", "value": 0.2, "threshold": 0.02}
    checks = [finding | {"sentence": ALL, "advice": ALL}]
    version = version_of(checkpoint_info(clean.name), plan)
    run.write_unit("0-reliability-0-0", {"version": version, "findings": checks, "seconds": 1.0})
    return run


def test_names_are_no_markup_in_an_evaluation(evaluation):
    page = open_view("robustness", {"evaluation": evaluation.run_id})
    assert len(page.dataframe) == 1
    assert marked_up(page) == []


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_names_are_no_markup_in_the_report(evaluation):
    tags = Tags()
    report = report_html(evaluation.results(), ALL)
    tags.feed(report)
    assert not {"a", "b", "img"} & {tag for tag, _ in tags.found}
    assert report.count("&lt;b&gt;zq&lt;/b&gt;") > 3


def test_text_without_markup_stays_as_it_is():
    for text in (
        "digits-pgd_at",
        "T-shirt/top",
        "epsilon must be 0.1, got 8 (did you mean 8/255?)",
    ):
        assert in_markdown(text) == text
        assert in_html(text) == text
