"""Findings of the reliability checks in words; knows no streamlit."""

from collections.abc import Sequence

from app.ui.units import percent
from robust_core.evaluation.finding import Finding, Severity, overall
from robust_core.evaluation.trace import AttackTrace

TITLES = {
    "logits": "Outputs",
    "attacked_images": "What there is to attack",
    "classes": "Classes covered",
    "chance": "Chance level",
    "predictions": "Classes predicted",
    "finite_outputs": "Outputs under attack",
    "deterministic": "Same answer each time",
    "gradients": "Gradients",
    "epsilon_zero": "Radius 0",
    "attacked_model": "What was attacked",
    "through_defence": "Through the defence",
    "one_step": "One step against many",
    "margin_loss": "Another loss",
    "logit_scale": "Scale of the logits",
    "silent_success": "Success on the way",
    "large_radius": "Large radius",
    "converged": "A longer attack",
    "randomness": "More averaged passes",
    "transfer": "Images made for another model",
    "black_box": "Attacks without gradients",
}
REASONS = {  # the most telling first
    "black_box": "an attack without gradients breaks the image",
    "attacked_model": "the attack was made on another model or on fewer views",
    "through_defence": "an attack through the whole model breaks the image",
    "gradients": "the gradients are zero or not finite",
    "transfer": "an image made for another model fools this one",
    "large_radius": "even a huge budget does not break the image",
    "converged": "a longer attack breaks the image",
    "margin_loss": "another loss breaks the image",
    "one_step": "a single step breaks the image",
    "logit_scale": "the scale of the logits decides",
    "randomness": "averaging several passes breaks the image",
    "silent_success": "an earlier step was adversarial",
    "epsilon_zero": "the image falls without being moved",
    "deterministic": "the model answers at random",
    "logits": "the outputs are no finite logits",
    "finite_outputs": "the outputs under attack are no finite numbers",
    "classes": "the images are of few classes",
    "chance": "the model cannot be told from a guess",
    "predictions": "the model predicts few classes",
    "attacked_images": "the image is wrong without any attack",
}
SEVERITY_WORDS = {Severity.OK: "fine", Severity.WARN: "doubtful", Severity.FAIL: "alarm"}
MOST_REASONS = 2
_ANSWER_IN_LOGITS = {"deterministic"}  # the others measure shares and accuracies


def check_title(finding: Finding) -> str:
    """Return how the check behind a finding is called."""
    return TITLES.get(finding.name, finding.name.replace("_", " ").capitalize())


def measured_words(finding: Finding) -> str:
    """Return the measured value beside the threshold: "measured 100 %, fine up to 2 %"."""
    if finding.name in _ANSWER_IN_LOGITS:
        return f"outputs moved by {finding.value:.3g}, fine up to {finding.threshold:.3g}"
    return f"measured {percent(finding.value)}, fine up to {_fine_percent(finding.threshold)}"


def trust_sentence(findings: Sequence[Finding], trace: AttackTrace) -> str:
    """Return the verdict on the result of an attack on one image, in one sentence or two."""
    worst = overall(findings)
    raised = {finding.name for finding in findings if finding.severity is worst}
    reasons = " and ".join([REASONS[name] for name in REASONS if name in raised][:MOST_REASONS])
    if trace.success and trace.target is None:
        proof = "The image fell, and a broken image is its own proof."
        if worst is Severity.OK:
            return proof
        return f"{proof} Had it withstood, that would mean little: {reasons}."
    if worst is Severity.OK:
        return "No sign of masked gradients on this image."
    if worst is Severity.WARN:
        return f"Take this result with caution: {reasons}."
    return f"This result cannot be trusted: {reasons}."


def _fine_percent(share: float) -> str:
    return f"{100 * share:.3g} %"
