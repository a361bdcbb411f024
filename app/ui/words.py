"""Models, attacks and results as text; knows no streamlit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.ui.plain import in_markdown
from app.ui.units import count_words, percent, percent_range
from robust_core.attacks.base import Attack
from robust_core.attacks.description import attack_title, short_words
from robust_core.checkpoints.card import RobustResult
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.checkpoints.info import STATED
from robust_core.config.imported import UNKNOWN_METHOD, ImportConfig
from robust_core.data import data_source
from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding, Severity, outcome_of_checks
from robust_core.evaluation.lowest import LowestKnown
from robust_core.evaluation.trace import AttackTrace
from robust_core.threat_model import Norm

Outcome = Literal["resists", "fooled", "moved", "beyond", "wrong"]


@dataclass(frozen=True)
class AttackOutcome:
    """The outcome of an attack on one image, and one sentence about it."""

    outcome: Outcome
    sentence: str


def distance_words(norm: Norm, distance: float) -> str:
    """Return a distance in pixel units as text: "25.5/255" for Linf, "1.6" for L2."""
    return f"{distance * 255:.3g}/255" if norm is Norm.LINF else f"{distance:.3g}"


def attack_words(name: str, parameters: Mapping[str, Any]) -> str:
    """Return an exact attack: "PGD-50, 5 restarts, Linf 25.5/255"."""
    words = short_words(name, parameters)
    if "norm" not in parameters or "epsilon" not in parameters:
        return words
    norm = Norm(parameters["norm"])
    return f"{words}, {norm} {distance_words(norm, parameters['epsilon'])}"


def exact_words(attack: Attack, *, exclude: Collection[str] = ()) -> str:
    """Return an exact attack, all but the parameters in `exclude`: "PGD-20, Linf 25.5/255"."""
    return attack_words(attack.name, attack.model_dump(mode="json", exclude=set(exclude)))


def seeded_words(attack: Attack, *, exclude: Collection[str] = ()) -> str:
    """Return an exact attack and its seed, 0 included: "PGD-20, Linf 25.5/255, seed 0"."""
    return f"{exact_words(attack, exclude=('seed', *exclude))}, seed {attack.seed}"


def checkpoint_title(info: CheckpointInfo) -> str:
    """Return the title of a checkpoint in a list: data set first."""
    title = info.config.title if info.name.startswith("runs/") and info.config.title else ""
    return f"{info.config.data.name} · {title or info.name}"


def short_name(info: CheckpointInfo) -> str:
    """Return the name of a checkpoint without its data set."""
    name = checkpoint_title(info).split(" · ", 1)[1]
    return name.removeprefix(f"{info.config.data.name}-")


def card_words(info: CheckpointInfo) -> str:
    """Return accuracies, notes and origin of a checkpoint in Markdown, a line each."""
    notes = info.measured.notes if info.measured and info.results else ()
    told = [*_stand_in_words(info.config.data.name), *notes, *_origin_words(info)]
    return as_lines([*accuracy_lines(info), *map(in_markdown, told)])


def _stand_in_words(data: str) -> list[str]:
    """Return that pages show other pictures than a data set's, where it is not here."""
    try:
        source = data_source(data)
    except InputError:  # a set of a person's own that is not here: the images say so
        return []
    if source.is_available() or not source.present_splits():
        return []
    return [f"⚠ {data} is {source.presence()}: they show effects and support no claim."]


def as_lines(lines: Sequence[str]) -> str:
    """Return lines of Markdown as one paragraph, each line on a line of its own."""
    return "  \n".join(lines)


def accuracy_lines(info: CheckpointInfo) -> list[str]:
    """Return the accuracies of a checkpoint in Markdown: clean, as reported, lowest measured."""
    card, first = info.measured, info.reported
    if card is None:
        return _arrival_lines(info)
    if first is None:
        return [
            "No measured accuracy for inference mode "
            f"{in_markdown(repr(mode_words(info.inference)))}."
        ]
    clean, number = card.clean_of(first)
    lowest = card.lowest(first)
    lines = [
        f"**{percent(clean)}** clean accuracy, {number:,} {in_markdown(card.split)} images",
        f"**{percent(first.accuracy)}** as reported, under {in_markdown(result_words(first))}"
        f" ({in_markdown(checks_words(first.findings))})",
        f"**{percent(lowest.accuracy)}** lowest measured, {in_markdown(lowest_words(lowest))}"
        f" ({in_markdown(checks_words(lowest.findings))})",
    ]
    mark = [f":material/outbox: These numbers are {STATED}."] if info.imported else []
    return [*mark, *lines]


def _arrival_lines(info: CheckpointInfo) -> list[str]:
    """Return what is known of a model that nothing has attacked yet, in Markdown."""
    clean, unknown = info.arrival, "Robust accuracy: not measured yet"
    if clean is None:
        return [unknown]
    words = f"clean accuracy, {clean.num_images:,} {in_markdown(clean.split)} images"
    return [f"**{percent(clean.accuracy)}** {words}", unknown]


def _origin_words(info: CheckpointInfo) -> list[str]:
    """Return how a model from elsewhere was opened, and what its checks on arrival warn of."""
    if not isinstance(info.config, ImportConfig):
        return []
    warned = [one for one in info.config.origin.findings if one.severity is not Severity.OK]
    return [info.config.words, *(f"⚠ {one.sentence} {one.advice}".strip() for one in warned)]


def checks_words(findings: Sequence[Finding]) -> str:
    """Return the result of the reliability checks of an accuracy, such as "checks: pass"."""
    found = outcome_of_checks(findings)
    return found if found == "not checked" else f"checks: {found}"


def lowest_words(lowest: LowestKnown) -> str:
    """Return the attacks behind the lowest measured accuracy, and the number of images."""
    cause = f", {lowest.finding.cause}" if lowest.finding and lowest.finding.cause else ""
    return f"{lowest.by}{cause}, worst case of {lowest.num_images:,} images"


def card_help(info: CheckpointInfo) -> str:
    """Return how a checkpoint was trained, and the intervals of its accuracies, in Markdown."""
    imported = isinstance(info.config, ImportConfig)
    clean = (
        info.measured.clean_interval if info.measured else info.arrival and info.arrival.interval
    )
    ending = "not trained here" if imported else f"epoch {info.epoch}"
    first = f"Method {info.config.method.name}, network {info.config.model.name}, {ending}."
    if clean is None:
        return in_markdown(first)
    sentences = [first, f"95\u00a0% intervals: {percent_range(clean, 1)} clean accuracy"]
    for result in info.results:
        share = percent_range(result.interval, 1)
        sentences.append(f"{share} under {attack_title(result.attack.name)}")
    return in_markdown(sentences[0] + " " + ", ".join(sentences[1:]) + ".")


def result_words(result: RobustResult) -> str:
    """Return the attack of a result on a card, and its surrogate model if there is one."""
    attack = result.attack
    repeats = f", worst of {attack.num_repeats} repeats" if attack.num_repeats > 1 else ""
    surrogate = f", computed on {attack.surrogate_words}" if attack.transfers else ""
    return attack_words(attack.name, attack.parameters) + repeats + surrogate


def mode_words(inference: str) -> str:
    """Return the name of an inference mode: `one_view` -> "one view", "" -> "base network"."""
    return inference.replace("_", " ") or "base network"


def defended(info: CheckpointInfo) -> bool:
    """Return whether the checkpoint is known to be trained with another method than standard."""
    return info.config.method.name not in ("standard", UNKNOWN_METHOD)


def is_denoiser(info: CheckpointInfo) -> bool:
    """Return whether a checkpoint is a denoiser, which is not used as a classifier."""
    return info.config.model.name == "denoiser"


def _kind(info: CheckpointInfo) -> str:
    """Return what to call a model: "robust" only if its card supports it."""
    if info.shown_robust:
        return "robust model"
    standard = info.config.method.name == "standard" and not info.masks_gradients
    return "standard model" if standard else "model"


def attack_outcome(trace: AttackTrace, info: CheckpointInfo) -> AttackOutcome:
    """Return the outcome of an attack in Markdown, with both predictions and confidences."""
    names = [in_markdown(name) for name in info.class_names]
    label, before, after = (
        names[trace.label],
        names[trace.clean_prediction],
        names[trace.prediction],
    )
    model = _kind(info)
    attack = attack_title(trace.attack.name)
    if trace.clean_prediction != trace.label and trace.target in (None, trace.clean_prediction):
        targeted = "" if trace.target is None else ", the target,"
        return AttackOutcome(
            "wrong",
            f"The model already classifies this {label} as {before}{targeted} without any attack "
            f"({percent(float(trace.clean.max()))}), so there is nothing to attack.",
        )
    old, new = percent(float(trace.clean[trace.label])), percent(float(trace.adversarial.max()))
    if not trace.success and trace.survival[0].adversarial:
        norm, epsilon = trace.attack.norm, trace.attack.epsilon
        return AttackOutcome(
            "beyond",
            f"{label} becomes {after} only at distance {distance_words(norm, trace.distance)}, "
            f"beyond the perturbation budget of {distance_words(norm, epsilon)}: {attack} found no "
            "adversarial example within it.",
        )
    if trace.target is not None:
        target = names[trace.target]
        if trace.clean_prediction != trace.label:
            return _targeted_on_error(trace, info)
        if trace.success:
            return AttackOutcome(
                "fooled",
                f"{label} becomes {target}, the target: {attack} fools the {model} ({new}).",
            )
        if trace.prediction != trace.label:
            return AttackOutcome(
                "moved",
                f"{label} becomes {after} ({new}), not the target {target}: the {model} is fooled, "
                "but not into the target class.",
            )
        reached = percent(float(trace.adversarial[trace.target]))
        return AttackOutcome(
            "resists",
            f"{label} stays {label}: the {model} resists {attack}, the target {target} reaches "
            f"{reached}; confidence {old} → {new}.",
        )
    if trace.success:
        return AttackOutcome(
            "fooled",
            f"{label} becomes {after}: {attack} fools the {model}. Confidence {old} in {label} "
            f"before, {new} in {after} now.",
        )
    return AttackOutcome(
        "resists",
        f"{label} stays {label}: the {model} resists {attack} on this image, "
        f"confidence {old} → {new}.",
    )


def _targeted_on_error(trace: AttackTrace, info: CheckpointInfo) -> AttackOutcome:
    """Return the outcome of a targeted attack on an image that is misclassified without it."""
    label, before, after = (
        in_markdown(info.class_names[k])
        for k in (trace.label, trace.clean_prediction, trace.prediction)
    )
    start = f"The model classifies this {label} as {before} without any attack"
    if trace.success:
        return AttackOutcome(
            "moved",
            f"{start}; {attack_title(trace.attack.name)} makes it {after}, the "
            f"target ({percent(float(trace.adversarial.max()))}).",
        )
    return AttackOutcome("wrong", f"{start}, and as {after} under it, not as the target.")


def permissions(attack: Attack, target: str | None) -> list[str]:
    """Return threat model, knowledge, computation and criterion of an attack, in Markdown."""
    if attack.name == "spatial":
        budget = (
            "rotate and translate the image up to the maximum set here; no bound on pixel values"
        )
    else:
        budget = _budget_words(attack)
    if attack.gradient_free:
        knowledge = "the model's outputs only, no gradients (black box)"
    else:
        knowledge = "the whole model and its gradients (white box)"
    criterion = "any wrong class" if target is None else f"the class {in_markdown(target)}"
    return [
        f"**Perturbation budget:** {budget}, with pixels in [0, 1].",
        f"**Knowledge:** {knowledge}.",
        f"**Computation:** {_effort_words(attack)}.",
        f"**Criterion:** {criterion}.",
    ]


def _budget_words(attack: Attack) -> str:
    epsilon = distance_words(attack.norm, attack.epsilon)
    if attack.norm is Norm.LINF:
        words = f"change every pixel value by at most {epsilon} ({attack.norm} norm)"
    else:
        words = (
            f"change the image by at most {epsilon} in total "
            f"({attack.norm} norm: root of the sum of squared changes)"
        )
    if attack.minimum_norm:
        return (
            f"{words}; this attack searches for the nearest adversarial image and succeeds if that "
            "lies within the budget"
        )
    return words


def _effort_words(attack: Attack) -> str:
    nouns = {"num_steps": "step", "num_queries": "query", "num_restarts": "restart"}
    values = attack.model_dump()
    parts = [count_words(values[name], noun) for name, noun in nouns.items() if name in values]
    return ", ".join([*parts, f"at most {count_words(attack.passes(), 'pass')} through the model"])
