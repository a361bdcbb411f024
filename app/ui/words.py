"""Numbers and findings in words; knows no streamlit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.ui.shown import shown_robust
from app.ui.units import count_words, percent
from robust_core.attacks.base import Attack
from robust_core.attacks.description import attack_title, short_words
from robust_core.checkpoints.card import clean_of, findings_of, lowest_of
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.finding import verdict as verdict_of
from robust_core.evaluation.lowest import LowestKnown
from robust_core.evaluation.trace import AttackTrace
from robust_core.evaluation_runs.subjects import masks_gradients
from robust_core.threat_model import Norm

Outcome = Literal["resists", "fooled", "moved", "beyond", "wrong"]


@dataclass(frozen=True)
class Verdict:
    """What happened to one image: the outcome and one sentence about it."""

    outcome: Outcome
    sentence: str


def distance_words(norm: Norm, distance: float) -> str:
    """Return a distance in pixel units as people say it: "25.5/255" for Linf, "1.6" for L2."""
    return f"{distance * 255:.3g}/255" if norm is Norm.LINF else f"{distance:.3g}"


def attack_words(name: str, parameters: Mapping[str, Any]) -> str:
    """Return an exact attack: "PGD-50, 5 restarts, Linf 25.5/255"."""
    words = short_words(name, parameters)
    if "norm" not in parameters or "epsilon" not in parameters:
        return words
    norm = Norm(parameters["norm"])
    return f"{words}, {norm} {distance_words(norm, parameters['epsilon'])}"


def seeded_words(attack: Attack, *, exclude: Collection[str] = ()) -> str:
    """Return an exact attack and its seed, 0 included: "PGD-20, Linf 25.5/255, seed 0"."""
    values = attack.model_dump(mode="json", exclude={"seed", *exclude})
    return f"{attack_words(attack.name, values)}, seed {attack.seed}"


def checkpoint_title(info: CheckpointInfo) -> str:
    """Return how a checkpoint is called in a list: its data set first."""
    title = info.config.title if info.name.startswith("runs/") and info.config.title else ""
    return f"{info.config.data.name} · {title or info.name}"


def card_words(info: CheckpointInfo) -> str:
    """Return what the card says of a checkpoint in Markdown: as reported, lowest, checks."""
    card = info.card
    results = card_results(info)
    if not results:
        return f"No measured accuracy for inference mode {use_words(info.inference)!r}."
    first = next((one for one in results if one["role"] == "claim"), results[0])
    clean, number = clean_of(card, first)
    lowest = lowest_of(card, first)
    lines = [
        f"**{percent(clean)}** of {number:,} {card['split']} images right without an attack",
        f"**{percent(first['accuracy'])}** as reported, under {result_words(first)}"
        f" ({checks_words(findings_of(first))})",
        f"**{percent(lowest.accuracy)}** lowest measured, {lowest_words(lowest)}"
        f" ({checks_words(lowest.findings)})",
    ]
    return "  \n".join([*lines, *card["notes"]])


def checks_words(findings: Sequence[Finding]) -> str:
    """Return what the checks of a number say: "checks pass", "checks fail: black box"."""
    found = verdict_of(findings)
    return found if found == "not checked" else f"checks: {found}"


def lowest_words(lowest: LowestKnown) -> str:
    """Return what left the lowest accuracy, and on how many images."""
    cause = f", {lowest.finding.cause}" if lowest.finding and lowest.finding.cause else ""
    return f"{lowest.by}{cause}, worst case of {lowest.num_images:,} images"


def card_help(info: CheckpointInfo) -> str:
    """Return how a checkpoint came about and how sure its numbers are."""
    low, high = (100 * bound for bound in info.card["clean_interval"])
    sentences = [
        f"Method {info.config.method.name}, network {info.config.model.name}, epoch {info.epoch}.",
        f"95 % intervals: {low:.1f} to {high:.1f} % without an attack",
    ]
    for result in card_results(info):
        low, high = (100 * bound for bound in result["interval"])
        sentences.append(f"{low:.1f} to {high:.1f} % under {result['attack']['name'].upper()}")
    return sentences[0] + " " + ", ".join(sentences[1:]) + "."


def card_results(info: CheckpointInfo) -> list[dict[str, Any]]:
    """Return what the card says about this way to use the network."""
    return [result for result in info.card["robust"] if result["inference"] == info.inference]


def result_words(result: Mapping[str, Any]) -> str:
    """Return the attack behind a result of a card, and its surrogate where it has one."""
    words = attack_words(result["attack"]["name"], result["attack"]["parameters"])
    if result["num_verdicts"] > 1:
        words += f", worst of {result['num_verdicts']} repeats"
    if result["crafted_on"] in (None, result["inference"]):
        return words
    return f"{words}, computed on {use_words(result['crafted_on'])}"


def use_words(inference: str) -> str:
    """Return how a way to use a network is called: `one_view` -> "one view"."""
    return inference.replace("_", " ") or "the network itself"


def defended(info: CheckpointInfo) -> bool:
    """Return whether the checkpoint was trained by anything but the standard method."""
    return info.config.method.name != "standard"


def _kind(info: CheckpointInfo) -> str:
    """Return what a model may be called: "robust" only what its card has shown to be."""
    if shown_robust(info):
        return "robust model"
    return "model" if defended(info) or masks_gradients(info) else "standard model"


def verdict(trace: AttackTrace, info: CheckpointInfo) -> Verdict:
    """Return what happened, with both predictions and confidences."""
    names = info.class_names
    label, before, after = (
        names[trace.label],
        names[trace.clean_prediction],
        names[trace.prediction],
    )
    model = _kind(info)
    attack = attack_title(trace.attack.name)
    if trace.clean_prediction != trace.label and trace.target in (None, trace.clean_prediction):
        goal = "" if trace.target is None else ", the target,"
        return Verdict(
            "wrong",
            f"The model already takes this {label} for {before}{goal} without any attack "
            f"({percent(float(trace.clean.max()))}), so there is nothing left to break.",
        )
    old, new = percent(float(trace.clean[trace.label])), percent(float(trace.adversarial.max()))
    if not trace.success and trace.survival[0].adversarial:
        norm, epsilon = trace.attack.norm, trace.attack.epsilon
        return Verdict(
            "beyond",
            f"{label} becomes {after} only at distance {distance_words(norm, trace.distance)}, "
            f"beyond the budget of {distance_words(norm, epsilon)}: {attack} found nothing within.",
        )
    if trace.target is not None:
        goal = names[trace.target]
        if trace.clean_prediction != trace.label:
            return _steered(trace, info)
        if trace.success:
            return Verdict(
                "fooled",
                f"{label} becomes {goal}, the target: {attack} steers the {model} ({new}).",
            )
        if trace.prediction != trace.label:
            return Verdict(
                "moved",
                f"{label} becomes {after} ({new}), not the target {goal}: the {model} is led "
                "astray, but not where the attacker wanted.",
            )
        reached = percent(float(trace.adversarial[trace.target]))
        return Verdict(
            "resists",
            f"{label} stays {label}: the {model} resists {attack}, the target {goal} reaches "
            f"{reached}; confidence {old} → {new}.",
        )
    if trace.success:
        return Verdict(
            "fooled",
            f"{label} becomes {after}: {attack} fools the {model}. {old} sure of {label} before, "
            f"{new} sure of {after} now.",
        )
    return Verdict(
        "resists",
        f"{label} stays {label}: the {model} resists {attack} on this image, "
        f"confidence {old} → {new}.",
    )


def _steered(trace: AttackTrace, info: CheckpointInfo) -> Verdict:
    """Return what a targeted attack made of an image that was wrong before it."""
    label, before, after = (
        info.class_names[k] for k in (trace.label, trace.clean_prediction, trace.prediction)
    )
    start = f"The model takes this {label} for {before} without any attack"
    if trace.success:
        return Verdict(
            "moved",
            f"{start}; {attack_title(trace.attack.name)} makes it {after}, the "
            f"target ({percent(float(trace.adversarial.max()))}).",
        )
    return Verdict("wrong", f"{start}, and for {after} under it, not for the target.")


def permissions(attack: Attack, target: str | None) -> list[str]:
    """Return what the attacker was allowed to do, one sentence each."""
    if attack.name == "spatial":
        budget = "turn and shift the image within the limits set here; pixels are free"
    else:
        budget = _budget_words(attack)
    if attack.gradient_free:
        knowledge = "the model's outputs only, no gradients (black box)"
    else:
        knowledge = "the whole model and its gradients (white box)"
    goal = "any wrong class" if target is None else f"the class {target}"
    return [
        f"**Budget:** {budget}, pixels staying between black and white.",
        f"**Knowledge:** {knowledge}.",
        f"**Effort:** {_effort_words(attack)}.",
        f"**Goal:** {goal}.",
    ]


def _budget_words(attack: Attack) -> str:
    epsilon = distance_words(attack.norm, attack.epsilon)
    if attack.norm is Norm.LINF:
        words = (
            f"change every pixel by at most {epsilon} (the largest change counts: {attack.norm})"
        )
    else:
        words = (
            f"move the image by at most {epsilon} in all "
            f"(root of the summed squared changes: {attack.norm})"
        )
    if attack.minimum_norm:
        return f"{words}; this attack looks for the nearest adversarial image and is judged by it"
    return words


def _effort_words(attack: Attack) -> str:
    nouns = {"num_steps": "step", "num_queries": "query", "num_restarts": "start"}
    values = attack.model_dump()
    parts = [count_words(values[name], noun) for name, noun in nouns.items() if name in values]
    return ", ".join([*parts, f"at most {count_words(attack.passes(), 'pass')} through the model"])
