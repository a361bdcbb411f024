"""A self-contained HTML report of an evaluation: no script, no font, no picture from elsewhere."""

from html import escape

from app.page.robustness.rows import check_words, exact_words, result_rows, share_words
from app.ui.accuracy_charts import CURVE_TITLES
from app.ui.finding_words import SEVERITY_WORDS, measured_words
from robust_core.evaluation.check_text import check_title
from robust_core.evaluation.finding import Finding
from robust_core.evaluation_runs import AttackResult, CheckpointResult, EvaluationResults

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1f2328; background: #fff; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de;
  vertical-align: top; }
pre { overflow-x: auto; background: #f6f8fa; padding: 1rem; font-size: 13px; }
.fail { color: #a40e26; } .warn { color: #7d4e00; } .ok { color: #0a5c2b; }
"""
HEADER = (
    "Model",
    "Attack",
    "Surrogate",
    "Accuracy (95 % interval)",
    "Checks",
    "Correct",
    "Norm",
    "Epsilon",
)
NOTE = (
    "Accuracy: share of images that are correct without and under the attack. A stronger attack "
    "can only lower it. Surrogate: model the attack was computed on, if not the evaluated one. "
    "Checks: worst result of the reliability checks of this accuracy."
)


def report_html(results: EvaluationResults, run_id: str) -> str:
    """Return the report: table, curves as tables, findings in full, and the exact plan."""
    rows = [
        (
            row.model,
            row.attack,
            row.surrogate,
            share_words(row.accuracy, row.interval),
            row.checks,
            f"{row.num_correct:,} of {row.num_images:,}",
            row.norm,
            row.epsilon,
        )
        for one in results.checkpoints
        for row in result_rows(one, pending=results.plan.checked_labels)
    ]
    title = escape(results.plan.title or run_id)
    parts = [
        f"<h1>Robustness: {title}</h1>",
        f"<p>{NOTE}</p>",
        *(
            f"<p><strong>{escape(one.name)}</strong>: {escape(one.headline())}</p>"
            for one in results.checkpoints
            if one.attacks
        ),
        _table(HEADER, rows),
        *(_section(result, one) for result in results.checkpoints for one in result.attacks),
        f"<h2>Plan</h2><pre>{escape(results.plan.to_json())}</pre>",
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _section(result: CheckpointResult, one: AttackResult) -> str:
    report = one.report
    parts = [
        f"<h2>{escape(result.name)}: {escape(exact_words(one))}</h2>",
        f"<p>{escape(check_words(one))}. {report.forward_passes:,} forward and "
        f"{report.backward_passes:,} backward passes of an image in {report.seconds:.1f} s.</p>",
    ]
    parts += [f"<p>{escape(note)}</p>" for note in report.notes]
    for curve in one.curves:
        points = zip(curve.values, curve.accuracies, curve.intervals, strict=True)
        cells = [(f"{value:.4g}", share_words(share, bounds)) for value, share, bounds in points]
        title = CURVE_TITLES[curve.parameter]
        unit = " (pixel units)" if curve.parameter == "epsilon" else ""
        parts.append(_table((f"{title}{unit}", "Accuracy (95 % interval)"), cells))
    if report.findings:
        parts.append("<ul>" + "\n".join(map(_finding, report.findings)) + "</ul>")
    return "\n".join(parts)


def _finding(finding: Finding) -> str:
    advice = f" <em>Try next: {escape(finding.advice)}</em>" if finding.advice else ""
    return (
        f'<li><strong class="{finding.severity}">{SEVERITY_WORDS[finding.severity]}</strong> '
        f"{escape(check_title(finding.name))}: {escape(finding.sentence)}{advice} "
        f"({escape(measured_words(finding))})</li>"
    )
