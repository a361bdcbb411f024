"""A self-contained HTML report of an evaluation: no script, no font, no picture from elsewhere."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from app.page.robustness.headline import EXPLANATION
from app.page.robustness.report_charts import bars_svg, curve_svg
from app.page.robustness.report_pictures import BrokenImage
from app.page.robustness.rows import check_words, exact_words, result_rows
from app.ui.accuracy_charts import CURVE_TITLES
from app.ui.finding_words import SEVERITY_WORDS, measured_words
from app.ui.plain import in_html
from app.ui.units import percent_with_interval
from robust_core.checkpoints.card import versions
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.config.imported import ImportConfig
from robust_core.evaluation.check_text import check_title
from robust_core.evaluation.curves import Curve
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation_runs import AttackResult, CheckpointResult, EvaluationResults

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1f2328; background: #fff; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: 14px; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de;
  vertical-align: top; overflow-wrap: break-word; }
th { white-space: nowrap; }
.verdict { border-left: .4rem solid #57606a; background: #f6f8fa; padding: .6rem 1rem; }
.images { display: flex; flex-wrap: wrap; gap: 1.2rem; }
figure { margin: 0; max-width: 18rem; font-size: 13px; }
img { image-rendering: pixelated; width: 8rem; height: 8rem; object-fit: contain; }
svg { width: 100%; height: auto; }
details { margin: .5rem 0; } summary { cursor: pointer; }
.fail { color: #a40e26; } .warn { color: #7d4e00; } .ok { color: #0a5c2b; }
"""
HEADER = (
    "Model",
    "Attack",
    "Surrogate",
    "Accuracy (95\u00a0% interval)",
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


def report_html(
    results: EvaluationResults,
    run_id: str,
    *,
    infos: Mapping[str, CheckpointInfo] | None = None,
    pictures: Mapping[str, Sequence[BrokenImage]] | None = None,
) -> str:
    """Return the report: verdict, table, figures, images, models, versions, details and plan.

    Args:
        results: of the evaluation.
        run_id: the evaluation.
        infos: the evaluated checkpoints that are still what they were, by name.
        pictures: images that were broken, by model.
    """
    rows = {
        one.name: result_rows(one, pending=results.plan.checked_labels)
        for one in results.checkpoints
    }
    cells = [
        (
            row.model,
            row.attack,
            row.surrogate,
            row.share_with_interval,
            row.checks,
            f"{row.num_correct:,} of {row.num_images:,}",
            row.norm,
            row.epsilon,
        )
        for own in rows.values()
        for row in own
    ]
    shown = [place for place, _ in enumerate(HEADER) if any(row[place] for row in cells)]
    header = [HEADER[place] for place in shown]
    title = in_html(results.plan.title or run_id)
    parts = [f"<h1>Robustness: {title}</h1>"]
    parts += [
        f'<p class="verdict"><strong>{in_html(one.name)}</strong>: {in_html(one.headline())}</p>'
        for one in results.checkpoints
        if one.attacks
    ]
    parts += [
        f"<p>{EXPLANATION}</p>",
        _table(header, [[row[place] for place in shown] for row in cells]),
    ]
    parts.append(f"<p>{NOTE}</p>")
    for result in results.checkpoints:
        parts.append(f"<h2>{in_html(result.name)}</h2>")
        parts += [bars_svg(rows[result.name]), *_curves(result)]
        parts.append(_images((pictures or {}).get(result.name, ())))
        parts.append(_table(("Model card", ""), _card(result, (infos or {}).get(result.name))))
    parts.append("<h2>Software</h2>")
    parts.append(_table(("With which this report was made", "Version"), _software()))
    parts.append("<h2>Details</h2>")
    parts += [_section(result, one) for result in results.checkpoints for one in result.attacks]
    parts += ["<h2>Plan</h2>", *_plan(results)]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(filter(None, parts)) + "\n</body>"
        "</html>\n"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{in_html(cell)}</th>' for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{in_html(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _curves(result: CheckpointResult) -> list[str]:
    """Return a figure for each parameter and norm of the curves of a model."""
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    for one in result.attacks:
        for curve in one.curves:
            group = groups.setdefault((curve.parameter, str(curve.attack.norm)), {})
            group[one.label] = curve
    return [curve_svg(group) for group in groups.values()]


def _images(pictures: Sequence[BrokenImage]) -> str:
    if not pictures:
        return ""
    figures = []
    for one in pictures:
        images = f'<img src="{one.clean}" alt="clean image">'
        if one.adversarial:
            images += f' <img src="{one.adversarial}" alt="adversarial image">'
        figures.append(f"<figure>{images}<figcaption>{in_html(one.words)}</figcaption></figure>")
    words = "clean and, where it was computed again, adversarial"
    return f'<h3>Misclassified ({words})</h3><div class="images">{"".join(figures)}</div>'


def _card(result: CheckpointResult, info: CheckpointInfo | None) -> list[tuple[str, str]]:
    rows = [
        ("File (SHA-256)", result.digest),
        ("Images", f"{len(result.y):,} of {result.data}/{result.split}, a stratified sample"),
        ("Classes", ", ".join(result.class_names[:20])),
    ]
    if info is None:
        return [*rows, ("Origin", "the checkpoint has changed or gone since")]
    config = info.config
    imported = isinstance(config, ImportConfig)
    origin = f"{config.origin.file}; {config.words}" if imported else info.kind
    rows += [
        ("Origin", origin),
        ("Training method", config.method.name),
        ("Network", f"{config.model.name}, images {'x'.join(map(str, info.image_shape))}"),
    ]
    if info.measured is not None:
        rows.append(("Its card says", info.measured.headline()))
        rows += [("Note", note) for note in info.measured.notes]
    return rows


def _software() -> list[tuple[str, str]]:
    return [*versions().items(), ("numpy", version("numpy")), ("scipy", version("scipy"))]


def _section(result: CheckpointResult, one: AttackResult) -> str:
    report = one.report
    parts = [
        f"<h3>{in_html(result.name)}: {in_html(exact_words(one))}</h3>",
        f"<p>{in_html(check_words(one))}. {report.forward_passes:,} forward and "
        f"{report.backward_passes:,} backward passes of an image in {report.seconds:.1f} s.</p>",
    ]
    parts += [f"<p>{in_html(note)}</p>" for note in report.notes]
    for curve in one.curves:
        points = zip(curve.values, curve.accuracies, curve.intervals, strict=True)
        cells = [
            (f"{value:.4g}", percent_with_interval(share, bounds))
            for value, share, bounds in points
        ]
        title = CURVE_TITLES[curve.parameter]
        unit = " (pixel units)" if curve.parameter == "epsilon" else ""
        parts.append(_table((f"{title}{unit}", "Accuracy (95\u00a0% interval)"), cells))
    raised = [finding for finding in report.findings if finding.severity is not Severity.OK]
    passed = [finding for finding in report.findings if finding.severity is Severity.OK]
    if raised:
        parts.append(_list(raised))
    if passed:
        words = f"{len(passed)} checks passed" if len(passed) > 1 else "1 check passed"
        parts.append(f"<details><summary>{words}</summary>{_list(passed)}</details>")
    return "\n".join(parts)


def _list(findings: Sequence[Finding]) -> str:
    return "<ul>" + "\n".join(map(_finding, findings)) + "</ul>"


def _finding(finding: Finding) -> str:
    advice = f" <em>Try next: {in_html(finding.advice)}</em>" if finding.advice else ""
    return (
        f'<li><strong class="{finding.severity}">{SEVERITY_WORDS[finding.severity]}</strong> '
        f"{in_html(check_title(finding.name))}: {in_html(finding.sentence)}{advice} "
        f"({in_html(measured_words(finding))})</li>"
    )


def _plan(results: EvaluationResults) -> list[str]:
    """Return the whole plan as tables: its own values, and those of its attacks."""
    values = results.plan.model_dump(mode="json", exclude={"attacks"})
    parts = [
        _table(("Setting", "Value"), [(_label(key), _words(one)) for key, one in values.items()])
    ]
    for label, attack in zip(results.plan.labels, results.plan.attacks, strict=True):
        about = attack.model_dump(mode="json")
        settings = {**about.pop("parameters"), **{k: v for k, v in about.items() if v}}
        cells = [(_label(key), _words(one)) for key, one in settings.items()]
        parts.append(_table((f"Attack {label}", "Value"), cells))
    return parts


def _label(name: str) -> str:
    return name.replace("num_", "number of ").replace("_", " ").capitalize()


def _words(value: Any) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{_label(key).lower()} {_words(one)}" for key, one in value.items())
    return str(value)
