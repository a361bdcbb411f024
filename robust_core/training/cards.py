"""The card of a checkpoint: what was measured on it, under which exact attacks."""

import platform
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator

from robust_core.attacks.base import ATTACKS
from robust_core.evaluation.accuracy import RobustnessReport, describe_attack
from robust_core.evaluation.finding import Finding, Severity, overall
from robust_core.parameters import Parameters
from robust_core.training.config import CardAttack, Choice, RunConfig, complete

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(max_length=200)]
Sentence = Annotated[str, Field(max_length=1000)]


class RobustResult(Parameters):
    """Accuracy under one exact attack, with its 95 % interval.

    Fields: `inference`, `crafted_on`, `role` and `num_verdicts` as in `CardAttack`;
    `clean_accuracy` of what was judged on these images, or none where it is the card's.
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

    @field_validator("attack")
    @classmethod
    def _check_attack(cls, choice: Choice) -> Choice:
        complete("attack", choice, ATTACKS.get(choice.name))
        return choice


class CardFinding(Parameters):
    """What a check said about the card's first number; see `robust_core.evaluation.finding`."""

    name: Name
    severity: Severity
    value: float | None
    threshold: float
    sentence: Sentence
    advice: Sentence = ""


class Card(Parameters):
    """What was measured on a checkpoint: on "test", or on "validation" while a run goes on."""

    split: Name
    num_images: Annotated[int, Field(ge=1)]
    clean_accuracy: Share
    clean_interval: tuple[Share, Share]
    robust: Annotated[tuple[RobustResult, ...], Field(min_length=1, max_length=100)]
    findings: Annotated[tuple[CardFinding, ...], Field(max_length=100)] = ()
    epoch: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    versions: dict[str, Name]


def make_card(
    config: RunConfig,
    split: str,
    epoch: int,
    results: Sequence[tuple[CardAttack, RobustnessReport]],
    findings: Sequence[Finding] = (),
) -> dict[str, Any]:
    """Return the card of a checkpoint as plain JSON values.

    Args:
        config: the run that made it.
        split: "test" or "validation".
        epoch: complete epochs behind the weights.
        results: what was asked and what was found, at least one; the first says how accurate the
            network itself is without an attack.
        findings: of the checks on the first result.
    """
    first = results[0][1]
    return {
        "split": split,
        "num_images": first.num_images,
        "clean_accuracy": first.clean_accuracy,
        "clean_interval": list(first.clean_interval),
        "robust": [_result(asked, report) for asked, report in results],
        "findings": [finding.to_json() for finding in findings],
        "epoch": epoch,
        "seed": config.seed,
        "versions": versions(),
    }


def _result(asked: CardAttack, report: RobustnessReport) -> dict[str, Any]:
    assert report.attack is not None
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
    }


def claimed_result(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the result that stands for the method's claim: its paper's protocol, or the first."""
    results = card["robust"]
    return next((result for result in results if result["role"] == "claim"), results[0])


def settled_result(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the lowest result for what the claim judged in its ball: the number to believe.

    A transfer attack is as good an upper bound as any other, so it counts, too.
    """
    about = _about(claimed_result(card))
    same = [result for result in card["robust"] if _about(result) == about]
    return min(same, key=lambda result: result["accuracy"])


def _about(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a number is about: the use of the network, norm and radius."""
    values = result["attack"]["parameters"]
    return result["inference"], values.get("norm"), values.get("epsilon")


def verdict(card: Mapping[str, Any]) -> str:
    """Return what the checks found: "ok", "fail: black box", or "not run"."""
    findings = [Finding.from_json(values) for values in card["findings"]]
    if not findings:
        return "not run"
    bad = [finding.name.replace("_", " ") for finding in findings if finding.severity != "ok"]
    return f"{overall(findings)}: {', '.join(bad)}" if bad else "ok"


def versions() -> dict[str, str]:
    """Return the versions that a measured number depends on."""
    return {"python": platform.python_version(), "torch": torch.__version__}
