"""An adversarial image for a retinotopic network, and what the attacker was shown."""

import hashlib

import streamlit as st
import torch
from torch import Tensor

from app.ui import cached
from app.ui.honesty import Interruptible
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, duration_words
from app.ui.words import distance_words
from robust_core.attacks.base import Attack, create_attack
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

    Views and steps are those of the network itself, whatever the sliders of the sampler say.
    """
    budget = threat_model(info)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        shown = st.segmented_control(
            "The attacker looks at",
            [ALL_VIEWS, ONE_VIEW],
            default=ALL_VIEWS,
            required=True,
            key="retina.attacked_views",
            help="One view is what the published protocol attacks; it is judged by all views.",
        )
        eot_samples = st.select_slider(
            "Passes per gradient (EOT)", [1, 5, 10, 20], key="retina.eot", width=220
        )
        attack = create_attack(
            "pgd",
            norm=budget.norm,
            epsilon=budget.epsilon,
            num_steps=NUM_STEPS,
            eot_samples=eot_samples,
            seed=seed,
        )
        pressed = st.button("Attack this image", type="primary", icon=":material/bolt:")
    attacked = network.with_inference(num_views=1) if shown == ONE_VIEW else network
    share = attacked.settings.num_views / network.settings.num_views
    seconds = attack.passes() * cached.seconds_per_pass(info) * share
    st.caption(
        f"PGD, {budget.norm} {distance_words(budget.norm, budget.epsilon)}, "
        f"{count_words(NUM_STEPS, 'step')}: about {duration_words(seconds)}."
    )
    pixels = hashlib.sha256(image.x.contiguous().numpy().tobytes()).hexdigest()
    key = (info.digest, info.inference, pixels, image.label, attack, attacked.settings)
    if pressed and _known().get(key) is None:
        _known().put(key, _run(attacked, image, attack))
    return _known().get(key)


def _run(attacked: RetinotopicClassifier, image: ChosenImage, attack: Attack) -> Tensor:
    check = cached.latest_only("retina").begin()
    with st.spinner("Attacking …"):
        try:
            with cached.heavy_work(check):
                model = Interruptible(attacked, check)
                return attack(model, image.x[None], torch.tensor([image.label]))[0]
        except cached.Superseded:
            st.stop()


@st.cache_resource
def _known() -> cached.Recent[Tensor]:
    return cached.Recent(64)
