"""Results as rows of words: one row for every number, with all that it rests on; no streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from app.ui.finding_words import SEVERITY_WORDS
from app.ui.words import attack_words, distance_words
from robust_core.attacks.description import short_words
from robust_core.evaluation.finding import Severity, overall
from robust_core.evaluation.lowest import LowestKnown
from robust_core.evaluation_runs import AttackResult, CheckpointResult

SYMBOLS = {Severity.OK: "✔", Severity.WARN: "⚠", Severity.FAIL: "✖"}
NOT_CHECKED, NOT_YET = "– not checked", "… not yet checked"
LOWEST = "Lowest known, image by image"
BEATEN = "⚠ beaten here"
ELSEWHERE = "⚠ another model attacked"
CLAIM = "the paper's way"
BEATEN_BY = 0.04  # share of the images by which all attacks together break more than this one
EFFORT = {"num_steps": "steps", "num_queries": "queries", "num_restarts": "starts"}


@dataclass(frozen=True)
class Row:
    """One number: what the table, the report and the choice of fallen images show of it.

    Attributes:
        model: name of the checkpoint.
        attack: what it was attacked with, in words.
        accuracy: share of right images in [0, 1]. interval: its 95 % interval.
        standing: images that stand. num_images: of how many.
        only: images that fell to this attack alone; None for the worst case.
        norm, epsilon, steps: what the attacker was allowed, in words.
        trust: the verdict of the checks, icon and word.
        label: the attack's label in the plan; "" for the worst case and without an attack.
        source: what the attack was made on; "" for what is judged.
    """

    model: str
    attack: str
    accuracy: float
    interval: tuple[float, float]
    standing: int
    num_images: int
    only: int | None
    norm: str
    epsilon: str
    steps: str
    trust: str
    label: str = ""
    source: str = ""


def share_words(share: float, interval: Sequence[float]) -> str:
    """Return an accuracy with its 95 % interval: "81.0 % (72–88)"."""
    low, high = interval
    return f"{100 * share:.1f} % ({100 * low:.0f}–{100 * high:.0f})"


def trust_words(one: AttackResult, *, wanted: bool = False) -> str:
    """Return what the checks say about a number: "✔ fine", or that there were none.

    Args:
        one: the number.
        wanted: whether checks were asked for, so that they are still to come if they are missing.
    """
    if not one.report.findings:
        if one.choice.source:
            return ELSEWHERE
        return NOT_YET if wanted else NOT_CHECKED
    severity = overall(one.report.findings)
    return f"{SYMBOLS[severity]} {SEVERITY_WORDS[severity]}"


def lowest_trust(lowest: LowestKnown, *, wanted: bool = False) -> str:
    """Return what the checks say of the lowest known number; `wanted` as for `trust_words`."""
    if not lowest.findings:
        return NOT_YET if wanted else NOT_CHECKED
    if lowest.finding is not None:
        return f"⚠ {lowest.finding.cause or 'found by a check'}"
    severity = overall(lowest.findings)
    return f"{SYMBOLS[severity]} {SEVERITY_WORDS[severity]}"


def result_rows(result: CheckpointResult, *, wanted: bool = False) -> list[Row]:
    """Return the rows of a checkpoint: clean, every attack, the lowest of them and their checks.

    Args:
        result: what was found.
        wanted: as for `trust_words`.
    """
    clean = result.clean
    number = clean.num_images
    rows = [
        Row(
            result.name,
            "None (clean accuracy)",
            clean.clean_accuracy,
            clean.clean_interval,
            int(clean.clean_correct.sum()),
            number,
            None,
            "",
            "",
            "",
            "",
        )
    ]
    rows += [_attack_row(result, one, wanted) for one in result.attacks]
    lowest = result.lowest
    if len(result.attacks) > 1 or lowest.finding is not None:
        balls = {(row.norm, row.epsilon) for row in rows[1:]}
        norm, epsilon = balls.pop() if len(balls) == 1 else ("several", "")
        rows.append(
            Row(
                result.name,
                LOWEST,
                lowest.accuracy,
                lowest.interval,
                int(lowest.correct.sum()),
                lowest.num_images,
                None,
                norm,
                epsilon,
                "",
                lowest_trust(lowest, wanted=wanted),
            )
        )
    return rows


def fallen(result: CheckpointResult, label: str) -> list[int]:
    """Return the places of the images that are right and fall under the attack called `label`."""
    report = next(one.report for one in result.attacks if one.label == label)
    return torch.where(report.clean_correct & ~report.robust_correct)[0].tolist()


def _attack_row(result: CheckpointResult, one: AttackResult, wanted: bool) -> Row:
    report, attack = one.report, one.report.attack
    assert attack is not None, "a report in a list of attacks has one"
    others = [other.report.robust_correct for other in result.attacks if other is not one]
    saved = torch.stack([result.clean.clean_correct, *others]).all(dim=0)
    parameters = attack.model_dump()
    effort = [
        f"{parameters[name]:,} {words}"
        for name, words in EFFORT.items()
        if name in parameters and (name, parameters[name]) != ("num_restarts", 1)
    ]
    claim = f", {CLAIM}" if one.choice.role == "claim" else ""
    return Row(
        model=result.name,
        attack=f"{short_words(attack.name, parameters)}{claim}",
        accuracy=report.robust_accuracy,
        interval=report.robust_interval,
        standing=int(report.robust_correct.sum()),
        num_images=report.num_images,
        only=int((saved & ~report.robust_correct).sum()),
        norm=str(attack.norm),
        epsilon=distance_words(attack.norm, attack.epsilon),
        steps=", ".join(effort) or f"≤ {attack.passes():,} passes",
        trust=BEATEN if _is_beaten(result, one) else trust_words(one, wanted=wanted),
        label=one.label,
        source=one.choice.source,
    )


def _is_beaten(result: CheckpointResult, one: AttackResult) -> bool:
    """Return whether the other attacks show that this number is no measure of robustness.

    What its own checks found is said where that is worse, and that another model was attacked.
    """
    if one.choice.source or overall(one.report.findings) is not Severity.OK:
        return False
    return one.report.robust_accuracy - result.worst_case_accuracy > BEATEN_BY


def exact_words(one: AttackResult) -> str:
    """Return the exact attack in words."""
    words = attack_words(one.choice.name, one.choice.parameters)
    return f"{words}, made on {one.choice.source}" if one.choice.source else words
