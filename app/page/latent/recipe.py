"""How to make the sample of the page Latent space again outside the browser."""

from app.ui.copy_recipe import copy_recipe
from app.ui.models import base_name
from app.ui.recipes import Recipe, attack_line, model_line, recipe, sample_line
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo


def sample_recipe(
    info: CheckpointInfo, attack: Attack, target: int | None, num_images: int
) -> Recipe:
    """Return the lines for `measure.make_sample` with the same arguments."""
    return recipe(
        [
            sample_line(info, num_images),
            f"data = without_target(data, {target})",
            model_line(info),
            f"base = BaseNetwork.of(*load_trained({base_name(info)!r}))",
            attack_line(attack),
            f"sample = latent_sample(base, model, data, attack, target={target})",
            "print(sample.accuracy('clean'), sample.accuracy('adversarial'))",
        ],
        "from robust_core.analysis.latent_sample import BaseNetwork, latent_sample, without_target",
        "from robust_core.checkpoints.catalog import load_trained",
    )


def copy_sample(info: CheckpointInfo, attack: Attack, target: int | None, num_images: int) -> None:
    """Offer these lines."""
    copy_recipe(sample_recipe(info, attack, target, num_images), key="latent.recipe")
