"""The evaluation on the card of a checkpoint, as a plan that can be run again."""

from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.config.attack_run import AttackRun
from robust_core.evaluation_runs.plan import EvaluationPlan

MOST_IMAGES = 100  # of a plan made from a card


def card_plan(info: CheckpointInfo) -> EvaluationPlan:
    """Return the plan of the reported attack and of the one that left the lowest accuracy.

    Both as on the card, on as many of its images as the lower number has, 100 at most, with checks.

    Args:
        info: a checkpoint; its card decides the inference mode.

    Raises:
        InputError: nothing has been measured on it yet.
    """
    card = info.card
    reported, strongest = card.reported, card.strongest()
    own = set(AttackRun.model_fields)
    attacks = [
        AttackRun.create(one.attack.model_dump(mode="json", include=own))
        for one in ((reported,) if strongest == reported else (reported, strongest))
    ]
    mode, base = reported.attack.inference, info.name.removesuffix(f":{info.inference}")
    return EvaluationPlan.create(
        {
            "checkpoints": [f"{base}:{mode}" if mode else base],
            "attacks": [attack.model_dump(mode="json") for attack in attacks],
            "num_images": min(card.lowest().num_images, MOST_IMAGES),
            "num_repeats": max(reported.attack.num_repeats, strongest.attack.num_repeats),
            "check_reliability": True,
            "precision": "fastest",
        }
    )
