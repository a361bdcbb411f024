"""Results as table rows: one accuracy each, with attack and images; no streamlit."""

from collections.abc import Collection
from dataclasses import dataclass

from app.ui.finding_words import SEVERITY_WORDS
from app.ui.units import percent, percent_with_interval
from app.ui.words import attack_words, distance_words
from robust_core.attacks.description import short_words
from robust_core.evaluation.finding import Severity, overall
from robust_core.evaluation.lowest import LowestKnown
from robust_core.evaluation_runs import AttackResult, CheckpointResult

SYMBOLS = {Severity.OK: "✔", Severity.WARN: "⚠", Severity.FAIL: "✖"}
NOT_CHECKED, NOT_YET = "– not checked", "… not yet checked"
LOWEST = "Lowest measured, image by image"
WEAK = "⚠ weak attack"
TRANSFER = "⚠ transfer attack"
AS_REPORTED = "as reported"
WEAK_BY = 0.04  # share of images that all attacks together break besides those of a weak one
EFFORT = {"num_steps": "steps", "num_queries": "queries", "num_restarts": "restarts"}


@dataclass(frozen=True)
class Row:
    """One accuracy, as the table and the report show it.

    Attributes:
        model: name of the checkpoint.
        attack: the attack in words.
        accuracy: share of correct images in [0, 1]. interval: its 95 % interval.
        num_correct: correct images, out of num_images.
        num_broken_alone: images that only this attack breaks; None without an attack and for the
            lowest accuracy.
        norm, epsilon, effort: threat model and effort of the attack, in words.
        checks: result of the reliability checks, icon and word.
        label: the attack's label in the plan; "" without one.
        surrogate: model the attack was computed on; "" for the evaluated one.
    """

    model: str
    attack: str
    accuracy: float
    interval: tuple[float, float]
    num_correct: int
    num_images: int
    num_broken_alone: int | None
    norm: str
    epsilon: str
    effort: str
    checks: str
    label: str = ""
    surrogate: str = ""

    @property
    def share(self) -> str:
        """The accuracy without its interval, in words."""
        return percent(self.accuracy, 1)

    @property
    def share_with_interval(self) -> str:
        """The accuracy with its interval, in words."""
        return percent_with_interval(self.accuracy, self.interval)


def check_words(one: AttackResult, *, pending: bool = False) -> str:
    """Return the worst result of an attack's reliability checks, or that there was none.

    Args:
        one: the result of the attack.
        pending: whether checks were requested, so that missing ones are still to come.
    """
    if not one.report.findings:
        if one.choice.surrogate:
            return TRANSFER
        return NOT_YET if pending else NOT_CHECKED
    severity = overall(one.report.findings)
    return f"{SYMBOLS[severity]} {SEVERITY_WORDS[severity]}"


def lowest_checks(lowest: LowestKnown, *, pending: bool = False) -> str:
    """Return the result of the checks of the lowest accuracy; `pending` as in `check_words`."""
    if not lowest.findings:
        return NOT_YET if pending else NOT_CHECKED
    if lowest.finding is not None:
        return f"⚠ {lowest.finding.cause or 'found by a check'}"
    severity = overall(lowest.findings)
    return f"{SYMBOLS[severity]} {SEVERITY_WORDS[severity]}"


def result_rows(result: CheckpointResult, *, pending: Collection[str] = ()) -> list[Row]:
    """Return the rows of a checkpoint: clean, each attack, and the lowest of all and their checks.

    Args:
        result: of the evaluation.
        pending: labels of the attacks whose checks were requested.
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
    rows += [_attack_row(result, one, one.label in pending) for one in result.attacks]
    lowest = result.lowest
    if len(result.attacks) > 1 or lowest.finding is not None:
        threat_models = {(row.norm, row.epsilon) for row in rows[1:]}
        norm, epsilon = threat_models.pop() if len(threat_models) == 1 else ("several", "")
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
                lowest_checks(lowest, pending=lowest.by in pending),
            )
        )
    return rows


def _attack_row(result: CheckpointResult, one: AttackResult, pending: bool) -> Row:
    report, attack = one.report, one.report.attack
    assert attack is not None, "a report in a list of attacks has one"
    parameters = attack.model_dump()
    effort = [
        f"{parameters[name]:,} {words}"
        for name, words in EFFORT.items()
        if name in parameters and (name, parameters[name]) != ("num_restarts", 1)
    ]
    claim = f", {AS_REPORTED}" if one.choice.role == "claim" else ""
    return Row(
        model=result.name,
        attack=f"{short_words(attack.name, parameters)}{claim}",
        accuracy=report.robust_accuracy,
        interval=report.robust_interval,
        num_correct=int(report.robust_correct.sum()),
        num_images=report.num_images,
        num_broken_alone=result.num_fooled_alone(one.label),
        norm=str(attack.norm),
        epsilon=distance_words(attack.norm, attack.epsilon),
        effort=" × ".join(effort) or f"≤ {attack.passes():,} passes",
        checks=WEAK if _is_weak(result, one) else check_words(one, pending=pending),
        label=one.label,
        surrogate=one.choice.surrogate_words,
    )


def _is_weak(result: CheckpointResult, one: AttackResult) -> bool:
    """Return whether the attacks together break clearly more images than this one.

    False for a transfer attack, and where its own checks warn or fail: the table says that instead.
    """
    if one.choice.surrogate or overall(one.report.findings) is not Severity.OK:
        return False
    return one.report.robust_accuracy - result.worst_case_accuracy > WEAK_BY


def exact_words(one: AttackResult) -> str:
    """Return the exact attack in words."""
    words = attack_words(one.choice.name, one.choice.parameters)
    return f"{words}, computed on {one.choice.surrogate_words}" if one.choice.surrogate else words
