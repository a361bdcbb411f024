"""The confounded toy: shapes whose background is tied to the class, and models that rely on it."""

from collections.abc import Sequence

import streamlit as st

from app.page.retina import charts, measure
from app.ui.browser.pictures import Picture, picture_row
from app.ui.browser.player import perturbation_picture
from app.ui.charts import PLAIN_CHART
from app.ui.kept import slider
from app.ui.plain import in_markdown
from app.ui.units import percent
from app.ui.words import checkpoint_title
from robust_core.analysis.retina import sampled_views
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data.colour_blocks import PALE
from robust_core.models.retina.classifier import RetinotopicParameters

RELEASED_WEIGHT = 0.8
GAIN = 5
LARGEST = 130
EXPLANATION = (
    "CiiV's toy data set tests whether a network uses the shape or a confounder, the background. "
    "In training, blocks of pale red, green or blue are tied to the class; then each shape is "
    "drawn on the background of every class. A network that uses shapes keeps its prediction; one "
    "that uses colours follows the background."
)
ERASED = (
    "At w = {weight:.2f} a pale channel ({pale:g}) is always on, like a full one: the sampler "
    "**erases the colours** before the network. A network that does not get the confounder cannot "
    "rely on it; that is a property of this toy and this w, not evidence of causal reasoning."
)
VISIBLE = (
    "At w = {weight:.2f} a pale channel is on in {share} of the samples and a full one in "
    "{full}: the colours reach the network, weakened."
)
HOW_TO_TRAIN = (
    "No model of the colour toy is available yet: on the Train page choose the data set shapes "
    "with the scene colour_blocks and confounding 0.9, once with the method standard and once with "
    "CIIV. Until then, models of the shapes with patterns can be compared in the same way."
)


def show_toy(infos: Sequence[CheckpointInfo]) -> None:
    """Draw the toy in an expander; it computes only when open."""
    box = st.expander(
        "Toy data set: shape or background?",
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
    weight = slider(
        "Noise weight w of the toy",
        0.05,
        2.0,
        step=0.05,
        start=RELEASED_WEIGHT,
        key="retina.toy.weight",
    )
    images = measure.counterfactuals("colour_blocks")
    settings = RetinotopicParameters.create({"normalisation": "none", "weight": weight})
    pictures, views = [], []
    for k, name in enumerate(images.class_names):
        x = images.x[k, int((images.y == k).nonzero()[0])]
        (view,) = sampled_views(x, settings, (x.shape[2] // 2, x.shape[1] // 2), seed=0)
        alt = f"The {name} through the sampler at w = {weight:.2f}"
        pictures.append(Picture(x, name, "on its own colour", f"A black {name} on its own colour"))
        views.append(Picture(view.image, f"{name}, one view", f"w = {weight:.2f}", alt))
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
            alt=f"At w = {weight:.2f} pale channels are on with probability {percent(pale)}, full "
            f"ones with {percent(full)}.",
        )
        st.markdown(
            sentence.format(weight=weight, pale=PALE, share=percent(pale), full=percent(full))
        )


def _compare(infos: Sequence[CheckpointInfo]) -> None:
    """Draw the choice of models and their reliance on the background."""
    toys = [info for info in infos if measure.scene_of(info) == "colour_blocks"]
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
        f"{measure.NUM_SHAPES} shapes on every background. Attack: PGD, Linf "
        f"{measure.TOY_EPSILON * 255:.0f}/255, {measure.TOY_STEPS} steps, seed 0, on their own "
        "background. It takes some seconds per model."
    )
    pressed = st.button("Compare the models", icon=":material/compare:", key="retina.toy.run")
    shown: dict[str, measure.ToyResult] = {}
    for name in chosen:
        result = measure.toy_result(by_name[name], pressed=pressed)
        if result is not None:
            shown[name] = result
    if shown:
        _show_results(shown, by_name)


def _show_results(shown: dict[str, measure.ToyResult], by_name: dict[str, CheckpointInfo]) -> None:
    rows = [
        "| Model | Accuracy, own background | Accuracy, other background | Predicts background "
        "| Reliance |"
    ]
    rows += ["|---|---|---|---|---|"]
    pictures = []
    for name, result in shown.items():
        found, title = result.reliance, checkpoint_title(by_name[name])
        rows.append(
            f"| {in_markdown(title)} | {percent(found.tied_accuracy)} | "
            f"{percent(found.conflicting_accuracy)} "
            f"| {percent(found.followed)} | {found.reliance:+.2f} |"
        )
        pictures.append(
            Picture(
                perturbation_picture(result.delta, GAIN),
                title,
                f"{percent(result.in_background)} of it in the background",
                f"Perturbation for {title}, amplified {GAIN} times; mid-grey is no change",
                f"background: {percent(result.background_area)} of the pixels; gain {GAIN}",
            )
        )
    st.markdown("\n".join(rows))
    st.caption(
        "Predicts background: share of images classified as the class of the other background. "
        "Reliance: accuracy lost from own to other background; 0 means that it does not matter."
    )
    st.markdown("**Perturbation of the attack**")
    picture_row(pictures, label="Perturbations", largest=200, key="retina.toy.deltas")
