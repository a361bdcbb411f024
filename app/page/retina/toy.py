"""The confounded toy: shapes whose background gives the class away, and who falls for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

from app.page.retina import charts
from app.page.retina.sampling import look
from app.page.retina.sight import PLAIN_CHART
from app.ui import cached
from app.ui.browser.pictures import Picture, picture_row
from app.ui.browser.player import perturbation_picture
from app.ui.honesty import Interruptible
from app.ui.units import percent
from app.ui.words import checkpoint_title
from robust_core.analysis.confounding import (
    ConfounderReliance,
    Counterfactuals,
    background_share,
    confounder_reliance,
    draw_counterfactuals,
)
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data.colour_blocks import PALE
from robust_core.data.shapes import Scene
from robust_core.models.retina.classifier import RetinotopicParameters

RELEASED_WEIGHT = 0.8
NUM_SHAPES = 30
NUM_STEPS = 10
EPSILON = 16 / 255
GAIN = 5
LARGEST = 130
EXPLANATION = (
    "The toy of CiiV asks whether a network looks at the shape or at what merely goes with it. "
    "Blocks of pale red, green or blue give the class away during training; then every shape is "
    "put on the background of every class. A network that reads shapes does not care; one that "
    "reads colours follows the background."
)
ERASED = (
    "At w = {weight:.2f} a pale channel ({pale:g}) is on as surely as a full one: the sampler "
    "**erases the colours** before the network sees them. Whoever cannot see the confounder "
    "cannot rely on it; that is a property of this toy and this w, not yet of causality."
)
VISIBLE = (
    "At w = {weight:.2f} a pale channel is on in {share:.0%} of the samples and a full one in "
    "{full:.0%}: the colours reach the network, weakened."
)
HOW_TO_TRAIN = (
    "No network of the colour toy is on the shelf yet: on the page Train choose the data set "
    "shapes with the scene colour_blocks and confounding 0.9, once with the method standard and "
    "once with CIIV. Until then, the drawn shapes with their patterns ask the same question."
)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model makes of the counterfactuals, and what an attack on it paints.

    delta: perturbation of the first shape on its own background, [3,H,W]. painted: share of the
    squared perturbation in the background; area: share of the pixels that are background.
    """

    reliance: ConfounderReliance
    delta: Tensor
    painted: float
    area: float


def show_toy(infos: Sequence[CheckpointInfo]) -> None:
    """Draw the toy in an expander that computes only when it is open."""
    box = st.expander(
        "The confounded toy: shape or background?",
        icon=":material/category:",
        key="retina.toy",
        on_change="rerun",
    )
    if not box.open:
        return
    with box:
        st.markdown(EXPLANATION)
        _explain_sampler()
        _compare([info for info in infos if info.config.data.name == "shapes"])


def _explain_sampler() -> None:
    weight = st.slider(
        "Noise weight w of the toy", 0.05, 2.0, RELEASED_WEIGHT, 0.05, key="retina.toy.weight"
    )
    images = _counterfactuals("colour_blocks")
    settings = RetinotopicParameters.create({"normalisation": "none", "weight": weight})
    pictures, views = [], []
    for k, name in enumerate(images.class_names):
        x = images.x[k, int((images.y == k).nonzero()[0])]
        (glance,) = look(x, settings, (x.shape[2] // 2, x.shape[1] // 2), seed=0)
        alt = f"The {name} through the sampler at w = {weight:.2f}"
        pictures.append(Picture(x, name, "on its own colour", f"A black {name} on its own colour"))
        views.append(Picture(glance.view, f"{name}, seen", f"w = {weight:.2f}", alt))
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        picture_row(
            pictures + views, label="The toy and its views", largest=LARGEST, key="retina.toy.row"
        )
    pale, full = (min(1.0, (value + weight) / (2 * weight)) for value in (PALE, 1.0))
    sentence = ERASED if pale == full else VISIBLE
    with right:
        st.plotly_chart(
            charts.colour_curve(PALE, weight),
            config=PLAIN_CHART,
            key="retina.toy.curve",
            alt=f"At w = {weight:.2f} pale channels are on with {pale:.0%}, full ones with "
            f"{full:.0%}.",
        )
        st.markdown(sentence.format(weight=weight, pale=PALE, share=pale, full=full))


def _compare(infos: Sequence[CheckpointInfo]) -> None:
    """Offer the models of the drawn shapes and show their reliance on the background."""
    toys = [info for info in infos if _scene(info) == "colour_blocks"]
    if not toys:
        st.info(HOW_TO_TRAIN, icon=":material/school:")
    offered = toys or infos
    if not offered:
        return
    by_name = {info.name: info for info in offered}
    chosen = st.multiselect(
        "Models to compare",
        list(by_name),
        default=list(by_name)[:2],
        max_selections=4,
        format_func=lambda name: checkpoint_title(by_name[name]),
        key="retina.toy.models",
    )
    st.caption(
        f"{NUM_SHAPES} shapes on every background; PGD, Linf {EPSILON * 255:.0f}/255, "
        f"{NUM_STEPS} steps, seed 0, on their own background: some seconds for each model."
    )
    pressed = st.button("Compare the models", icon=":material/compare:", key="retina.toy.run")
    shown: dict[str, Reading] = {}
    for name in chosen:
        reading = _reading(by_name[name], compute=pressed)
        if reading is not None:
            shown[name] = reading
    if shown:
        _show_readings(shown, by_name)


def _show_readings(shown: dict[str, Reading], by_name: dict[str, CheckpointInfo]) -> None:
    rows = ["| Model | Own background | Other background | Follows it | Reliance |"]
    rows += ["|---|---|---|---|---|"]
    pictures = []
    for name, reading in shown.items():
        found, title = reading.reliance, checkpoint_title(by_name[name])
        rows.append(
            f"| {title} | {percent(found.tied_accuracy)} | {percent(found.conflicting_accuracy)} "
            f"| {percent(found.followed)} | {found.reliance:+.2f} |"
        )
        delta = perturbation_picture(reading.delta.numpy(), GAIN)
        pictures.append(
            Picture(
                torch.from_numpy(delta),
                title,
                f"{percent(reading.painted)} of it in the background",
                f"What the attack paints on {title}, amplified {GAIN} times; mid-grey is no change",
                f"which is {percent(reading.area)} of the pixels; gain {GAIN}",
            )
        )
    st.markdown("\n".join(rows))
    st.caption(
        "Reliance: accuracy lost when the background turns against the shape; 0 means that the "
        "background does not matter."
    )
    st.markdown("**What the attack paints**")
    picture_row(pictures, label="Perturbations", largest=200, key="retina.toy.deltas")


def _reading(info: CheckpointInfo, *, compute: bool) -> Reading | None:
    key = (info.digest, info.inference)
    if compute and _known().get(key) is None:
        check = cached.latest_only("retina").begin()
        network = Interruptible(cached.load_model(info), check)
        images = _counterfactuals(_scene(info))
        with st.spinner(f"Asking {info.name} …"):
            try:
                with cached.heavy_work(check):
                    _known().put(key, _measure(network, images))
            except cached.Superseded:
                st.stop()
    return _known().get(key)


def _measure(network: Interruptible, images: Counterfactuals) -> Reading:
    found = confounder_reliance(network, images)
    tied = images.x[images.y, torch.arange(len(images.y))]
    attack = create_attack("pgd", epsilon=EPSILON, num_steps=NUM_STEPS)
    x_adv = attack(network, tied, images.y)
    painted = background_share(tied, x_adv, images.background).nanmean()
    area = images.background.float().mean()
    return Reading(found, (x_adv - tied)[0], float(painted), float(area))


def _scene(info: CheckpointInfo) -> Scene:
    return info.config.data.parameters.get("scene", "patterns")


@st.cache_resource(max_entries=2, show_spinner=False)
def _counterfactuals(scene: Scene) -> Counterfactuals:
    return draw_counterfactuals(scene, NUM_SHAPES)


@st.cache_resource
def _known() -> cached.Recent[Reading]:
    return cached.Recent(32)
