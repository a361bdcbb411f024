"""The card of a checkpoint: what was measured on it, under which exact attacks."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from robust_core.attacks.base import ATTACKS
from robust_core.attacks.description import short_words
from robust_core.config.run import CardAttack, Choice, RunConfig, complete
from robust_core.evaluation.accuracy import RobustnessReport, describe_attack
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation.lowest import (
    LowestKnown,
    Measured,
    headline,
    lowest_known,
    wilson_interval,
)
from robust_core.parameters import Parameters

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(max_length=200)]
Sentence = Annotated[str, Field(max_length=1000)]
Bits = Annotated[str, Field(max_length=100_000, pattern="^[01]*$")]  # an image a digit, 1: correct


class CardFinding(Parameters):
    """What a check said about a number; see `robust_core.evaluation.finding`."""

    name: Name
    severity: Severity
    value: float | None
    threshold: float
    sentence: Sentence
    advice: Sentence = ""
    accuracy: Share | None = None
    cause: Sentence = ""


class RobustResult(Parameters):
    """Accuracy under one exact attack, with its 95 % interval.

    Fields: `inference`, `crafted_on`, `role` and `num_verdicts` as in `CardAttack`;
    `clean_accuracy` of what was judged on these images, or none where it is the card's;
    `correct` says image by image, in the order of the card's sample, what is correct without and
    under the attack; `findings` and `checked_correct` are those of `RobustnessReport`, none where
    this very number was not checked.
    """

    attack: Choice
    accuracy: Share
    interval: tuple[Share, Share]
    num_images: Annotated[int, Field(ge=1)]
    clean_accuracy: Share | None = None
    inference: Name = ""
    crafted_on: Name | None = None
    role: Literal["claim", "check"] = "check"
    num_verdicts: Annotated[int, Field(ge=1)] = 1
    correct: Bits = ""
    findings: Annotated[tuple[CardFinding, ...], Field(max_length=100)] = ()
    checked_correct: Bits = ""
    notes: Annotated[tuple[Sentence, ...], Field(max_length=20)] = ()

    @field_validator("attack")
    @classmethod
    def _check_attack(cls, choice: Choice) -> Choice:
        complete("attack", choice, ATTACKS.get(choice.name))
        return choice

    @model_validator(mode="after")
    def _check_numbers(self) -> "RobustResult":
        low, high = self.interval
        if not low - 1e-9 <= self.accuracy <= high + 1e-9:
            raise ValueError(
                f"an accuracy lies in its interval, got {self.accuracy:.3f} and "
                f"{low:.3f} to {high:.3f}"
            )
        if self.correct and self.correct.count("1") / len(self.correct) != self.accuracy:
            raise ValueError("the accuracy should be that of the images, image by image")
        return self


class Card(Parameters):
    """What was measured on a checkpoint: on "test", or on "validation" while a run goes on.

    `sample` says which images: a stratified sample (`ImageSet.sample`, seed 0), or the first ones.
    """

    split: Name
    num_images: Annotated[int, Field(ge=1)]
    sample: Literal["first", "stratified"] = "first"
    clean_accuracy: Share
    clean_interval: tuple[Share, Share]
    robust: Annotated[tuple[RobustResult, ...], Field(min_length=1, max_length=100)]
    notes: Annotated[tuple[Sentence, ...], Field(max_length=20)] = ()
    epoch: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    versions: dict[str, Name]

    @model_validator(mode="before")
    @classmethod
    def _take_old_findings(cls, values: Any) -> Any:
        """Older cards hold the findings of their first number beside it."""
        if not isinstance(values, dict) or "findings" not in values:
            return values
        values = dict(values)
        findings, robust = values.pop("findings"), values.get("robust")
        if findings and isinstance(robust, list | tuple) and isinstance(robust[0], dict):
            values["robust"] = [{**robust[0], "findings": findings}, *robust[1:]]
        return values


@dataclass(frozen=True)
class CardResult:
    """What was asked for the card, and what was found."""

    asked: CardAttack
    report: RobustnessReport


def make_card(
    config: RunConfig,
    split: str,
    epoch: int,
    results: Sequence[CardResult],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the card of a checkpoint as plain JSON values.

    Args:
        config: the run that made it.
        split: "test" or "validation".
        epoch: complete epochs behind the weights.
        results: at least one, all on the beginning of one stratified order of the images; the first
            says how accurate the network itself is without an attack.
        notes: sentences about the model that its numbers do not say.
    """
    first = results[0].report
    return {
        "split": split,
        "num_images": first.num_images,
        "sample": "stratified",
        "clean_accuracy": first.clean_accuracy,
        "clean_interval": list(first.clean_interval),
        "robust": [_result(one.asked, one.report) for one in results],
        "notes": list(notes),
        "epoch": epoch,
        "seed": config.seed,
        "versions": versions(),
    }


def _result(asked: CardAttack, report: RobustnessReport) -> dict[str, Any]:
    assert report.attack is not None
    checked = report.checked_correct
    return {
        "attack": describe_attack(report.attack),
        "accuracy": report.robust_accuracy,
        "interval": list(report.robust_interval),
        "num_images": report.num_images,
        "clean_accuracy": report.clean_accuracy,
        "inference": asked.inference,
        "crafted_on": asked.crafted_on,
        "role": asked.role,
        "num_verdicts": asked.num_verdicts,
        "correct": _bits(report.robust_correct),
        "findings": [finding.to_json() for finding in report.findings],
        "checked_correct": "" if checked is None else _bits(checked),
        "notes": list(report.notes),
    }


def _bits(mask: Tensor) -> str:
    return "".join("1" if one else "0" for one in mask.tolist())


def _mask(bits: str) -> Tensor:
    return torch.tensor([bit == "1" for bit in bits], dtype=torch.bool)


def reported_result(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the result as the method's paper would report it: its protocol, or the first."""
    results = card["robust"]
    return next((result for result in results if result["role"] == "claim"), results[0])


def lowest_of(card: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> LowestKnown:
    """Return the lowest accuracy measured for the same inference and threat model.

    It is the worst case image by image over all results and their checks; a transfer attack is as
    good an upper bound as any other. Results of older cards, which do not say it image by image,
    count with their accuracy.

    Args:
        card: the card.
        about: one of its results; None: `reported_result`.
    """
    about = about or reported_result(card)
    same = [result for result in card["robust"] if is_about(result, about)]
    told = [measured_of(result) for result in same if result["correct"]]
    older = [measured_of(result) for result in same if not result["correct"]]
    found = [lowest_known(told)] if told else []
    found += [lowest_known([one]) for one in older]
    return min(found, key=lambda one: one.accuracy)


def measured_of(result: Mapping[str, Any]) -> Measured:
    """Return a result of a card as `lowest_known` takes it."""
    number = result["num_images"]
    right = round(result["accuracy"] * number)
    bits = result["correct"] or "1" * right + "0" * (number - right)
    checked = result["checked_correct"]
    return Measured(
        result_words(result),
        _mask(bits),
        findings_of(result),
        _mask(checked) if checked else None,
    )


def findings_of(result: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return what the checks of this very number found; empty: it was not checked."""
    return tuple(Finding.from_json(values) for values in result["findings"])


def headline_of(card: Mapping[str, Any]) -> str:
    """Return the one sentence: what is reported, and what is the lowest that was measured."""
    reported = reported_result(card)
    return headline(reported["accuracy"], lowest_of(card, reported))


def result_words(result: Mapping[str, Any]) -> str:
    """Return the attack behind a result in words, but for its threat model and surrogate."""
    words = short_words(result["attack"]["name"], result["attack"]["parameters"])
    repeats = result["num_verdicts"]
    return words if repeats == 1 else f"{words}, worst of {repeats} repeats"


def clean_of(card: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[float, int]:
    """Return the clean accuracy of what a result judged, and on how many images."""
    if result["clean_accuracy"] is None or not result["inference"]:
        return card["clean_accuracy"], card["num_images"]
    return result["clean_accuracy"], result["num_images"]


def clean_interval_of(card: Mapping[str, Any], result: Mapping[str, Any]) -> tuple[float, float]:
    """Return the 95 % interval of `clean_of`."""
    share, number = clean_of(card, result)
    return wilson_interval(round(share * number), number)


def is_about(result: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two results are of one inference and one threat model."""
    one, two = (
        (each["inference"], values.get("norm"), values.get("epsilon"))
        for each, values in ((each, each["attack"]["parameters"]) for each in (result, other))
    )
    return one == two


def versions() -> dict[str, str]:
    """Return the versions that a measured number depends on."""
    return {"python": platform.python_version(), "torch": torch.__version__}
