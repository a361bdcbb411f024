"""Checks of what the model gives an attacker to work with: its outputs and gradients."""

import torch

from robust_core.attacks.bpda import BPDA
from robust_core.attacks.goal import Goal
from robust_core.evaluation.finding import Finding, Severity, graded
from robust_core.evaluation.outputs import are_probabilities
from robust_core.evaluation.subject import Subject
from robust_core.gradients import evaluation_mode, input_gradient

TINY_GRADIENT = 1e-8  # L2 norm of an image's loss gradient that gives no direction in float32


def check_logits(subject: Subject) -> Finding:
    """Outputs should be finite logits; probabilities and overflow hide gradients."""
    logits = subject.predict()
    broken = float((~torch.isfinite(logits)).any(dim=1).float().mean())
    if broken > 0:
        sentence = f"The outputs for {subject.images(broken)} are not finite numbers."
        return Finding("logits", Severity.FAIL, broken, 0.0, sentence, "Look for an overflow.")
    return graded(
        "logits",
        float(are_probabilities(logits).float().mean()),
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
    model = subject.attacked
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
