"""What visitors from the network may do, and that no button and no page lets them do more."""

from types import SimpleNamespace

import pytest
import streamlit as st

from app.ui import visitor
from robust_core import jobs, network
from robust_core.config.presets import preset
from robust_core.errors import InputError
from robust_core.jobs.owner import owner_of
from robust_core.training.directory import RunDirectory, RunStatus
from tests.app.page.train.runs import make_run, open_page
from tests.app.page_driver import labels, open_view, press, said
from tests.pretended import end_processes, pretend_processes
from tests.shelves import use_only

TEACHER, STUDENT = "a" * 32, "b" * 32


@pytest.fixture
def lan(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A dashboard that the network can open; whose browser it is can be set."""
    use_only(tmp_path, monkeypatch)
    pretend_processes(monkeypatch)
    monkeypatch.setattr(visitor, "is_open", lambda: True)

    def come(name: str) -> None:
        monkeypatch.setattr(visitor, "is_visitor", lambda: name == STUDENT)
        monkeypatch.setattr(visitor, "own_id", lambda: name)

    come(STUDENT)
    return come


@pytest.mark.parametrize(
    ("address", "headers", "expected"),
    [
        (None, {}, False),
        ("192.0.2.7", {}, True),
        ("127.0.0.1", {}, False),
        (None, {"X-Forwarded-For": "127.0.0.1"}, True),
    ],
)
def test_who_comes_from_another_machine_or_through_a_proxy_is_a_visitor(
    address, headers, expected, monkeypatch
) -> None:
    context = SimpleNamespace(ip_address=address, headers=headers, cookies={}, url=None)
    monkeypatch.setattr(st, "context", context)
    assert visitor.is_visitor() == expected
    assert visitor.most_runs() == (network.VISITOR_RUNS if expected else None)


@pytest.mark.slow
def test_a_visitor_starts_as_many_runs_as_allowed_and_sees_which_are_theirs(lan) -> None:
    page = open_page()
    for _ in range(network.VISITOR_RUNS):
        page.session_state["train.started"] = -1e9
        press(page, "Start training")
    page.session_state["train.started"] = -1e9
    press(page, "Start training")
    assert "2 are yours" in page.error[0].value
    runs = jobs.summaries(RunDirectory)
    assert [run.owner for run in runs] == [STUDENT] * network.VISITOR_RUNS
    assert all(caption.endswith("· yours") for caption in page.radio[0].proto.captions)


@pytest.mark.slow
def test_a_visitor_may_leave_the_queue_and_stop_but_only_with_an_own_run(lan) -> None:
    lan(TEACHER)
    for _ in range(3):
        jobs.start(preset("digits", "pgd_at"), owner=TEACHER)
    lan(STUDENT)
    mine = jobs.start(preset("digits", "pgd_at"), owner=STUDENT)
    for run in jobs.summaries(RunDirectory):
        shown = labels(open_page(run=run.run_id))
        own = run.run_id == mine
        assert ("Yes, delete it" in shown) == own and "Stop" not in shown
    page = open_page(run=mine)
    assert "1 before you" in said(page)
    press(page, "Yes, delete it")
    assert mine not in [run.run_id for run in jobs.summaries(RunDirectory)]


@pytest.mark.slow
def test_a_button_drawn_for_somebody_else_does_nothing_for_a_visitor(lan) -> None:
    lan(TEACHER)
    run = make_run(RunStatus("running"), num_epochs_done=1)
    page = open_page()
    lan(STUDENT)
    press(page, "Stop")
    assert not run.stop_requested() and "may stop it" in said(page)
    lan(TEACHER)
    end_processes()
    old = make_run(RunStatus("finished"), num_epochs_done=1)
    page = open_page(run=old.run_id)
    lan(STUDENT)
    press(page, "Yes, delete it")
    assert old.path.is_dir() and "delete nothing" in said(page)
    assert owner_of(old.path) == ""


def test_a_visitor_imports_nothing(lan) -> None:
    page = open_view("models", {"view": "bring"})
    assert "import nothing" in page.error[0].value
    assert not page.get("file_uploader") and labels(page) == []
    with pytest.raises(InputError, match="import nothing"):
        visitor.check("import")


def test_the_person_at_the_machine_may_do_everything(lan) -> None:
    lan(TEACHER)
    for action in visitor.REFUSALS:
        visitor.check(action)
    assert network.OPEN_WORDS in said(open_view())


def test_a_dashboard_of_one_machine_says_nothing_about_visitors() -> None:
    assert "your network" not in said(open_page())
