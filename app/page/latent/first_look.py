"""How many images the page Latent space shows: as asked for, or as many as take no wait."""

import streamlit as st

from app.page.latent.link import IMAGES
from app.page.latent.measure import known_sample, sampled_images
from app.ui.attack_controls import AttackPlan
from app.ui.measure import affordable, ask, cost_of
from app.ui.units import count_words
from robust_core.analysis.latent import FEWEST_PROJECTED
from robust_core.attacks.base import create_attack
from robust_core.attacks.description import attack_title
from robust_core.checkpoints.catalog import CheckpointInfo

BATCH = 64  # images per pass
FEWEST = 20  # images of a first look
FORWARD_PASSES = 2  # about what the roles of an image take besides the attack


def pick_sample(info: CheckpointInfo, plan: AttackPlan) -> tuple[AttackPlan, int] | None:
    """Draw size, button and cost; return the attack and the number of images to show now.

    That is what is asked for where it takes no wait or is known, else a first look; None where the
    model is too slow for one.
    """
    num_images = int(IMAGES.slider("Number of images"))
    count = len(sampled_images(info, plan.target, num_images))
    cost = cost_of([info], plan.attack.passes() * count, BATCH)
    wanted = ask("Map the features", cost, key="latent", always=True, width="stretch")
    if count < FEWEST_PROJECTED:
        st.caption(f"A map needs at least {FEWEST_PROJECTED} images: only numbers will be shown.")
    if wanted or known_sample(info, plan.attack, plan.target, num_images) is not None:
        return plan, num_images
    return _first_look(info, plan, num_images)


def _first_look(
    info: CheckpointInfo, plan: AttackPlan, num_images: int
) -> tuple[AttackPlan, int] | None:
    """Return what takes no wait: the attack on fewer images, else one step of the same size."""
    limits = plan.attack.threat_model
    step = create_attack("fgsm", norm=limits.norm, epsilon=limits.epsilon, seed=plan.attack.seed)
    for seen in (plan, AttackPlan(step, plan.target)):
        cost = cost_of([info], (seen.attack.passes() + FORWARD_PASSES) * num_images, BATCH)
        few = affordable(cost, num_images, FEWEST)
        if few:
            return seen, few
    return None


def first_look_words(plan: AttackPlan, seen: AttackPlan, num_images: int) -> str:
    """Return what a first look shows instead of what is asked for, and how to get that."""
    attack = attack_title(seen.attack.name)
    instead = "" if seen.attack == plan.attack else f", under {attack} with the same budget instead"
    return (
        f"A first look at {count_words(num_images, 'image')}{instead}. Press **Map the features** "
        f"for {attack_title(plan.attack.name)} on {count_words(int(IMAGES.value), 'image')}."
    )
