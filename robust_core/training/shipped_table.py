"""The table of shipped models in `checkpoints/README.md`, generated from their cards."""

from collections.abc import Mapping, Sequence
from typing import Any

from robust_core.training.cards import claimed_result, settled_result, verdict
from robust_core.training.checkpoint import CheckpointInfo, checkpoint_info, list_checkpoints

COLUMNS = ("name", "model", "method", "clean", "claimed", "settled", "checks", "epoch, seed")


def markdown_table() -> str:
    """Return the shipped checkpoints as Markdown: for each data set, then every measurement.

    "Claimed" is the card's result of role "claim", attacked the way the method's paper attacks, or
    else its first; "settled" is the lowest that any attack on the card found for the same way of
    using the network.
    """
    infos = [checkpoint_info(name) for name in list_checkpoints() if "/" not in name]
    lines: list[str] = []
    for data in sorted({info.config.data.name for info in infos}):
        chosen = [info for info in infos if info.config.data.name == data]
        lines += [f"### {data}", "", *_table(COLUMNS, map(_summary, chosen)), ""]
    rows = [row for info in infos for row in _measurements(info)]
    head = ("name", "judged", "attack", "crafted on", "accuracy", "images")
    lines += ["### Every measurement", "", *_table(head, rows), ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Any) -> list[str]:
    body = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in body]


def _summary(info: CheckpointInfo) -> tuple[str, ...]:
    card, config = info.card, info.config
    claimed, settled = claimed_result(card), settled_result(card)
    return (
        f"`{info.name}`",
        f"`{config.model.name}`",
        f"`{config.method.name}`",
        f"{card['clean_accuracy']:.1%}",
        _number(claimed) + _judged(claimed),
        _number(settled) + ("" if settled is claimed else _judged(settled)),
        verdict(card),
        f"{info.epoch} of {config.epochs}, {card['seed']}",
    )


def _number(result: Mapping[str, Any]) -> str:
    return f"{result['accuracy']:.1%} {_how(result)}, n {result['num_images']}"


def _how(result: Mapping[str, Any]) -> str:
    words = _attack_words(result["attack"])
    verdicts = result["num_verdicts"]
    return words if verdicts == 1 else f"{words}, worst of {verdicts} answers"


def _judged(result: Mapping[str, Any]) -> str:
    if not _transfers(result):
        return ""
    return f" (judged on {_used(result['inference'])}, crafted on {_used(result['crafted_on'])})"


def _transfers(result: Mapping[str, Any]) -> bool:
    return result["crafted_on"] not in (None, result["inference"])


def _used(inference: str) -> str:
    return inference or "the network"


def _measurements(info: CheckpointInfo) -> list[tuple[str, ...]]:
    split = info.card["split"]
    return [
        (
            f"`{info.name}`",
            _used(result["inference"]),
            _how(result),
            _used(result["crafted_on"]) if _transfers(result) else "the same",
            _share(result["accuracy"], result["interval"]),
            f"{result['num_images']} ({split})",
        )
        for result in info.card["robust"]
    ]


def _share(value: float, interval: Sequence[float]) -> str:
    return f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def _attack_words(attack: Mapping[str, Any]) -> str:
    values = attack["parameters"]
    words = attack["name"].upper()
    if "version" in values:
        words += f" {values['version']}"
    if "num_steps" in values:
        words += f"-{values['num_steps']}"
    if values.get("loss", "cross_entropy") != "cross_entropy":
        words += f" ({values['loss']} loss)"
    if values.get("num_restarts", 1) > 1:
        words += f", {values['num_restarts']} restarts"
    if values.get("eot_samples", 1) > 1 and values.get("version") != "standard":
        words += f", EOT {values['eot_samples']}"
    if "num_queries" in values:
        words += f", {values['num_queries']} queries"
    return f"{words}, {values.get('norm')} {values.get('epsilon', 0.0):.3g}"
