import json
import os
import time

import pytest
import torch

from robust_core import jobs
from robust_core.config.presets import preset
from robust_core.evaluation.chance import learning_warning
from robust_core.training.directory import RunDirectory, RunStatus
from tests.app.page.train.runs import give_model, make_run, open_page
from tests.app.page_driver import check, labels, press, said
from tests.pretended import end_processes


@pytest.mark.slow
def test_a_running_run_shows_progress_numbers_and_the_attack_behind_them() -> None:
    run = make_run(
        RunStatus("running", step=300, num_steps=600, seconds_left=42.0, phase="training"),
        num_epochs_done=10,
    )
    page = open_page()
    assert "Stop" in labels(page)
    assert [metric.value for metric in page.metric] == ["95\u00a0%", "75\u00a0%", "10"]
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


@pytest.mark.slow
def test_a_lost_run_says_so_and_can_be_resumed() -> None:
    run = make_run(RunStatus("running"), num_epochs_done=2, killed=True)
    page = open_page()
    assert "process is gone" in page.warning[0].value
    press(page, "Resume")
    assert run.status().state == "starting"
    assert "Stop" in labels(page)


@pytest.mark.slow
def test_a_run_that_hangs_is_told_from_one_that_works() -> None:
    run = make_run(RunStatus("running"), num_epochs_done=2)
    assert not open_page().warning
    os.utime(run.path / "heartbeat", (time.time() - 1000, time.time() - 1000))
    page = open_page()
    assert "Running, not responding since" in page.warning[0].value
    assert "Stop" in labels(page) and "Resume" not in labels(page)


@pytest.mark.slow
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
    assert (
        "**80\u00a0%** as reported, under PGD-50, 5 restarts, Linf 25.5/255"
        in page.success[0].value
    )
    link = next(link for link in page.get("page_link") if link.proto.label == "Attack")
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


@pytest.mark.slow
def test_a_model_at_chance_is_called_so_while_it_trains() -> None:
    run = make_run(RunStatus("running"), num_epochs_done=2)
    assert "chance level" not in said(open_page())
    warning = learning_warning(torch.zeros(50, dtype=torch.int64), torch.arange(50) % 10)
    run.write_metrics([one.model_copy(update={"warning": warning}) for one in run.metrics()])
    shown = [box.value for box in open_page().warning]
    assert any("5 of 50 images correctly" in one and "1 of the 10 classes" in one for one in shown)


def test_the_card_of_a_finished_model_at_chance_is_no_success() -> None:
    run = make_run(RunStatus("finished"), num_epochs_done=30)
    give_model(run.best, run.config(), clean_accuracy=0.1)
    page = open_page()
    assert not page.success
    (box,) = page.warning
    assert "is at chance level" in box.value and "**10\u00a0%** as reported" in box.value


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
