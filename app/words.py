"""Numbers and findings in words; knows no streamlit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.attack_trace import AttackTrace
from app.units import count_words, percent
from robust_core.attacks.base import Attack
from robust_core.threat_model import Norm
from robust_core.training.checkpoint import CheckpointInfo

Outcome = Literal["resists", "fooled", "moved", "wrong"]


@dataclass(frozen=True)
class Verdict:
    """What happened to one image: the outcome and one sentence about it."""

    outcome: Outcome
    sentence: str


def distance_words(norm: Norm, distance: float) -> str:
    """Return a distance in pixel units as people say it: "25.5/255" for Linf, "1.6" for L2."""
    return f"{distance * 255:.3g}/255" if norm is Norm.LINF else f"{distance:.3g}"


def attack_words(name: str, parameters: Mapping[str, Any]) -> str:
    """Return an exact attack: "PGD, Linf 25.5/255, 50 steps, 5 restarts"."""
    parts = [name.upper()]
    if "norm" in parameters and "epsilon" in parameters:
        norm = Norm(parameters["norm"])
        parts.append(f"{norm} {distance_words(norm, parameters['epsilon'])}")
    if "num_steps" in parameters:
        parts.append(count_words(parameters["num_steps"], "step"))
    if "num_restarts" in parameters:
        parts.append(count_words(parameters["num_restarts"], "restart"))
    return ", ".join(parts)


def checkpoint_title(info: CheckpointInfo) -> str:
    """Return how a checkpoint is called in a list: its data set first."""
    title = info.config.title if info.name.startswith("runs/") and info.config.title else ""
    return f"{info.config.data.name} · {title or info.name}"


def card_words(info: CheckpointInfo) -> str:
    """Return the measured numbers of a checkpoint, each with the attack behind it, in Markdown."""
    card = info.card
    count = f"{card['num_images']:,} {card['split']} images"
    lines = [f"**{percent(card['clean_accuracy'])}** of {count} right without an attack"]
    for result in card["robust"]:
        attack = attack_words(result["attack"]["name"], result["attack"]["parameters"])
        share = f"**{percent(result['accuracy'])}**"
        if result["num_images"] != card["num_images"]:
            share += f" of {result['num_images']:,}"
        lines.append(f"{share} under {attack}")
    return "  \n".join(lines)


def card_help(info: CheckpointInfo) -> str:
    """Return how a checkpoint came about and how sure its numbers are."""
    low, high = (100 * bound for bound in info.card["clean_interval"])
    sentences = [
        f"Method {info.config.method.name}, network {info.config.model.name}, epoch {info.epoch}.",
        f"95 % intervals: {low:.1f} to {high:.1f} % without an attack",
    ]
    for result in info.card["robust"]:
        low, high = (100 * bound for bound in result["interval"])
        sentences.append(f"{low:.1f} to {high:.1f} % under {result['attack']['name'].upper()}")
    return sentences[0] + " " + ", ".join(sentences[1:]) + "."


def defended(info: CheckpointInfo) -> bool:
    """Return whether the checkpoint was trained by anything but the standard method."""
    return info.config.method.name != "standard"


def verdict(trace: AttackTrace, info: CheckpointInfo) -> Verdict:
    """Return what happened, with both predictions and confidences."""
    names = info.class_names
    label, before, after = (
        names[trace.label],
        names[trace.clean_prediction],
        names[trace.prediction],
    )
    model = "robust model" if defended(info) else "standard model"
    attack = trace.attack.name.upper()
    if trace.clean_prediction != trace.label and trace.target is None:
        return Verdict(
            "wrong",
            f"The model already takes this {label} for {before} without any attack "
            f"({percent(float(trace.clean.max()))}), so there is nothing left to break.",
        )
    old, new = percent(float(trace.clean[trace.label])), percent(float(trace.adversarial.max()))
    if trace.target is not None:
        goal = names[trace.target]
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


def permissions(attack: Attack, target: str | None) -> list[str]:
    """Return what the attacker was allowed to do, one sentence each."""
    values = attack.model_dump()
    norm, epsilon = attack.norm, distance_words(attack.norm, attack.epsilon)
    if norm is Norm.LINF:
        budget = f"change every pixel by at most {epsilon} (the largest change counts: {norm})"
    else:
        budget = (
            f"move the image by at most {epsilon} in all "
            f"(root of the summed squared changes: {norm})"
        )
    steps = count_words(values.get("num_steps", 1), "gradient step")
    restarts = count_words(values.get("num_restarts", 1), "start")
    goal = "any wrong class" if target is None else f"the class {target}"
    return [
        f"**Budget:** {budget}, pixels staying between black and white.",
        f"**Knowledge:** the whole model, with exact gradients (white box); {steps}, {restarts}.",
        f"**Goal:** {goal}.",
    ]
