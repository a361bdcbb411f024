"""Images on which the shipped models for digits differ."""

from functools import cache
from typing import Any

import torch

from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import load_model
from robust_core.data import load_data
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import predict_logits

STANDARD, ROBUST, MASKED = "digits-standard", "digits-pgd_at", "digits-masked"
ATTACK = {"norm": "Linf", "epsilon": 0.1, "num_steps": 20}


@cache
def telling_image() -> tuple[str, str]:
    """Return id and class name of a test image that PGD breaks on one model and not on the other.

    Both models predict it as labelled when it is clean.
    """
    images = load_data("digits", "test").subset(slice(0, 64))
    attack = create_attack("pgd", **ATTACK)
    right = []
    for name in (STANDARD, ROBUST):
        model = load_model(name)
        for x in (images.x, attack(model, images.x, images.y)):
            right.append(predict_logits(model, x).argmax(dim=1) == images.y)
    chosen = int(torch.where(right[0] & ~right[1] & right[2] & right[3])[0][0])
    return images.image_id(chosen), images.class_names[int(images.y[chosen])]


@cache
def masked_image() -> tuple[str, str]:
    """Return id and class name of a test image on which the masked model only seems robust.

    PGD breaks the standard model there, but neither the robust nor the masked one; BPDA breaks the
    masked one.
    """
    images = load_data("digits", "test").subset(slice(0, 64))
    fits = torch.ones(len(images), dtype=torch.bool)
    for name, attack, stands in (
        (STANDARD, "pgd", False),
        (ROBUST, "pgd", True),
        (MASKED, "pgd", True),
        (MASKED, "bpda", False),
    ):
        model = load_model(name)
        report = evaluate(model, images.x, images.y, create_attack(attack, **ATTACK))
        fits &= report.clean_correct & (report.robust_correct == stands)
    chosen = int(torch.where(fits)[0][0])
    return images.image_id(chosen), images.class_names[int(images.y[chosen])]


def attack_link(model: str = STANDARD, **more: Any) -> dict[str, str]:
    """Return the query of the page Attack with PGD on the telling image, or as `more` says."""
    state = {"model": model, "image": telling_image()[0], "attack": "pgd"} | ATTACK | more
    return {name: str(value) for name, value in state.items()}
