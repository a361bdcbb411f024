"""Figures of the report as inline SVG: accuracy under each attack, and curves."""

from collections.abc import Mapping, Sequence

from app.page.robustness.rows import Row
from app.ui.accuracy_charts import CURVE_TITLES
from app.ui.plain import in_html
from app.ui.units import percent
from robust_core.evaluation.curves import Curve
from robust_core.threat_model import Norm

WIDTH, ROW_HEIGHT, LABEL_WIDTH, VALUE_WIDTH = 900, 26, 330, 70
HEIGHT, LEFT, BOTTOM, TOP, LEGEND_WIDTH = 300, 56, 44, 12, 230
COLOURS = ("#1b6fb3", "#b3401b", "#2a7d46", "#882255", "#8a6d00")
DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 4")


def bars_svg(rows: Sequence[Row]) -> str:
    """Return the accuracy of each row of one model as a bar, with its 95 % interval."""
    span = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    words = "; ".join(f"{row.attack}: {row.share}" for row in rows)
    parts = [_head(WIDTH, len(rows) * ROW_HEIGHT + 6, f"Accuracy of {rows[0].model}. {words}")]
    for number, row in enumerate(rows):
        y = number * ROW_HEIGHT + 6
        low, high = (LABEL_WIDTH + span * bound for bound in row.interval)
        middle = y + 9
        parts += [
            _text(LABEL_WIDTH - 10, y + 14, row.attack, "end"),
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{span}" height="18" fill="#eef1f4"/>',
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{span * row.accuracy:.1f}" height="18" '
            f'fill="{COLOURS[0]}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {y + 4}v10M{high:.1f} {y + 4}v10" '
            'stroke="#111" fill="none"/>',
            _text(WIDTH - VALUE_WIDTH + 8, y + 14, row.share),
        ]
    return "\n".join([*parts, "</svg>"])


def curve_svg(curves: Mapping[str, Curve]) -> str:
    """Return accuracy against one parameter, a line for each attack; values are equally far apart.

    Args:
        curves: label -> curve, at least one; all of the same parameter and values.
    """
    first = next(iter(curves.values()))
    values = first.values
    span, high = WIDTH - LEFT - LEGEND_WIDTH, HEIGHT - BOTTOM - TOP
    places = [LEFT + span * i / max(1, len(values) - 1) for i in range(len(values))]
    title = CURVE_TITLES[first.parameter]
    words = "; ".join(f"{label}: {percent(one.accuracies[-1])}" for label, one in curves.items())
    parts = [_head(WIDTH, HEIGHT, f"Accuracy against {title.lower()}, at the largest: {words}")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = TOP + high * (1 - share)
        parts += [
            f'<path d="M{LEFT} {y:.1f}h{span}" stroke="#d0d7de"/>',
            _text(LEFT - 8, y + 5, percent(share), "end"),
        ]
    for x, value in zip(places, values, strict=True):
        parts.append(_text(x, HEIGHT - BOTTOM + 18, _tick(first, value), "middle"))
    unit = " (n/255)" if first.parameter == "epsilon" and first.attack.norm is Norm.LINF else ""
    parts.append(_text(LEFT + span / 2, HEIGHT - 6, f"{title}{unit}", "middle"))
    for number, (label, curve) in enumerate(curves.items()):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        heights = [TOP + high * (1 - share) for share in curve.accuracies]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(places, heights, strict=True))
        y = TOP + 14 + 20 * number
        x = WIDTH - LEGEND_WIDTH + 14
        stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}" fill="none"'
        parts += [
            f'<polyline points="{points}" {stroke}/>',
            f'<path d="M{x} {y - 5}h26" {stroke}/>',
            _text(x + 32, y, label),
        ]
    return "\n".join([*parts, "</svg>"])


def _tick(curve: Curve, value: float) -> str:
    linf = curve.parameter == "epsilon" and curve.attack.norm is Norm.LINF
    return f"{255 * value if linf else value:.3g}"


def _head(width: int, height: int, words: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{in_html(words)}" '
        'font-size="13" font-family="system-ui, sans-serif">'
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{in_html(words)}</text>'
