"""What an evaluation has found: table, curve, findings in full, downloads."""

import json
from typing import Any

import streamlit as st

from app.page.robustness.claim import show_headlines
from app.page.robustness.fallen import choose_fallen, show_fallen
from app.page.robustness.report import report_html
from app.page.robustness.rows import Row, exact_words, result_rows, share_words, trust_words
from app.ui.accuracy_charts import CURVE_TITLES, accuracy_figure
from app.ui.finding_list import show_findings
from robust_core.evaluation.curves import Curve
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationResults
from robust_core.threat_model import Norm

PLAIN_CHART = {"displayModeBar": False}
COLUMN_HELP = {
    "Accuracy": "Images that are right, also under the attack; in brackets the 95 % interval "
    "(Wilson). A stronger attack can only lower it.",
    "Stand": "Images that stand, of how many.",
    "Only this": "Images that fell to this attack and to no other one here.",
    "Made on": "What the attack looked at, where that is not what is judged. Such a number is a "
    "transfer attack and says little about the judged model.",
    "Trust": "The worst verdict of the checks on this number: fine, doubtful or alarm. Beaten "
    "here: the other attacks break over 4 % more of the images, so this one was too weak. The "
    "lowest known number has the verdict of the attack that left the least, or what the check did "
    "that found less.",
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
    return _read_results(str(run.path), stamp, run)


@st.cache_resource(max_entries=8, show_spinner=False)
def _read_results(path: str, stamp: int, _run: EvaluationDirectory) -> EvaluationResults:
    return _run.results()


def show_results(results: EvaluationResults, run_id: str, *, active: bool) -> None:
    """Draw everything that is complete so far.

    Args:
        results: what to draw.
        run_id: the evaluation, for keys and the names of files.
        active: whether more is going to come.
    """
    wanted = results.plan.check_reliability
    rows = [row for one in results.checkpoints for row in result_rows(one, wanted=wanted)]
    if not rows:
        if active:
            st.info("The first numbers come with the first complete batches.")
        return
    show_headlines(results)
    _table(rows, run_id)
    _downloads(results, run_id)
    _curves(results, run_id)
    if results.plan.attacks:
        show_fallen(results, rows, run_id)
        _findings(results, run_id)


def _table(rows: list[Row], run_id: str) -> None:
    key = f"robustness.table.{run_id}"
    st.dataframe(
        [_cells(row) for row in rows],
        hide_index=True,
        key=key,
        on_select=lambda: choose_fallen(rows, st.session_state[key], run_id),
        selection_mode="single-row",
        alt="Accuracy without and under every attack, a row for each: "
        + "; ".join(f"{row.model}, {row.attack}: {100 * row.accuracy:.1f} %" for row in rows),
        column_config={
            name: st.column_config.Column(help=text) for name, text in COLUMN_HELP.items()
        },
    )
    st.caption("Mark a row to see the images that fell there.")


def _cells(row: Row) -> dict[str, Any]:
    return {
        "Model": row.model,
        "Attack": row.attack,
        "Made on": row.source,
        "Accuracy": share_words(row.accuracy, row.interval),
        "Trust": row.trust,
        "Stand": f"{row.standing:,} of {row.num_images:,}",
        "Only this": "" if row.only is None else f"{row.only:,}",
        "Within": f"{row.norm} {row.epsilon}".strip(),
        "Effort": row.steps,
    }


def _downloads(results: EvaluationResults, run_id: str) -> None:
    def to_json() -> str:
        return json.dumps(results.to_json(), indent=2) + "\n"

    with st.container(horizontal=True):
        for label, content, suffix, mime, help_text in (
            ("CSV", results.to_csv, "csv", "text/csv", "One row an image."),
            ("JSON", to_json, "json", "application/json", "Everything, with the exact plan."),
            (
                "HTML report",
                lambda: report_html(results, run_id),
                "html",
                "text/html",
                "One file to send around: table, findings and plan.",
            ),
        ):
            st.download_button(
                label,
                content,
                f"{run_id}.{suffix}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                help=help_text,
                key=f"robustness.download.{suffix}.{run_id}",
            )


def _curves(results: EvaluationResults, run_id: str) -> None:
    """Draw the curves against one parameter, which a person chooses."""
    shown: dict[str, dict[tuple[str, Norm], dict[str, Curve]]] = {}
    for result in results.checkpoints:
        for one in result.attacks:
            for curve in one.curves:
                figures = shown.setdefault(curve.parameter, {})
                figures.setdefault((result.name, curve.attack.norm), {})[one.label] = curve
    if not shown:
        return
    st.subheader("Accuracy against what the attacker may do", anchor=False)
    parameter = st.segmented_control(
        "Against",
        list(shown),
        default=next(iter(shown)),
        format_func=CURVE_TITLES.__getitem__,
        required=True,
        key=f"robustness.curves.{run_id}",
    )
    figures = shown[parameter]
    columns = st.columns(min(2, len(figures)))
    for number, ((name, _), own) in enumerate(figures.items()):
        words = ", ".join(
            f"{label} {100 * curve.accuracies[-1]:.0f} %" for label, curve in own.items()
        )
        with columns[number % len(columns)]:
            st.markdown(f"**{name}**")
            st.plotly_chart(
                accuracy_figure(own),
                config=PLAIN_CHART,
                key=f"robustness.curve.{run_id}.{parameter}.{number}",
                alt=f"Accuracy of {name} against {CURVE_TITLES[parameter].lower()}; at the "
                f"largest value: {words}.",
            )


def _findings(results: EvaluationResults, run_id: str) -> None:
    st.subheader("Findings in full", anchor=False)
    checked = [(result, one) for result in results.checkpoints for one in result.attacks]
    if not any(one.report.findings for _, one in checked):
        st.caption(
            "The checks of a number follow its attack; none is complete yet."
            if results.plan.check_reliability
            else "No number was checked: whether the attacks were strong enough is not known. The "
            "switch **Check reliability** turns the checks on."
        )
        return
    for result, one in checked:
        if not one.report.findings:
            continue
        key = f"robustness.findings.{run_id}.{result.name}.{one.label}"
        with st.expander(f"{trust_words(one)} · {result.name} · {exact_words(one)}", key=key):
            for note in one.report.notes:
                st.caption(note)
            show_findings(one.report.findings, key=f"{key}.quiet")
