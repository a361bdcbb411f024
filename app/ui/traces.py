"""Attacks on one image, recorded step by step and cached for all sessions."""

from torch import Tensor

from app.ui import measure, models
from robust_core.attacks.base import Attack, AttackStep
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace, trace_attack

KIND = "attack"


def known_trace(
    info: CheckpointInfo, x: Tensor, label: int, attack: Attack, target: int | None
) -> AttackTrace | None:
    """Return the trace of exactly this attack if it is cached."""
    return measure.known(KIND, (info, x, label, attack, target))


def attack_image(
    info: CheckpointInfo, x: Tensor, label: int, attack: Attack, target: int | None = None
) -> AttackTrace:
    """Attack one image, or return the cached trace of the same attack.

    Args:
        info: the attacked checkpoint.
        x: image [C,H,W] in [0, 1].
        label: the true class.
        attack: the attack.
        target: the target class; None: untargeted.

    Raises:
        InputError: the checkpoint cannot be loaded.
    """
    total = attack.passes()

    def work(run: measure.Run) -> AttackTrace:
        count = 0

        def observe(step: AttackStep) -> None:
            nonlocal count
            count += 1
            run.progress(count / total, f"Step {count} of {total}")

        model = models.load_model(info)
        return trace_attack(model, x, label, attack, target=target, on_step=observe)

    return measure.run(KIND, (info, x, label, attack, target), work)
