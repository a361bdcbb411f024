"""Can the result of an attack on one image be trusted? Shown after its pictures."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.ui import cached, honesty
from app.ui.finding_list import show_findings
from app.ui.finding_words import trust_sentence
from app.ui.forms import show_input_error
from app.ui.units import duration_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding, Severity, overall
from robust_core.evaluation.trace import AttackTrace

LIVE_SECONDS = 2.0  # checks expected to take longer wait for a button
ANECDOTE = (
    "One image is an anecdote: here every share is 0 or 100 %. Whether a model's robustness can be "
    "trusted is for the same checks over a whole split to say, in an evaluation."
)
UNTARGETED = " The checks aim at no class."
_LOOKS = {
    Severity.OK: ("green", ":material/verified_user:"),
    Severity.WARN: ("orange", ":material/warning:"),
    Severity.FAIL: ("red", ":material/gpp_bad:"),
}


@st.fragment
def show_honesty(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Check the attack, at once if that is quick, and say what came of it."""
    st.subheader("Can this result be trusted?", anchor=False)
    if trace.clean_prediction != trace.label:
        st.info("There is no result to doubt: the model is wrong here without any attack.")
        return
    place = st.empty()
    try:
        findings = _findings(trace, info, place)
    except InputError as error:
        show_input_error(error)
        return
    if findings is None:
        return
    worst = overall(findings)
    with st.container(border=True):
        colour, icon = _LOOKS[worst]
        st.markdown(f":{colour}[{icon} **{trust_sentence(findings, trace)}**]")
    show_findings(findings, key="attack.quiet_findings")
    st.caption(ANECDOTE + ("" if trace.target is None else UNTARGETED))


def _findings(
    trace: AttackTrace, info: CheckpointInfo, place: DeltaGenerator
) -> tuple[Finding, ...] | None:
    known = honesty.known_findings(info, trace)
    if known is not None:
        return known
    seconds = honesty.expected_seconds(info, trace.attack)
    if seconds > LIVE_SECONDS:
        with place.container():
            pressed = st.button("Check this result", icon=":material/fact_check:")
            st.caption(
                "The checks repeat this attack in a dozen ways, which takes about "
                f"{duration_words(seconds)}."
            )
        if not pressed:
            return None

    def show(share: float) -> None:
        place.progress(share, "Checking …")

    show(0.0)
    try:
        return honesty.check(
            info,
            trace,
            check_current=cached.latest_only("attack").begin(),
            on_share=show,
        )
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()
