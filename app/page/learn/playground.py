"""The playground: two networks in the plane, side by side, under one attack."""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from app.page.gradients.controls import theme
from app.page.learn import charts
from app.page.learn import playground_measure as toy
from app.page.learn.playground_measure import (
    DATA,
    LARGEST_EPSILON,
    LAYERS,
    METHODS,
    RADII,
    Arrows,
    Recipe,
    Trained,
)
from app.ui import cached
from app.ui.units import percent

DATA_KEY, SEED_KEY = "learn.play.data", "learn.play.seed"
LEFT_KEY, RIGHT_KEY = "learn.play.left", "learn.play.right"
POINTS_KEY, EPOCHS_KEY = "learn.play.points", "learn.play.epochs"
RADIUS_KEY, EPSILON_KEY = "learn.play.radius", "learn.play.epsilon"
LAYERS_KEY = "learn.play.layers"
LARGEST_SEED = 999
POINTS, EPOCHS, RADIUS = (40, 400), (10, 100), (1.0, 30.0)  # smallest and largest
SIDES = ("left", "right")
FIRST_VALUES = {
    DATA_KEY: "line",
    LEFT_KEY: "standard",
    RIGHT_KEY: "pgd_at",
    POINTS_KEY: 200,
    EPOCHS_KEY: 60,
    RADIUS_KEY: 15.0,
    SEED_KEY: 1,
    EPSILON_KEY: 10.0,
    LAYERS_KEY: ["pgd"],
}
STORY = (
    "Two networks learn the same points, each in its own way. Move the radius and see what an "
    "attack of that size does to each of them."
)
EXPLANATIONS = {
    "gradient": "Gradient: where the loss grows fastest; all arrows have one length.",
    "pgd": "PGD: 10 steps of length 2 from the point itself.",
    "feature_scattering": "Feature Scattering: one step from a random start that moves the batch's "
    "outputs apart, without labels.",
    "lmae": "LMAE: one step from a random start that makes it easiest for a discriminator to tell "
    "moved points from clean ones.",
    "target": "PAG targets: to the nearest training point of the other class.",
}


def set_play_defaults() -> None:
    """Fill in whatever the playground has not been told yet."""
    for key, value in FIRST_VALUES.items():
        st.session_state.setdefault(key, value)


def show_playground(hidden: Collection[str]) -> None:
    """Draw controls, both planes and the accuracy over radii.

    Args:
        hidden: names of controls that are not drawn.
    """
    st.markdown(STORY)
    if "training" in hidden:
        controls = stage = st.container()
    else:
        controls, stage = st.columns([1, 3.2], gap="large")
    with controls:
        if "training" not in hidden:
            _pick_training()
        pressed = st.button(
            "Train both", type="primary", icon=":material/play_arrow:", key="learn.play.train"
        )
        st.caption("Takes a few seconds; what was trained before is there at once.")
    with stage:
        networks = _networks(_recipes(), pressed)
        if networks is None:
            st.info(
                "Press Train both: two small networks learn while you wait.",
                icon=":material/scatter_plot:",
            )
        else:
            _show(networks, hidden)


def _pick_training() -> None:
    kept: dict[str, Any] = {"persist_state": "session"}
    st.segmented_control(
        "Points", list(DATA), format_func=DATA.__getitem__, key=DATA_KEY, required=True, **kept
    )
    for label, key in (("Left network", LEFT_KEY), ("Right network", RIGHT_KEY)):
        st.selectbox(label, list(METHODS), format_func=METHODS.__getitem__, key=key, **kept)
    with st.expander("More settings", icon=":material/tune:"):
        st.slider("Training points", *POINTS, step=40, key=POINTS_KEY, **kept)
        st.slider("Epochs", *EPOCHS, step=10, key=EPOCHS_KEY, **kept)
        st.slider(
            "Radius of the training attack",
            *RADIUS,
            step=1.0,
            format="%g",
            key=RADIUS_KEY,
            help="L2, in units of the plane. Standard training and PAG have no attack.",
            **kept,
        )
        st.number_input(
            "Seed",
            0,
            LARGEST_SEED,
            key=SEED_KEY,
            help="Of the points, the first weights and the order of training.",
            **kept,
        )


def _recipes() -> list[Recipe]:
    """Return what the controls ask for, left and right."""
    state = st.session_state
    return [
        Recipe(
            state[DATA_KEY],
            state[key],
            int(state[POINTS_KEY]),
            int(state[EPOCHS_KEY]),
            float(state[RADIUS_KEY]),
            int(state[SEED_KEY]),
        )
        for key in (LEFT_KEY, RIGHT_KEY)
    ]


def _networks(recipes: Sequence[Recipe], pressed: bool) -> list[Trained] | None:
    """Return both networks; None if one is not known and training was not asked for."""
    if not pressed:
        found = [toy.known(recipe) for recipe in recipes]
        there = [one for one in found if one is not None]
        return there if len(there) == len(recipes) else None
    check, place, found = cached.latest_only("learn").begin(), st.empty(), []
    try:
        for recipe in recipes:

            def report(share: float, words: str = f"Trains {METHODS[recipe.method]}") -> None:
                place.progress(share, words)

            found.append(toy.train(recipe, check=check, on_share=report))
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()
    return found


@st.fragment
def _show(networks: Sequence[Trained], hidden: Collection[str]) -> None:
    """Draw what belongs to radius and layers; moving them reruns nothing else."""
    radius, choice = st.columns([1, 1.5], gap="medium")
    epsilon = radius.slider(
        "Radius of the attack (L2, units of the plane)",
        0.0,
        LARGEST_EPSILON,
        step=0.5,
        format="%g",
        key=EPSILON_KEY,
        persist_state="session",
    )
    if "layers" not in hidden:
        choice.pills(
            "Arrows",
            list(LAYERS),
            format_func=LAYERS.__getitem__,
            selection_mode="multi",
            key=LAYERS_KEY,
            persist_state="session",
        )
    layers = [name for name in LAYERS if name in st.session_state[LAYERS_KEY]]
    with cached.heavy_work():
        arrows = [toy.moves(one, epsilon) for one in networks]
        right = [toy.right_at(one, epsilon) for one in networks]
    for number, place in enumerate(st.columns(2)):
        shown = {name: arrows[number][name] for name in layers}
        with place:
            _plane(networks[number], shown, right[number], SIDES[number])
    if layers:
        st.caption(" ".join(EXPLANATIONS[name] for name in layers))
    _curves(networks, epsilon)
    _offer(networks, arrows, epsilon)


def _plane(one: Trained, arrows: Mapping[str, Arrows], right_now: int, side: str) -> None:
    number, name = len(one.test.y), METHODS[one.recipe.method]
    clean, attacked = percent(one.correct[0] / number), percent(right_now / number)
    st.markdown(f"**{name}**: {clean} right, **{attacked}** under PGD")
    plane = charts.Plane(
        one.map.first.numpy(),
        one.map.second.numpy(),
        one.map.probability.numpy(),
        one.test.points.numpy(),
        one.test.y.numpy(),
        {layer: (moved.start, moved.end) for layer, moved in arrows.items()},
        LAYERS,
    )
    st.plotly_chart(
        charts.plane_map(plane, theme()),
        key=f"learn.play.plane.{side}",
        config={"toImageButtonOptions": {"format": "png", "filename": f"plane-{side}", "scale": 2}},
        alt=f"Decision of the network trained by {name} in the plane: {clean} of {number} test "
        f"points right, {attacked} under PGD.",
    )


def _curves(networks: Sequence[Trained], epsilon: float) -> None:
    names = [METHODS[one.recipe.method] for one in networks]
    shares = [[right / len(one.test.y) for right in one.correct] for one in networks]
    st.plotly_chart(
        charts.radius_curves(names, RADII, shares, epsilon),
        key="learn.play.curves",
        config={"displayModeBar": False},
        alt="Accuracy against the radius; at the largest: "
        + ", ".join(f"{name} {percent(row[-1])}" for name, row in zip(names, shares, strict=True)),
    )
    recipe = networks[0].recipe
    st.caption(
        f"PGD, L2, {toy.ATTACK_STEPS} steps of {toy.ATTACK_STEP_SIZE:g} from the point itself, "
        f"{len(networks[0].test.y)} test points, seed {recipe.seed + 1}; training with "
        f"{len(networks[0].train.y)} points, {recipe.epochs} epochs, radius {recipe.epsilon:g} "
        f"where there is an attack, seed {recipe.seed}. The clusters on a line are the toy of the "
        "PAG paper with fewer clusters. In a plane one may see what no image shows; it proves "
        "nothing about images."
    )


def _offer(
    networks: Sequence[Trained], arrows: Sequence[Mapping[str, Arrows]], epsilon: float
) -> None:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["network", "layer", "x1", "x2", "moved_x1", "moved_x2", "epsilon", "seed"])
    for one, moves in zip(networks, arrows, strict=True):
        for name, moved in moves.items():
            for start, end in zip(moved.start.tolist(), moved.end.tolist(), strict=True):
                writer.writerow([one.recipe.method, name, *start, *end, epsilon, one.recipe.seed])
    st.download_button(
        "Arrows, CSV",
        table.getvalue(),
        "arrows.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="learn.play.csv",
    )
