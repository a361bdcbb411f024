"""The reliability checks of an attack on one image, shown below its pictures."""

import streamlit as st

from app.ui import measure, reliability
from app.ui.finding_list import show_findings
from app.ui.finding_words import reliability_sentence
from app.ui.page import input_errors
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.finding import Finding, Severity, overall
from robust_core.evaluation.trace import AttackTrace

LIVE_SECONDS = 2.0  # checks expected to take longer wait for a button
ANECDOTE = (
    "One image proves little: here every share is 0 or 100\u00a0%. To evaluate a model, run the "
    "same checks on many test images, on the page Robustness."
)
UNTARGETED = " The checks use untargeted attacks."
_STYLES = {
    Severity.OK: ("green", ":material/verified_user:"),
    Severity.WARN: ("orange", ":material/warning:"),
    Severity.FAIL: ("red", ":material/gpp_bad:"),
}


@st.fragment
def show_reliability(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Run the checks, at once if that is quick, and show their overall result and findings."""
    st.subheader("Can this result be trusted?", anchor=False)
    if trace.clean_prediction != trace.label:
        st.info("There is nothing to check: the model misclassifies this image without any attack.")
        return
    with input_errors():
        findings = _findings(trace, info)
        if findings is not None:
            _draw(findings, trace)


def _draw(findings: tuple[Finding, ...], trace: AttackTrace) -> None:
    worst = overall(findings)
    with st.container(border=True):
        colour, icon = _STYLES[worst]
        st.markdown(f":{colour}[{icon} **{reliability_sentence(findings, trace)}**]")
    show_findings(findings, key="attack.quiet_findings")
    st.caption(ANECDOTE + ("" if trace.target is None else UNTARGETED))


def _findings(trace: AttackTrace, info: CheckpointInfo) -> tuple[Finding, ...] | None:
    found = reliability.known_findings(info, trace)
    if found is not None:
        return found
    place = st.empty()
    with place.container():
        cost = reliability.cost(info, trace.attack)
        if not measure.ask(
            "Check this result", cost, key="attack.checks", live_seconds=LIVE_SECONDS
        ):
            st.caption("The checks repeat this attack in about a dozen variants.")
            return None
    place.empty()
    return reliability.check(info, trace)
