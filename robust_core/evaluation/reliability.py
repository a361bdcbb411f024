"""Can a robustness number be trusted? Checks that catch masked gradients and weak attacks.

After Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018,
arXiv:1802.00420, section 3.1, and Carlini et al., "On Evaluating Adversarial Robustness",
arXiv:1902.06705, sections 4 and 5. The thresholds are this project's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, AttackStep, attack_from
from robust_core.attacks.bpda import BPDA
from robust_core.attacks.goal import Goal
from robust_core.evaluation.accuracy import RobustnessReport, evaluate
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.gradients import evaluation_mode, input_gradient, predict_logits
from robust_core.models.wrappers import ScaledLogits
from robust_core.threat_model import LARGEST_EPSILON, Norm

TINY_GRADIENT = 1e-8  # L2 norm of an image's loss gradient that gives no direction in float32


@dataclass
class Subject:
    """What is checked: a model and the attack whose number is in doubt. Results are kept.

    Attributes:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W]; the checks cost in proportion to N.
        y: labels [N].
        attack: the attack behind the number.
        eot_samples: passes whose mean logits decide.
        surrogate: another model for the transfer check, or None.
        effort: 1 for a full check; less shortens the costly attacks in proportion.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    attack: Attack
    eot_samples: int = 1
    surrogate: nn.Module | None = None
    effort: float = 1.0
    _reports: dict[Attack, RobustnessReport] = field(default_factory=dict)

    def report(self, attack: Attack) -> RobustnessReport:
        """Return the evaluation under `attack`, measured once."""
        if attack not in self._reports:
            self._reports[attack] = evaluate(
                self.model, self.x, self.y, attack, eot_samples=self.eot_samples
            )
        return self._reports[attack]

    @cached_property
    def robust_accuracy(self) -> float:
        """The number in doubt, on these images."""
        return self.report(self.attack).robust_accuracy

    def has(self, parameter: str) -> bool:
        """Return whether the attack in doubt has this parameter, for anybody to choose."""
        fields = type(self.attack).model_fields
        return parameter in fields and "Literal[1.0]" not in str(fields[parameter].annotation)

    def changed(self, **parameters: Any) -> Attack:
        """Return the attack in doubt with other values of those parameters that it has."""
        known = {name: value for name, value in parameters.items() if self.has(name)}
        return attack_from(self.attack.name, {**self.attack.model_dump(), **known})

    def other(self, name: str, **parameters: Any) -> Attack:
        """Return another attack in the same ball and with the same seed."""
        attack = self.attack
        shared = {"norm": attack.norm, "epsilon": attack.epsilon, "seed": attack.seed}
        return attack_from(name, {**shared, **parameters})

    def count(self, full: int, least: int = 1) -> int:
        """Return a number of steps or queries, scaled by the effort."""
        return max(round(full * self.effort), least)

    def told(self, *, one: str, many: str) -> str:
        """Return the sentence for a single image, or the one for several."""
        return one if len(self.x) == 1 else many

    def images(self, share: float) -> str:
        """Return "the image" where there is one, "12% of the images" where there are several."""
        return self.told(one="the image", many=f"{share:.0%} of the images")

    def predict(self) -> Tensor:
        """Return the logits of the images, one pass: float32 [N,K]."""
        with evaluation_mode(self.model):
            return predict_logits(self.model, self.x)


def check_logits(subject: Subject) -> Finding:
    """Outputs should be finite logits; probabilities and overflow hide gradients."""
    logits = subject.predict()
    broken = float((~torch.isfinite(logits)).any(dim=1).float().mean())
    if broken > 0:
        sentence = f"The outputs for {subject.images(broken)} are not finite numbers."
        return Finding("logits", Severity.FAIL, broken, 0.0, sentence, "Look for an overflow.")
    simplex = ((logits >= 0) & (logits <= 1)).all(dim=1) & ((logits.sum(dim=1) - 1).abs() < 1e-3)
    return graded(
        "logits",
        float(simplex.float().mean()),
        warn_above=0.5,
        fail_above=0.99,
        ok="The outputs are finite logits, not probabilities.",
        otherwise="The outputs are probabilities: cross-entropy takes their softmax once more, and "
        "its gradient shrinks.",
        advice="Return the values before the softmax.",
    )


def check_deterministic(subject: Subject) -> Finding:
    """A model that answers differently each time must be attacked with EOT."""
    moved = float((subject.predict() - subject.predict()).abs().max())
    averaged = getattr(subject.attack, "eot_samples", 1)
    if moved > 0 and averaged > 1:
        sentence = f"The output is random, and the attack averages {averaged} passes per gradient."
        return Finding("deterministic", Severity.OK, moved, 0.0, sentence)
    return graded(
        "deterministic",
        moved,
        warn_above=0.0,
        fail_above=0.0,
        ok="The same image gives the same output each time.",
        otherwise="The same image gives different outputs, but the attack looks once per gradient.",
        advice="Average many passes per gradient (EOT).",
    )


def check_gradients(subject: Subject) -> Finding | None:
    """Zero or non-finite gradients give an attacker nothing to climb, if he needs any."""
    if subject.attack.gradient_free:
        return None
    model = subject.model
    if isinstance(subject.attack, BPDA):
        model = subject.attack.twin(model)
    with evaluation_mode(model):
        at = input_gradient(model, subject.x, Goal("margin", subject.y))
    length = at.gradient.flatten(1).norm(dim=1)
    infinite = float((~torch.isfinite(length)).float().mean())
    tiny = float((length < TINY_GRADIENT).float().mean())
    return graded(
        "gradients",
        tiny + infinite,
        warn_above=0.02,
        fail_above=0.2,
        ok="The attack's gradients are finite and not zero.",
        otherwise=f"The gradient is {_blindness(subject, tiny, infinite)}: a gradient attack is "
        "blind there, which is no robustness.",
        advice="Pass the gradient through the part that hides it (BPDA), or do without (Square).",
    )


def _blindness(subject: Subject, tiny: float, infinite: float) -> str:
    kinds = (("zero", tiny), ("not finite", infinite))
    return " and ".join(f"{kind} at {subject.images(share)}" for kind, share in kinds if share > 0)


def check_epsilon_zero(subject: Subject) -> Finding | None:
    """With no room to move, robust accuracy is clean accuracy."""
    if subject.attack.minimum_norm or not subject.has("epsilon"):
        return None
    report = subject.report(subject.changed(epsilon=0.0))
    gap = report.clean_accuracy - report.robust_accuracy
    return graded(
        "epsilon_zero",
        gap,
        warn_above=0.0,
        fail_above=0.02,
        ok="At radius 0 the attacked accuracy is the clean one.",
        otherwise=subject.told(
            one="At radius 0 the image falls", many=f"At radius 0 accuracy falls by {gap:.1%}"
        )
        + ": the model answers at random, or attack and evaluation see different models.",
        advice="Decide by the mean of many passes.",
    )


def check_one_step(subject: Subject) -> Finding | None:
    """Many steps contain one step: FGSM should not be the better attack."""
    if not subject.has("num_steps") or subject.attack.gradient_free:
        return None
    single = subject.report(subject.other("fgsm")).robust_accuracy
    return graded(
        "one_step",
        subject.robust_accuracy - single,
        warn_above=0.01,
        fail_above=0.05,
        ok="One step does not beat many.",
        otherwise=subject.told(
            one="A single step breaks the image, many steps do not",
            many=f"A single step leaves {single:.1%}, many leave {subject.robust_accuracy:.1%}",
        )
        + ": the gradients on the way mislead.",
        advice="Suspect masked gradients; try smaller steps and Square.",
    )


def check_margin_loss(subject: Subject) -> Finding | None:
    """Cross-entropy can saturate where the margin does not; the alarm is at 4 points."""
    if not subject.has("loss") or subject.attack.model_dump()["loss"] != "cross_entropy":
        return None
    other = subject.report(subject.changed(loss="margin")).robust_accuracy
    return graded(
        "margin_loss",
        subject.robust_accuracy - other,
        warn_above=0.04,
        fail_above=0.10,
        ok="The margin loss finds about as much as cross-entropy.",
        otherwise=subject.told(
            one="With the margin loss the attack breaks the image, with cross-entropy it does not",
            many=f"The margin loss leaves {other:.1%}, cross-entropy {subject.robust_accuracy:.1%}",
        )
        + ": it is the loss that withstands, not the model.",
        advice="Report the margin attack or AutoAttack.",
    )


def check_logit_scale(subject: Subject) -> Finding | None:
    """Scaling all logits changes no prediction and should change no attack."""
    if not subject.has("loss"):
        return None
    top = subject.predict().topk(2, dim=1).values
    lead = float((top[:, 0] - top[:, 1]).median().clamp_min(1e-6))
    scaled = ScaledLogits(subject.model, 1.0 / lead)
    other = evaluate(
        scaled, subject.x, subject.y, subject.attack, eot_samples=subject.eot_samples
    ).robust_accuracy
    return graded(
        "logit_scale",
        subject.robust_accuracy - other,
        warn_above=0.02,
        fail_above=0.10,
        ok="The scale of the logits does not matter.",
        otherwise=f"Dividing all logits by {lead:.3g} changes no prediction, but the attack then "
        + subject.told(
            one="breaks the image, which it did not before",
            many=f"leaves {other:.1%} instead of {subject.robust_accuracy:.1%}",
        )
        + ": the loss was saturated.",
        advice="Use a loss that ignores the scale (margin, DLR).",
    )


def check_silent_success(subject: Subject) -> Finding | None:
    """An earlier iterate may have been adversarial although the last one is not."""
    if subject.attack.name not in {"pgd", "mim"}:
        return None
    goal = Goal("margin", subject.y)
    fallen_before: list[Tensor] = []
    with evaluation_mode(subject.model):
        last = subject.changed(num_restarts=1)(
            subject.model,
            subject.x,
            subject.y,
            on_step=lambda step: fallen_before.append(_fallen(goal, step)),
        )
        missed = torch.stack(fallen_before).any(dim=0)
        missed &= ~goal.reached(predict_logits(subject.model, last))
    share = float(missed.float().mean())
    return graded(
        "silent_success",
        share,
        warn_above=0.005,
        fail_above=0.05,
        ok="No earlier step was better than the last one, which is judged.",
        otherwise="An earlier step of the attack fooled the model on "
        + subject.told(one="the image", many=f"{share:.1%} of the images")
        + ", but the last one, which is judged, does not.",
        advice="Keep the best step, as APGD does.",
    )


def _fallen(goal: Goal, step: AttackStep) -> Tensor:
    return goal.reached(step.logits)


def check_large_radius(subject: Subject) -> Finding | None:
    """In a ball that reaches the same grey image from everywhere, nothing can be robust."""
    if subject.attack.minimum_norm or not subject.has("epsilon"):
        return None
    norm = subject.attack.norm
    reach = 0.5 if norm is Norm.LINF else 0.5 * subject.x[0].numel() ** 0.5
    reach = min(reach, LARGEST_EPSILON[norm])
    left = subject.report(subject.changed(epsilon=reach, step_size=None)).robust_accuracy
    chance = 1.0 / subject.predict().shape[1]
    return graded(
        "large_radius",
        left,
        warn_above=max(0.02, chance / 2),
        fail_above=max(0.1, 1.5 * chance),
        ok=subject.told(
            one="At a large radius the image falls.", many="Accuracy vanishes at a large radius."
        ),
        otherwise=subject.told(one="The image survives", many=f"{left:.0%} survive")
        + f" radius {reach:.2g}, at which every image can be turned grey: it is the attack that "
        "fails.",
        advice="Use a stronger attack."
        if subject.attack.gradient_free
        else "Suspect masked gradients.",
    )


def check_converged(subject: Subject) -> Finding | None:
    """More steps and restarts should not matter any more."""
    if not (subject.has("num_steps") and subject.has("num_restarts")):
        return None
    values = subject.attack.model_dump()
    steps = min(values["num_steps"] * subject.count(4, 2), 10_000)
    restarts = min(values["num_restarts"] + subject.count(4), 100)
    longer = subject.changed(num_steps=steps, num_restarts=restarts)
    gap = subject.robust_accuracy - subject.report(longer).robust_accuracy
    return graded(
        "converged",
        gap,
        warn_above=0.01,
        fail_above=0.05,
        ok=f"{steps} steps and {restarts} restarts find nothing more.",
        otherwise=f"With {steps} steps and {restarts} restarts "
        + subject.told(one="the image falls", many=f"accuracy falls by another {gap:.1%}")
        + ": the attack had not converged.",
        advice="Report the longer attack.",
    )


def check_randomness(subject: Subject) -> Finding | None:
    """For a random model accuracy may fall as more passes are averaged per gradient."""
    if not getattr(subject.model, "stochastic", False) or not subject.has("eot_samples"):
        return None
    samples = subject.count(20, 5)
    gap = (
        subject.robust_accuracy
        - subject.report(subject.changed(eot_samples=samples)).robust_accuracy
    )
    return graded(
        "randomness",
        gap,
        warn_above=0.02,
        fail_above=0.10,
        ok="Averaging more passes per gradient changes little.",
        otherwise=f"With {samples} passes per gradient "
        + subject.told(one="the image falls", many=f"accuracy falls by {gap:.1%}")
        + ": part of the robustness is noise in the gradient.",
        advice="Report the number with enough EOT samples.",
    )


def check_transfer(subject: Subject) -> Finding | None:
    """Images made for another model should not beat the attack on this one."""
    if subject.surrogate is None:
        return None
    transferred = evaluate(
        subject.model,
        subject.x,
        subject.y,
        subject.attack,
        eot_samples=subject.eot_samples,
        surrogate=subject.surrogate,
    )
    return _beaten(
        "transfer", subject, {"the attack on another model": ~transferred.robust_correct}
    )


def check_black_box(subject: Subject) -> Finding:
    """An attacker who sees outputs only should not beat one who sees gradients."""
    attacks = [
        subject.other("random_search", noise="corner", num_queries=subject.count(50, 10)),
        subject.other("square", num_queries=subject.count(1000, 100)),
        subject.other("spsa", num_steps=subject.count(10, 3), num_samples=subject.count(32, 8)),
    ]
    broken = {attack.name: ~subject.report(attack).robust_correct for attack in attacks}
    return _beaten("black_box", subject, broken)


def _beaten(name: str, subject: Subject, broken: dict[str, Tensor]) -> Finding:
    standing = subject.report(subject.attack).robust_correct
    names = [_word(other) for other, fallen in broken.items() if bool((fallen & standing).any())]
    missed = torch.stack([fallen & standing for fallen in broken.values()]).any(dim=0)
    share = float(missed.float().mean())
    return graded(
        name,
        share,
        warn_above=0.01,
        fail_above=0.05,
        ok=f"The attack in doubt is not beaten by {' or '.join(map(_word, broken))}.",
        otherwise=f"Without gradients of this model, {' and '.join(names)} broke "
        f"{subject.images(share)}, which the attack in doubt left standing: the gradients hide the "
        "weakness.",
        advice="Report the worst case over both, and find what masks the gradients.",
    )


def _word(attack_name: str) -> str:
    return attack_name.replace("_", " ")


CHECKS: tuple[Callable[[Subject], Finding | None], ...] = (
    check_logits,
    check_deterministic,
    check_gradients,
    check_epsilon_zero,
    check_one_step,
    check_margin_loss,
    check_logit_scale,
    check_silent_success,
    check_large_radius,
    check_converged,
    check_randomness,
    check_transfer,
    check_black_box,
)


def check_reliability(
    subject: Subject, *, on_finding: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """Run every check that applies, the cheap ones first, and return what they found.

    Args:
        subject: model, images and the attack whose number is in doubt.
        on_finding: told each finding as soon as it is there.
    """
    findings = []
    for check in CHECKS:
        finding = check(subject)
        if finding is None:
            continue
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)
    return findings
