"""The card of a checkpoint: what was measured on it, under which exact attacks."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from robust_core.aliases import attack_of_result
from robust_core.attacks.base import ATTACKS
from robust_core.attacks.description import describe_attack
from robust_core.config.attack_run import CardAttack
from robust_core.config.choice import complete
from robust_core.config.run import RunConfig
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.lowest import (
    LowestKnown,
    Measured,
    headline,
    lowest_known,
    wilson_interval,
)
from robust_core.parameters import Parameters
from robust_core.threat_model import Norm, ThreatModel

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(max_length=200)]
TOLERANCE = 1e-9
WHOLE = 1e-3  # of an image
Sentence = Annotated[str, Field(max_length=1000)]
Bits = Annotated[str, Field(max_length=100_000, pattern="^[01]*$")]  # an image a digit, 1: correct


class RobustResult(Parameters):
    """Accuracy under one exact attack, with its 95 % interval.

    Fields: `clean_accuracy` of what was evaluated on these images, or none where it is the card's;
    `correct` says image by image, in the order of the card's sample, what is correct without and
    under the attack; `findings` and `checked_correct` are those of `RobustnessReport`, none where
    this very number was not checked.
    """

    attack: CardAttack
    accuracy: Share
    interval: tuple[Share, Share]
    num_images: Annotated[int, Field(ge=1)]
    clean_accuracy: Share | None = None
    correct: Bits = ""
    findings: Annotated[tuple[Finding, ...], Field(max_length=100)] = ()
    checked_correct: Bits = ""
    notes: Annotated[tuple[Sentence, ...], Field(max_length=20)] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_old_fields(cls, values: Any) -> Any:
        return attack_of_result(values)

    @field_validator("attack")
    @classmethod
    def _check_attack(cls, choice: CardAttack) -> CardAttack:
        complete("attack", choice, ATTACKS.get(choice.name))
        return choice

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        _check_share(self.accuracy, self.interval, self.num_images)
        told, checked = len(self.correct), len(self.checked_correct)
        if told not in (0, self.num_images) or checked > self.num_images:
            raise ValueError(
                f"image by image there should be {self.num_images:,} results, got {told:,}, of "
                f"which {checked:,} were checked"
            )
        if self.correct and self.correct.count("1") / len(self.correct) != self.accuracy:
            raise ValueError("the accuracy should be that of the images, image by image")
        if self.clean_accuracy is not None and self.accuracy > self.clean_accuracy + TOLERANCE:
            raise ValueError(_above(self.accuracy, self.clean_accuracy))
        return self

    @classmethod
    def of(cls, asked: CardAttack, report: RobustnessReport) -> Self:
        """Return what was found of what was asked for."""
        assert report.attack is not None
        checked = report.checked_correct
        return cls(
            attack=asked.model_copy(update=describe_attack(report.attack)),
            accuracy=report.robust_accuracy,
            interval=report.robust_interval,
            num_images=report.num_images,
            clean_accuracy=report.clean_accuracy,
            correct=_bits(report.robust_correct),
            findings=report.findings,
            checked_correct="" if checked is None else _bits(checked),
            notes=report.notes,
        )

    @property
    def threat_model(self) -> ThreatModel | None:
        """What the attacker was allowed to do; None for an attack without norm and epsilon."""
        values = self.attack.parameters
        if "epsilon" not in values:
            return None
        return ThreatModel(Norm(values["norm"]), values["epsilon"])

    @property
    def measured(self) -> Measured:
        """This result as `lowest_known` takes it."""
        right = round(self.accuracy * self.num_images)
        bits = self.correct or "1" * right + "0" * (self.num_images - right)
        checked = _mask(self.checked_correct) if self.checked_correct else None
        return Measured(self.attack.words, _mask(bits), self.findings, checked)

    def compares_with(self, other: "RobustResult") -> bool:
        """Return whether two results are of one inference mode and one threat model."""
        return (self.attack.inference, self.threat_model) == (
            other.attack.inference,
            other.threat_model,
        )


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

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        _check_share(self.clean_accuracy, self.clean_interval, self.num_images)
        right = self.clean_accuracy * self.num_images
        for one in self.results_of(""):  # what is correct under an attack is so without it, too
            if one.num_images <= self.num_images and one.accuracy * one.num_images > right + WHOLE:
                raise ValueError(_above(one.accuracy, self.clean_accuracy))
        return self

    @property
    def reported(self) -> RobustResult:
        """The result as the method's paper would report it: its protocol, or the first."""
        return next((one for one in self.robust if one.attack.role == "claim"), self.robust[0])

    def results_of(self, inference: str) -> tuple[RobustResult, ...]:
        """Return the results of one inference mode; "" is the base network."""
        return tuple(one for one in self.robust if one.attack.inference == inference)

    def lowest(self, about: RobustResult | None = None) -> LowestKnown:
        """Return the lowest accuracy measured for the same inference mode and threat model.

        It is the worst case image by image over all results and their checks; a transfer attack is
        as good an upper bound as any other. Results of older cards, which do not say it image by
        image, count with their accuracy.

        Args:
            about: one of the results; None: `reported`.
        """
        about = about or self.reported
        same = [one for one in self.robust if one.compares_with(about)]
        told = [one.measured for one in same if one.correct]
        found = [lowest_known(told)] if told else []
        found += [lowest_known([one.measured]) for one in same if not one.correct]
        return min(found, key=lambda one: one.accuracy)

    def strongest(self, about: RobustResult | None = None) -> RobustResult:
        """Return the result that is behind `lowest`, by its attack or by the checks of it."""
        about = about or self.reported
        by = self.lowest(about).by
        same = [one for one in self.robust if one.compares_with(about) and one.attack.words == by]
        return min(same, key=lambda one: one.accuracy)

    def headline(self) -> str:
        """Return the one sentence: what is reported, the lowest measured, what that is worth."""
        return headline(self.reported.accuracy, self.lowest(), self.reported.findings)

    def clean_of(self, result: RobustResult) -> tuple[float, int]:
        """Return the clean accuracy of what a result evaluated, and on how many images."""
        if result.clean_accuracy is None or not result.attack.inference:
            return self.clean_accuracy, self.num_images
        return result.clean_accuracy, result.num_images

    def clean_interval_of(self, result: RobustResult) -> tuple[float, float]:
        """Return the 95 % interval of `clean_of`."""
        share, number = self.clean_of(result)
        return wilson_interval(round(share * number), number)


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
) -> Card:
    """Return the card of a checkpoint.

    Args:
        config: the run that made it.
        split: "test" or "validation".
        epoch: complete epochs behind the weights.
        results: at least one, all on the beginning of one stratified order of the images; the first
            says how accurate the network itself is without an attack.
        notes: sentences about the model that its numbers do not say.
    """
    first = results[0].report
    return Card(
        split=split,
        num_images=first.num_images,
        sample="stratified",
        clean_accuracy=first.clean_accuracy,
        clean_interval=first.clean_interval,
        robust=tuple(RobustResult.of(one.asked, one.report) for one in results),
        notes=tuple(notes),
        epoch=epoch,
        seed=config.seed,
        versions=versions(),
    )


def _check_share(accuracy: float, interval: tuple[float, float], num_images: int) -> None:
    """Raise `ValueError` unless an accuracy is of whole images and lies in its interval."""
    low, high = interval
    if not low - TOLERANCE <= accuracy <= high + TOLERANCE:
        raise ValueError(
            f"an accuracy lies in its interval, got {accuracy:.3f} and {low:.3f} to {high:.3f}"
        )
    if abs(accuracy * num_images - round(accuracy * num_images)) > WHOLE:
        raise ValueError(
            f"an accuracy counts whole images, got {accuracy:.6g} of {num_images:,} images"
        )


def _above(accuracy: float, clean: float) -> str:
    return (
        f"the robust accuracy is at most the clean one on the same images, got {accuracy:.3f} and "
        f"{clean:.3f}"
    )


def _bits(mask: Tensor) -> str:
    return "".join("1" if one else "0" for one in mask.tolist())


def _mask(bits: str) -> Tensor:
    return torch.tensor([bit == "1" for bit in bits], dtype=torch.bool)


def versions() -> dict[str, str]:
    """Return the versions that a measured number depends on."""
    return {"python": platform.python_version(), "torch": torch.__version__}
