"""What an evaluation consists of, and how long it takes here."""

from collections.abc import Sequence

import streamlit as st

from app.page.robustness.attack_choices import own_threat_model
from app.ui import models
from app.ui.plain import in_markdown
from app.ui.units import count_words, duration_words
from app.ui.words import distance_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import data_source
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan
from robust_core.evaluation_runs.units import plan_cost, plan_seconds
from robust_core.threat_model import ThreatModel

STARTING = 8.0  # seconds until the process of an evaluation has loaded everything


def is_stochastic(info: CheckpointInfo) -> bool:
    """Return whether two passes of one image can differ, as the loaded model says."""
    try:
        return models.load_model(info).stochastic
    except InputError:
        return False  # it cannot be evaluated at all, and the evaluation says why


def known_images(plan: EvaluationPlan, info: CheckpointInfo) -> int | None:
    """Return how many images a plan has for a model; None: they have to be downloaded first."""
    if plan.split not in data_source(info.config.data.name).present_splits():
        return None
    number = len(models.load_images(info, plan.split))
    return min(number, plan.num_images or number)


def expected_seconds(
    plan: EvaluationPlan, infos: Sequence[CheckpointInfo], surrogate: CheckpointInfo | None = None
) -> float | None:
    """Return how long an evaluation takes here, about; None: its images are not here yet."""
    seconds = STARTING
    for info in infos:
        number = known_images(plan, info)
        if number is None:
            return None
        pace = models.pace(surrogate or info)
        seconds += plan_seconds(plan, number, pace, stochastic=is_stochastic(info))
    return seconds


def show_cost(
    plan: EvaluationPlan,
    infos: Sequence[CheckpointInfo],
    threat_model: ThreatModel,
    surrogate: CheckpointInfo | None,
) -> None:
    """Show what the evaluation consists of, and its cost."""
    seconds = expected_seconds(plan, infos, surrogate)
    if seconds is None:
        st.info(
            f"{in_markdown(infos[0].config.data.name)} is not on this computer yet; it is "
            "downloaded first."
        )
        return
    passes, num_images = 0.0, 0
    for info in infos:
        num_images = known_images(plan, info) or 0
        passes += plan_cost(plan, num_images, stochastic=is_stochastic(info))
    others = [one for one in plan.attacks if one.attack().threat_model != threat_model]
    words = ""
    if len(others) < len(plan.attacks):
        words = (
            f" with {threat_model.norm} {distance_words(threat_model.norm, threat_model.epsilon)}"
        )
    if others:
        words += f", {' and '.join(map(own_threat_model, others))}"
    if surrogate is not None and plan.attacks:
        words += f"; transfer attack from the surrogate model {in_markdown(surrogate.name)}"
    st.caption(
        f"{count_words(num_images, 'test image')}, {count_words(len(infos), 'model')}, "
        f"{count_words(len(plan.attacks), 'attack')}{words}. Cost: at most {passes:,.0f} passes "
        f"of an image, about {duration_words(seconds)} as measured here; less where images are "
        "misclassified early."
    )
