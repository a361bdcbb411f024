"""A list of findings: icon and word for the severity, sentence, value, threshold and advice."""

from collections.abc import Callable, Sequence

import streamlit as st

from app.ui.finding_words import SEVERITY_WORDS, measured_words
from app.ui.plain import in_markdown
from robust_core.evaluation.check_text import check_title
from robust_core.evaluation.finding import Finding, Severity

_ICONS = {
    Severity.OK: ":material/check_circle:",
    Severity.WARN: ":material/warning:",
    Severity.FAIL: ":material/error:",
}
_COLOURS = {Severity.OK: "green", Severity.WARN: "orange", Severity.FAIL: "red"}


def show_findings(
    findings: Sequence[Finding],
    *,
    key: str,
    measured: bool = True,
    offer: Callable[[Finding], None] | None = None,
) -> None:
    """List the findings: warnings and failures first, passed checks in an expander.

    Args:
        findings: in the order of the checks.
        key: of the expander.
        measured: with the value and the threshold, whose highest values are the worst.
        offer: draws the button that runs the attack that an advice names, below the finding.
    """
    problems = [finding for finding in findings if finding.severity is not Severity.OK]
    passed = [finding for finding in findings if finding.severity is Severity.OK]
    for finding in sorted(problems, key=lambda f: f.severity is Severity.WARN):
        _show(finding, measured)
        if offer is not None and finding.next_attack is not None:
            offer(finding)
    if passed:
        count = "1 check" if len(passed) == 1 else f"{len(passed)} checks"
        with st.expander(f"{count} passed", icon=_ICONS[Severity.OK], key=key):
            for finding in passed:
                _show(finding, measured)


def _show(finding: Finding, measured: bool) -> None:
    colour, icon = _COLOURS[finding.severity], _ICONS[finding.severity]
    word = SEVERITY_WORDS[finding.severity]
    lines = [
        f":{colour}-badge[{icon} {word}] **{in_markdown(check_title(finding.name))}**",
        in_markdown(finding.sentence),
    ]
    if finding.advice:
        lines.append(f"*Try next:* {in_markdown(finding.advice)}")
    if measured:
        lines.append(f":small[{measured_words(finding)}]")
    st.markdown("  \n".join(lines))
