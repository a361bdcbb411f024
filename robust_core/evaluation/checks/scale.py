"""The check whether an attack depends on the scale of the logits."""

from robust_core.evaluation.case import ReliabilityCase
from robust_core.evaluation.check import Cost, PlannedCase, check
from robust_core.evaluation.finding import Finding, graded
from robust_core.evaluation.variants import has_parameter, suggested
from robust_core.inference.scaled_logits import ScaledLogits
from robust_core.losses import cosine_floor
from robust_core.models.guard import innermost
from robust_core.models.heads import CosineHead
from robust_core.units import percent


def of_another_loss(case: PlannedCase) -> Cost:
    """Return the cost of the attack once more; nothing for an attack without a loss."""
    return case.evaluations(case.attack if has_parameter(case.attack, "loss") else None)


@check(
    "logit_scale",
    title="Scale of the logits",
    reason="the attack depends on the scale of the logits",
    order=130,
    rank=10,
    cost=of_another_loss,
)
def check_logit_scale(case: ReliabilityCase) -> Finding | None:
    """Scaling all logits changes no prediction and should not change the attack's success."""
    if not case.has("loss"):
        return None
    top = case.predict().topk(2, dim=1).values
    lead = float((top[:, 0] - top[:, 1]).median().clamp_min(1e-6))
    scaled = ScaledLogits(case.attacked, 1.0 / lead)
    other = case.transferred(case.attack, scaled).robust_accuracy
    own = case.attack.model_dump()["loss"]
    gap = case.robust_accuracy - other
    return graded(
        "logit_scale",
        gap,
        warn_above=case.warn_above(0.02),
        fail_above=case.alarm_above(0.10),
        ok=f"Scaling all logits {'hardly helps' if gap > 0 else 'does not help'} the attack.",
        otherwise=f"Dividing all logits by {lead:.3g} changes no prediction, but "
        + case.phrase(
            one="the attack then fools the model on the image",
            many=f"lowers robust accuracy from {percent(case.robust_accuracy, 1)} to "
            f"{percent(other, 1)}",
        )
        + f": the loss was {'saturated' if lead > 1.0 else 'too flat'}."
        + flatness_of_cosines(case),
        advice="Use a loss that ignores the scale (margin, DLR).",
        cause="once the logits are scaled for the attack",
        next_attack=suggested(case.changed(loss="margin" if own != "margin" else "dlr")),
    )


def flatness_of_cosines(case: ReliabilityCase) -> str:
    """Return one more sentence if the attacked logits are unscaled cosines, else ""."""
    head = getattr(innermost(case.attacked), "classifier", None)
    if not isinstance(head, CosineHead) or head.scale != 1.0:
        return ""
    return (
        " The logits are cosines: their cross-entropy is nearly flat and stays above about "
        f"{cosine_floor(head.out_features):.2f} nats even for correct predictions."
    )
