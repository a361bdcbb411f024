import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.navigation import page_script
from app.page.train import form
from robust_core import jobs
from robust_core.checkpoints.card import Card, versions
from robust_core.checkpoints.catalog import save_checkpoint
from robust_core.config.presets import preset
from robust_core.config.run import RunConfig
from robust_core.evaluation.chance import learning_warning
from robust_core.methods import list_methods
from robust_core.models.base import create_model
from robust_core.training.directory import RunDirectory, RunStatus
from robust_core.training.metrics import EpochMetrics
from tests.app.page_driver import check, labels, open_view, press, said
from tests.pretended import end_processes, hold, pretend_processes
from tests.shelves import use_only

FORM = "train.form.digits.pgd_at.quick"
NAMES = tuple("0123456789")


@pytest.fixture(autouse=True)
def no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs live in a folder of the test's own and never get a process."""
    use_only(tmp_path, monkeypatch)
    pretend_processes(monkeypatch)
    monkeypatch.setattr("app.ui.job_controls.DOUBLE_CLICK", 0.0)


def open_page(**query: str) -> AppTest:
    return open_view("train", query)


def make_run(
    status: RunStatus, *, num_epochs_done: int = 0, title: str = "", killed: bool = False
) -> RunDirectory:
    """A run that seems to have a process where its status says so, unless it was killed."""
    run = RunDirectory.create(preset("digits", "pgd_at").model_copy(update={"title": title}))
    run.write_metrics(
        [
            EpochMetrics(
                epoch=epoch,
                terms={"adversarial_cross_entropy": 2.0 / epoch},
                clean_accuracy=1 - 0.5 / epoch,
                robust_accuracy=0.8 - 0.5 / epoch,
                num_images=180,
                learning_rate=0.01,
                seconds=2.0,
            )
            for epoch in range(1, num_epochs_done + 1)
        ]
    )
    run.write_status(replace(status, epoch=num_epochs_done, num_epochs=30))
    if status.active and not killed:
        hold(run)
    return run


def give_model(path: Path, config: RunConfig, clean_accuracy: float = 0.975) -> None:
    model = create_model("small_cnn", (1, 32, 32), 10)
    attack, robust = config.test_attack(), min(0.8, clean_accuracy)
    card = {
        "split": "test",
        "num_images": 360,
        "clean_accuracy": clean_accuracy,
        "clean_interval": [clean_accuracy - 0.02, clean_accuracy + 0.01],
        "robust": [
            {
                "attack": {"name": attack.name, "parameters": attack.model_dump(mode="json")},
                "accuracy": robust,
                "interval": [robust - 0.04, robust + 0.04],
                "num_images": 360,
            }
        ],
        "epoch": 30,
        "seed": 0,
        "versions": versions(),
    }
    save_checkpoint(path, model, config=config, class_names=NAMES, epoch=30, card=Card.create(card))


def test_the_three_choices_alone_start_the_quick_preset() -> None:
    page = press(open_page(), "Start training")
    (run,) = jobs.summaries(RunDirectory)
    expected = preset("digits", "pgd_at", "quick").model_copy(update={"title": ""})
    assert jobs.find(RunDirectory, run.run_id).config() == expected
    assert page.query_params["run"] == run.run_id
    assert "Stop" in labels(page)


def test_the_switches_of_published_networks_are_asked_for_and_reach_the_run() -> None:
    page = open_page(data="shapes", method="trades", budget="paper")
    key = "train.form.shapes.trades.paper"
    check(page.selectbox(key=f"{key}.network").set_value("wide_resnet").run())
    (more,) = [part for part in page.expander if part.label == "More settings"]
    own = f"{key}.wide_resnet.Architecture settings"
    asked = {widget.key for kind in ("text_input", "checkbox") for widget in more.get(kind)}
    assert asked == {f"{own}.mean", f"{own}.std", f"{own}.per_image"}
    page.text_input(key=f"{own}.mean").set_value("0.4, 0.5, 0.6")
    page.selectbox(key=f"{own}.activation").set_value("silu")
    press(check(page.run()), "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    found = {name: config.model.parameters[name] for name in ("mean", "std", "activation")}
    assert found == {"mean": [0.4, 0.5, 0.6], "std": [0.5], "activation": "silu"}


def test_every_setting_reaches_the_run() -> None:
    page = open_page(data="shapes", method="trades", budget="paper")
    key = "train.form.shapes.trades.paper"
    check(page.selectbox(key=f"{key}.network").set_value("small_cnn").run())
    page.text_input(key=f"{key}.run.title").set_value("my run")
    page.number_input(key=f"{key}.run.epochs").set_value(3)
    page.number_input(key=f"{key}.run.seed").set_value(7)
    page.number_input(key=f"{key}.small_cnn.Architecture settings.width").set_value(8)
    page.number_input(key=f"{key}.trades.Method.beta").set_value(2.5)
    page.segmented_control(key=f"{key}.Optimiser.name").set_value("adam")
    page.selectbox(key=f"{key}.Learning rate schedule.name").set_value("cosine")
    page.number_input(key=f"{key}.shapes.Data.confounding").set_value(0.5)
    page.number_input(key=f"{key}.Data split.seed").set_value(9)
    page.checkbox(key=f"{key}.Evaluation.num_images.automatic").check()
    page.segmented_control(key=f"{key}.run.precision").set_value("float32")
    page.checkbox(key=f"{key}.run.ema_decay.automatic").uncheck()
    press(check(page.run()), "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    assert (config.title, config.epochs, config.seed) == ("my run", 3, 7)
    assert (config.model.name, config.model.parameters["width"]) == ("small_cnn", 8)
    assert (config.method.name, config.method.parameters["beta"]) == ("trades", 2.5)
    assert (config.optimiser.name, config.schedule.name) == ("adam", "cosine")
    assert config.data.parameters["confounding"] == 0.5
    assert config.data.seed == 9
    assert config.evaluation.num_images is None
    assert config.precision == "float32"
    assert config.ema_decay is not None


@pytest.mark.slow
@pytest.mark.parametrize("method", list_methods())
@pytest.mark.parametrize("budget", ["quick", "paper"])
def test_every_method_and_preset_has_a_form_that_gives_the_preset(method: str, budget: str) -> None:
    press(open_page(method=method, budget=budget), "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    expected = preset("digits", method, budget)
    assert config.model_dump(exclude={"title"}) == expected.model_dump(exclude={"title"})


def test_an_option_chosen_in_the_form_changes_what_is_started() -> None:
    page = open_page(method="trades")
    check(page.segmented_control(key=form.OPTION.key).set_value("awp").run())
    press(page, "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    assert config.method.parameters["awp_gamma"] == 0.005


def test_an_option_of_a_method_is_in_the_form_and_the_link() -> None:
    page = open_page(method="trades", option="he")
    check(page.segmented_control(key=form.OPTION.key).set_value("awp").run())
    check(page.selectbox(key=form.METHOD.key).set_value("atld").run())
    assert not [one for one in page.segmented_control if one.key == form.OPTION.key]
    check(page.selectbox(key=form.METHOD.key).set_value("trades").run())
    check(page.segmented_control(key=form.OPTION.key).set_value("he").run())
    press(page, "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    expected = preset("digits", "trades", "quick", "he")
    assert config.model_dump(exclude={"title"}) == expected.model_dump(exclude={"title"})


def test_a_setting_that_cannot_be_used_is_one_sentence_and_nothing_is_lost() -> None:
    page = open_page()
    page.number_input(key=f"{FORM}.run.epochs").set_value(5)
    page.text_input(key=f"{FORM}.Learning rate schedule.milestones").set_value("0.5, soon")
    check(page.run())
    assert "milestones" in said(page).lower()
    assert next(button for button in page.button if button.label == "Start training").disabled
    assert page.number_input(key=f"{FORM}.run.epochs").value == 5
    check(page.text_input(key=f"{FORM}.Learning rate schedule.milestones").set_value("0.5").run())
    press(page, "Start training")
    assert jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config().epochs == 5


def test_the_form_survives_a_visit_to_another_page_and_another_preset() -> None:
    page = open_page()
    check(page.number_input(key=f"{FORM}.run.epochs").set_value(5).run())
    check(page.selectbox(key=form.METHOD.key).set_value("trades").run())
    check(page.selectbox(key=form.METHOD.key).set_value("pgd_at").run())
    check(page.switch_page(page_script("attack")).run())
    check(page.switch_page(page_script("train")).run())
    assert check(page).number_input(key=f"{FORM}.run.epochs").value == 5


def test_a_third_run_waits_and_an_eleventh_is_refused_in_one_sentence() -> None:
    page = open_page()
    for _ in range(3):
        press(page, "Start training")
    assert "Waits for a free place, 0 before you" in said(page)
    for _ in range(7):
        jobs.start(preset("digits", "pgd_at"))
    press(page, "Start training")
    assert len(jobs.summaries(RunDirectory)) == 10
    assert len(page.error) == 1
    assert "At most 2 runs may be active at once and 8 wait" in page.error[0].value


def test_a_double_click_starts_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ui.job_controls.DOUBLE_CLICK", 60.0)
    page = press(open_page(), "Start training")
    press(page, "Start training")
    assert len(jobs.summaries(RunDirectory)) == 1


def test_a_running_run_shows_progress_numbers_and_the_attack_behind_them() -> None:
    run = make_run(
        RunStatus("running", step=300, num_steps=600, seconds_left=42.0, phase="training"),
        num_epochs_done=10,
    )
    page = open_page()
    assert "Stop" in labels(page)
    assert [metric.value for metric in page.metric] == ["95 %", "75 %", "10"]
    words = said(page)
    assert "180 validation images" in words
    assert "PGD-10, Linf 25.5/255" in words
    assert len(page.get("plotly_chart")) == 2
    progress = page.get("progress")[0].proto
    assert progress.value == 50
    assert "about 42 s left" in progress.text
    press(page, "Stop")
    assert run.stop_requested()
    assert "Stopping …" in labels(page)


def test_a_lost_run_says_so_and_can_be_resumed() -> None:
    run = make_run(RunStatus("running"), num_epochs_done=2, killed=True)
    page = open_page()
    assert "process is gone" in page.warning[0].value
    press(page, "Resume")
    assert run.status().state == "starting"
    assert "Stop" in labels(page)


def test_a_run_that_hangs_is_told_from_one_that_works() -> None:
    run = make_run(RunStatus("running"), num_epochs_done=2)
    assert not open_page().warning
    os.utime(run.path / "heartbeat", (time.time() - 1000, time.time() - 1000))
    page = open_page()
    assert "Running, not responding since" in page.warning[0].value
    assert "Stop" in labels(page) and "Resume" not in labels(page)


def test_a_run_that_waits_says_how_many_are_before_it_and_can_leave() -> None:
    for _ in range(3):
        jobs.start(preset("digits", "pgd_at"))
    last = jobs.start(preset("digits", "pgd_at"))
    page = open_page(run=last)
    assert "Waits for a free place, 1 before you" in said(page)
    assert "Resume" not in labels(page) and "Stop" not in labels(page)
    press(page, "Yes, delete it")
    states = [run.status.state for run in jobs.summaries(RunDirectory)]
    assert sorted(states) == ["queued", "starting", "starting"]
    end_processes()
    open_page()  # whoever looks keeps the queue going
    states = [run.status.state for run in jobs.summaries(RunDirectory)]
    assert sorted(states) == ["lost", "lost", "starting"]


def test_a_failed_run_says_why() -> None:
    make_run(RunStatus("failed", error="the disk is full"))
    page = open_page()
    assert [error.value for error in page.error] == ["The disk is full."]
    assert "Resume" in labels(page)


def test_states_are_words_and_icons() -> None:
    for state in ("finished", "stopped", "failed"):
        make_run(RunStatus(state), title=state.upper())
    (radio,) = open_page().radio
    assert len(radio.options) == 3
    assert len({option.split("[")[1].split("]")[0] for option in radio.options}) == 3
    assert sorted(caption.split(",")[0] for caption in radio.proto.captions) == [
        "failed",
        "finished",
        "stopped",
    ]


def test_the_address_names_the_run_and_a_click_changes_it() -> None:
    first = make_run(RunStatus("stopped"), num_epochs_done=1, title="first")
    second = make_run(RunStatus("stopped"), num_epochs_done=1, title="second")
    page = open_page(run=first.run_id)
    assert page.radio[0].value == first.run_id
    check(page.radio[0].set_value(second.run_id).run())
    assert page.query_params["run"] == second.run_id
    assert "second" in [header.value for header in page.subheader]


def test_delete_asks_first_then_removes_the_run() -> None:
    kept = make_run(RunStatus("finished"), num_epochs_done=1, title="kept")
    gone = make_run(RunStatus("finished"), num_epochs_done=1, title="gone")
    page = open_page(run=gone.run_id)
    assert "Permanently delete this run" in said(page)
    press(page, "Yes, delete it")
    assert [run.run_id for run in jobs.summaries(RunDirectory)] == [kept.run_id]
    assert "run" not in page.query_params
    assert "kept" in [header.value for header in page.subheader]


def test_an_active_run_cannot_be_deleted() -> None:
    make_run(RunStatus("running"), num_epochs_done=1)
    assert "Yes, delete it" not in labels(open_page())


def test_a_finished_run_shows_its_card_and_leads_to_the_attack_page() -> None:
    run = make_run(RunStatus("finished"), num_epochs_done=30)
    give_model(run.best, run.config())
    page = open_page()
    assert "**80 %** as reported, under PGD-50, 5 restarts, Linf 25.5/255" in page.success[0].value
    link = next(link for link in page.get("page_link") if link.proto.label == "Attack this model")
    assert f"model=runs%2F{run.run_id}" in link.proto.query_string


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("run", "../../etc", "unknown run"),
        ("data", "mnis", "did you mean 'mnist'"),
        ("method", "x" * 5000, "unknown method"),
        ("budget", "huge", "unknown budget"),
        ("colour", "red", "unknown part of the address"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(
    name: str, value: str, expected: str
) -> None:
    page = open_page(**{name: value})
    (warning,) = page.warning
    assert expected in warning.value
    assert len(warning.value) < 600
    assert "Start training" in labels(page)


def test_a_damaged_run_is_listed_and_can_be_deleted() -> None:
    run = make_run(RunStatus("finished"), num_epochs_done=3)
    (run.path / "config.json").write_text("{")
    page = open_page()
    assert "config.json" in said(page)
    press(page, "Yes, delete it")
    assert jobs.summaries(RunDirectory) == []


def test_a_lower_bound_of_the_loss_is_shown() -> None:
    run = make_run(RunStatus("finished"), num_epochs_done=2)
    records = run.metrics()
    assert "has a lower bound" not in said(open_page())
    run.write_metrics(
        [one.model_copy(update={"floors": {"adversarial_cross_entropy": 0.75}}) for one in records]
    )
    assert "has a lower bound of 0.750, whatever the network: now 0.250 above it" in said(
        open_page()
    )


def test_a_model_at_chance_is_called_so_while_it_trains() -> None:
    run = make_run(RunStatus("running"), num_epochs_done=2)
    assert "chance level" not in said(open_page())
    warning = learning_warning(torch.zeros(50, dtype=torch.int64), torch.arange(50) % 10)
    run.write_metrics([one.model_copy(update={"warning": warning}) for one in run.metrics()])
    (box,) = open_page().warning
    assert "5 of 50 images correctly" in box.value and "1 of the 10 classes" in box.value


def test_the_card_of_a_finished_model_at_chance_is_no_success() -> None:
    run = make_run(RunStatus("finished"), num_epochs_done=30)
    give_model(run.best, run.config(), clean_accuracy=0.1)
    page = open_page()
    assert not page.success
    (box,) = page.warning
    assert "is at chance level" in box.value and "**10 %** as reported" in box.value


def test_a_damaged_curve_is_left_out() -> None:
    run = make_run(RunStatus("finished"), num_epochs_done=3)
    file = run.path / "metrics.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"epoch": true}\n')
    page = open_page()
    assert len(page.get("plotly_chart")) == 2
    assert "Line 4 of metrics.jsonl is damaged: epoch should be a valid integer" in said(page)
    file.write_text(json.dumps({"epoch": 1})[:-1])
    page = open_page()
    assert not page.get("plotly_chart")
    assert "Line 1 of metrics.jsonl should be JSON" in said(page)


def test_a_model_from_elsewhere_is_brought_on_another_page() -> None:
    links = [link.proto for link in open_page().get("page_link")]
    assert [(one.label, one.query_string) for one in links] == [("Bring a model", "view=bring")]
