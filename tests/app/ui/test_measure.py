"""Costly work: found once for everything it depends on, behind a button where it costs much."""

import torch
from streamlit.testing.v1 import AppTest

from app.ui import measure
from app.ui.gate import Superseded
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import checkpoint_info


def test_work_is_done_once_for_everything_that_it_depends_on():
    info, other = checkpoint_info("digits-standard"), checkpoint_info("digits-pgd_at")
    x, attack = torch.zeros(1, 2, 2), create_attack("pgd", num_steps=2)
    keys = [
        (info, x, attack),
        (other, x, attack),
        (info, x + 0.5, attack),
        (info, x.reshape(1, 1, 4), attack),
        (info, x, create_attack("mim", num_steps=2)),
        (info, x, create_attack("pgd", num_steps=2, seed=1)),
        ([info, other], x, attack),
        ([other, info], x, attack),
    ]
    calls = []

    def work(run: measure.Run) -> int:
        calls.append(run)
        return len(calls)

    first = [measure.run("test.once", key, work) for key in keys]
    again = [measure.run("test.once", key, work) for key in keys]
    assert first == again == list(range(1, len(keys) + 1))
    assert measure.known("test.once", keys[2]) == 3
    assert measure.known("test.other", keys[2]) is None


def test_results_asked_for_longest_ago_are_forgotten():
    for number in range(4):
        measure.kept("test.few", (number,), lambda number=number: [number], most=3)
    assert measure.kept("test.few", (3,), lambda: ["new"], most=3) == [3]
    assert measure.kept("test.few", (0,), lambda: ["new"], most=3) == ["new"]


def page() -> None:
    import streamlit as st  # noqa: PLC0415 - the script of a page

    from app.ui import measure  # noqa: PLC0415

    seconds = st.session_state.get("seconds", 100.0)

    def work(run: measure.Run) -> int:
        run.progress(0.5)
        st.session_state["worked"] = st.session_state.get("worked", 0) + 1
        return 7

    found = measure.measure(
        "test.page",
        (seconds,),
        work,
        cost=measure.Cost(1200, seconds),
        label="Find it",
        teaser="The answer comes here.",
    )
    st.write(f"found {found}")


def test_costly_work_waits_for_its_button_and_says_what_it_takes():
    script = AppTest.from_function(page).run()
    assert script.markdown[-1].value == "found None"
    assert script.info[0].value == "The answer comes here."
    assert script.caption[0].value == (
        "Cost: 1,200 forward-backward passes of one image, 2 min by a measurement here."
    )
    script.button[0].click().run()
    assert script.markdown[-1].value == "found 7"
    assert not script.button and not script.info
    script.run()
    assert script.markdown[-1].value == "found 7"
    assert script.session_state["worked"] == 1


def test_cheap_work_needs_no_button():
    script = AppTest.from_function(page)
    script.session_state["seconds"] = 0.5
    script.run()
    assert script.markdown[-1].value == "found 7"
    assert not script.button


def superseded() -> None:
    import streamlit as st  # noqa: PLC0415 - the script of a page

    from app.ui import measure  # noqa: PLC0415
    from app.ui.gate import Superseded  # noqa: PLC0415

    def work(run: measure.Run) -> None:
        raise Superseded

    measure.run("test.superseded", (), work)
    st.write("not reached")


def test_superseded_work_ends_the_script_quietly_and_keeps_nothing():
    script = AppTest.from_function(superseded).run()
    assert not script.exception and not script.markdown
    assert measure.known("test.superseded", ()) is None
    assert issubclass(Superseded, Exception)
