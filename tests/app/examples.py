"""An image on which the two shipped models for digits differ."""

from functools import cache

import torch

from robust_core.attacks.base import create_attack
from robust_core.data import load_data
from robust_core.gradients import predict_logits
from robust_core.training.checkpoint import load_model

STANDARD, ROBUST = "digits-standard", "digits-pgd_at"
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
