"""Results of an evaluation: table, curves, misclassified images, findings, downloads."""

from functools import partial
from typing import Any

import streamlit as st

from app.page.robustness.downloads import show_downloads
from app.page.robustness.headline import show_headlines
from app.page.robustness.misclassified import choose_misclassified, show_misclassified
from app.page.robustness.next_attack import offer_next
from app.page.robustness.rows import Row, check_words, exact_words, result_rows
from app.ui import measure
from app.ui.accuracy_charts import CURVE_TITLES, accuracy_figure, last_accuracies
from app.ui.charts import PLAIN_CHART
from app.ui.finding_list import show_findings
from app.ui.finding_words import SEVERITY_WORDS
from app.ui.plain import in_markdown, unbroken
from robust_core.evaluation.curves import Curve
from robust_core.evaluation.finding import Severity, overall
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationResults
from robust_core.threat_model import Norm

ROW_HEIGHT = 68  # pixels of a row of three lines, which wrap from here on
COLUMNS = {  # width in pixels, beside the form at 1366 pixels; help
    "Model": (105, None),
    "Attack": (125, None),
    "Accuracy": (
        122,
        "Share of images that are correct without and under the attack; in brackets the "
        "95\u00a0% interval (Wilson), and the number of images. A stronger attack can only "
        "lower it.",
    ),
    "Threat model": (98, "Norm and epsilon, the largest perturbation that the attack may use."),
    "Checks": (
        76,
        "Worst result of the reliability checks of this accuracy: "
        f"{', '.join(SEVERITY_WORDS.values())}. Weak attack: the other attacks together break over "
        "4\u00a0% more of the images. The lowest measured accuracy has the checks of the strongest "
        "attack, or names the check that found less.",
    ),
    "Only this": (72, "Images that this attack breaks and no other one here."),
    "Steps / queries": (108, "Effort of the attack: steps or queries, and restarts."),
}


def read_results(run: EvaluationDirectory) -> EvaluationResults:
    """Return the results of an evaluation, read again only when something new was written.

    Raises:
        InputError: plan.json is missing or damaged.
    """
    try:
        stamp = (run.path / "units").stat().st_mtime_ns
    except OSError:
        stamp = 0
    return measure.kept("robustness.results", (run.path, stamp), run.results, most=8)


def show_results(results: EvaluationResults, run_id: str, *, active: bool) -> None:
    """Draw all complete results.

    Args:
        results: of the evaluation so far.
        run_id: the evaluation, for keys and the names of files.
        active: whether the evaluation is still running.
    """
    pending = results.plan.checked_labels
    rows = [row for one in results.checkpoints for row in result_rows(one, pending=pending)]
    if not rows:
        if active:
            st.info("The first results appear after the first complete batches.")
        return
    show_headlines(results, active=active)
    _table(rows, run_id)
    show_downloads(results, run_id)
    _curves(results, run_id)
    if results.plan.attacks:
        show_misclassified(results, rows, run_id)
        _findings(results, run_id)


def _table(rows: list[Row], run_id: str) -> None:
    key = f"robustness.table.{run_id}"
    cells = [_cells(row) for row in rows]
    told = [name for name in cells[0] if any(one[name] for one in cells)]
    if len({row.model for row in rows}) == 1:
        told.remove("Model")  # the sentence above names it
    st.dataframe(
        [{name: one[name] for name in told} for one in cells],
        hide_index=True,
        key=key,
        on_select=lambda: choose_misclassified(rows, st.session_state[key], run_id),
        selection_mode="single-row",
        alt="Accuracy without and under each attack, one row each: "
        + "; ".join(f"{row.model}, {row.attack}: {row.share}" for row in rows),
        row_height=ROW_HEIGHT,
        column_config={
            name: st.column_config.Column(width=width, help=text)
            for name, (width, text) in COLUMNS.items()
        },
    )
    st.caption("Select a row to see the images that its attack broke.")


def _cells(row: Row) -> dict[str, Any]:
    surrogate = f", computed on {row.surrogate}" if row.surrogate else ""
    count = f"{row.num_correct:,} of {row.num_images:,}"
    return {
        "Model": row.model,
        "Attack": f"{row.attack}{surrogate}",
        "Accuracy": f"{row.share_with_interval} {unbroken(count)}",
        "Threat model": f"{row.norm} {row.epsilon}".strip(),
        "Checks": row.checks,
        "Only this": "" if row.num_broken_alone is None else f"{row.num_broken_alone:,}",
        "Steps / queries": row.effort,
    }


def _curves(results: EvaluationResults, run_id: str) -> None:
    """Draw the curves against the chosen parameter."""
    shown: dict[str, dict[tuple[str, Norm], dict[str, Curve]]] = {}
    for result in results.checkpoints:
        for one in result.attacks:
            for curve in one.curves:
                figures = shown.setdefault(curve.parameter, {})
                figures.setdefault((result.name, curve.attack.norm), {})[one.label] = curve
    if not shown:
        return
    st.subheader("Accuracy against attack strength", anchor=False)
    parameter = st.segmented_control(
        "Parameter",
        list(shown),
        default=next(iter(shown)),
        format_func=CURVE_TITLES.__getitem__,
        required=True,
        key=f"robustness.curves.{run_id}",
    )
    figures = shown[parameter]
    columns = st.columns(min(2, len(figures)))
    for number, ((name, _), own) in enumerate(figures.items()):
        words = last_accuracies(own)
        with columns[number % len(columns)]:
            st.markdown(f"**{in_markdown(name)}**")
            st.plotly_chart(
                accuracy_figure(own),
                config=PLAIN_CHART,
                key=f"robustness.curve.{run_id}.{parameter}.{number}",
                alt=f"Accuracy of {name} against {CURVE_TITLES[parameter].lower()}; at the "
                f"largest value: {words}.",
            )


def _findings(results: EvaluationResults, run_id: str) -> None:
    st.subheader("Reliability checks in detail", anchor=False)
    checked = [(result, one) for result in results.checkpoints for one in result.attacks]
    if not any(one.report.findings for _, one in checked):
        st.caption(
            "The checks run after each attack; none is complete yet."
            if results.plan.check_reliability
            else "No accuracy was checked, so it is unknown whether the attacks were strong "
            "enough. **Check reliability** in the form turns the checks on."
        )
        return
    for result, one in checked:
        if not one.report.findings and not one.report.notes:
            continue
        key = f"robustness.findings.{run_id}.{result.name}.{one.label}"
        title = f"{check_words(one)} · {result.name} · {exact_words(one)}"
        alarm = overall(one.report.findings) is Severity.FAIL
        with st.expander(in_markdown(title), key=key, expanded=alarm):
            for note in one.report.notes:
                st.caption(in_markdown(note))
            show_findings(
                one.report.findings,
                key=f"{key}.quiet",
                offer=partial(offer_next, results, result, one, key=key),
            )
