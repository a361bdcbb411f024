"""The table of shipped models in `checkpoints/README.md`, generated from their cards."""

from collections.abc import Sequence
from typing import Any

from robust_core.checkpoints.card import RobustResult
from robust_core.checkpoints.catalog import CheckpointInfo, list_infos
from robust_core.config.run import RunConfig
from robust_core.evaluation.finding import outcome_of_checks
from robust_core.evaluation.lowest import LowestKnown
from robust_core.units import percent, percent_range

COLUMNS = (
    *("name", "network", "method", "threat model", "clean", "as reported", "lowest measured"),
    *("checks of the lowest", "epoch, seed"),
)
MEASUREMENTS = (
    *("name", "evaluated", "attack", "threat model", "surrogate", "accuracy", "images", "checks"),
)


def markdown_table() -> str:
    """Return the shipped checkpoints as Markdown: for each data set, then every measurement.

    Models whose weights are an installed package are among them; of how these were trained, method,
    epoch and seed, nothing is known.

    "As reported" is the card's result of role "claim", attacked the way the method's paper attacks,
    or else its first; "lowest measured" is the worst case, image by image, of all attacks and
    checks on the card for the same inference and threat model.
    """
    infos = [one for one in list_infos() if "/" not in one.name and one.measured is not None]
    lines: list[str] = []
    for data in sorted({info.config.data.name for info in infos}):
        chosen = [info for info in infos if info.config.data.name == data]
        lines += [f"### {data}", "", *_table(COLUMNS, map(_summary, chosen)), ""]
    notes = [f"- `{info.name}`: {note}" for info in infos for note in info.card.notes]
    if notes:
        lines += ["### Notes", "", *notes, ""]
    rows = [row for info in infos for row in _measurements(info)]
    lines += ["### Every measurement", "", *_table(MEASUREMENTS, rows), ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Any) -> list[str]:
    body = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in body]


def _summary(info: CheckpointInfo) -> tuple[str, ...]:
    card, config = info.card, info.config
    reported, lowest = card.reported, card.lowest()
    clean, _ = card.clean_of(reported)
    return (
        f"`{info.name}`" + (f", {reported.attack.inference}" if reported.attack.inference else ""),
        f"`{config.model.name}`",
        f"`{config.method.name}`",
        _threat_model(reported),
        percent(clean, 1),
        f"{percent(reported.accuracy, 1)} {reported.attack.words}{_surrogate(reported)}, "
        f"n {reported.num_images}",
        _lowest(lowest),
        lowest.checks,
        f"{info.epoch} of {config.epochs}, {card.seed}" if isinstance(config, RunConfig) else "",
    )


def _lowest(lowest: LowestKnown) -> str:
    by = lowest.by
    if lowest.finding is not None and lowest.finding.cause:
        by = f"{by}, {lowest.finding.cause}"
    return f"{percent(lowest.accuracy, 1)} {by}, n {lowest.num_images}"


def _threat_model(result: RobustResult) -> str:
    return "" if result.threat_model is None else str(result.threat_model)


def _surrogate(result: RobustResult) -> str:
    return f", computed on {result.attack.surrogate_words}" if result.attack.transfers else ""


def _used(inference: str) -> str:
    return inference or "the base network"


def _measurements(info: CheckpointInfo) -> list[tuple[str, ...]]:
    split, sample = info.card.split, info.card.sample
    return [
        (
            f"`{info.name}`",
            _used(result.attack.inference),
            result.attack.words,
            _threat_model(result),
            _surrogate(result).removeprefix(", computed on ") or "the same",
            _share(result.accuracy, result.interval),
            f"{result.num_images} ({split}, {sample})",
            outcome_of_checks(result.findings),
        )
        for result in info.card.robust
    ]


def _share(value: float, interval: Sequence[float]) -> str:
    return f"{percent(value, 1)} ({percent_range(interval, 1)})"
