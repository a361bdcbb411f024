"""An adversarial image for a retinotopic network, and the views that the attack uses."""

import streamlit as st
from torch import Tensor

from app.page.retina import measure
from app.ui.image_picker import ChosenImage
from app.ui.measure import cost_of
from app.ui.units import count_words, duration_words
from app.ui.words import distance_words
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicClassifier
from robust_core.threat_model import ThreatModel

NUM_STEPS = 20
ALL_VIEWS, ONE_VIEW = "All views", "One view"


def threat_model(info: CheckpointInfo) -> ThreatModel:
    """Return the threat model of the data set that a checkpoint was trained on."""
    return info.config.data_threat_model()


def pick_adversarial(
    info: CheckpointInfo, network: RetinotopicClassifier, image: ChosenImage, seed: int
) -> Tensor | None:
    """Draw the controls of the attack; return the adversarial image [C,H,W] once there is one.

    The attack uses the network's own sampling; the sliders of the sampler do not change it.
    """
    limits = threat_model(info)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        shown = st.segmented_control(
            "Views attacked",
            [ALL_VIEWS, ONE_VIEW],
            default=ALL_VIEWS,
            required=True,
            key="retina.attacked_views",
            help="The published protocol attacks one view and evaluates with all views.",
        )
        eot_samples = st.select_slider(
            "Passes per gradient (EOT)", [1, 5, 10, 20], key="retina.eot", width=220
        )
        attack = create_attack(
            "pgd",
            norm=limits.norm,
            epsilon=limits.epsilon,
            num_steps=NUM_STEPS,
            eot_samples=eot_samples,
            seed=seed,
        )
        pressed = st.button("Attack this image", type="primary", icon=":material/bolt:")
    attacked = network.with_inference(num_views=1) if shown == ONE_VIEW else network
    share = attacked.settings.num_views / network.settings.num_views
    cost = cost_of([info], round(attack.passes() * share))
    st.caption(
        f"PGD, {limits.norm} {distance_words(limits.norm, limits.epsilon)}, "
        f"{count_words(NUM_STEPS, 'step')}: about {duration_words(cost.seconds)}."
    )
    return measure.adversarial(info, attacked, image, attack, pressed=pressed)
