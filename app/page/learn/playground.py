"""The playground: two networks on points in the plane, side by side, under one attack."""

from collections.abc import Collection, Mapping, Sequence

import streamlit as st

from app.page.gradients.controls import theme
from app.page.learn import charts
from app.page.learn import playground_measure as toy
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download, table
from app.ui.page import areas
from app.ui.state import Choice, Names, Number
from app.ui.units import percent
from robust_core.analysis.toy_2d import (
    ATTACK_STEP_SIZE,
    ATTACK_STEPS,
    DecisionMap,
    ToyPoints,
)
from robust_core.analysis.toy_2d_moves import (
    LARGEST_EPSILON,
    RADII,
    Arrows,
    ToyRecipe,
    TrainedToy,
    points_of,
)

DATA = {"line": "Clusters on a line", "moons": "Two moons"}
METHODS = {
    "standard": "Standard",
    "pgd_at": "PGD training",
    "pag": "PAG (aligned gradients)",
    "feature_scattering": "Feature Scattering",
    "atld": "ATLD",
}
LAYERS = {
    "gradient": "Gradient",
    "pgd": "PGD",
    "feature_scattering": "Feature Scattering",
    "lmae": "LMAE",
    "target": "PAG targets",
}
POINTS_OF = Choice("data", "learn.play.data", DATA)
LEFT = Choice("left", "learn.play.left", METHODS, start="standard", kind="method")
RIGHT = Choice("right", "learn.play.right", METHODS, start="pgd_at", kind="method")
POINTS = Number("points", "learn.play.points", 40, 400, 200)
EPOCHS = Number("epochs", "learn.play.epochs", 10, 100, 60)
RADIUS = Number("radius", "learn.play.radius", 1.0, 30.0, 15.0)
SEED = Number("seed", "learn.play.seed", 0, 999, 1)
EPSILON = Number("epsilon", "learn.play.epsilon", 0.0, LARGEST_EPSILON, 10.0)
ARROWS = Names("arrows", "learn.play.layers", lambda: LAYERS, start=["pgd"], kind="kind of arrows")
PARTS = (POINTS_OF, LEFT, RIGHT, POINTS, EPOCHS, RADIUS, SEED, EPSILON, ARROWS)
BEGUN = Number(
    "begun", "learn.play.begun", 0, 1, 0
)  # once a session: what it opens with is trained
SIDES = ("left", "right")
STORY = (
    "Two networks learn the same points with different methods: see their boundaries move. Then "
    "change epsilon to see how an attack of that size affects each of them."
)
EXPLANATIONS = {
    "gradient": "Gradient: where the loss increases fastest; all arrows have the same length.",
    "pgd": "PGD: 10 steps of length 2, no random start.",
    "feature_scattering": "Feature Scattering: one step from a random start that moves the batch's "
    "outputs apart, without labels.",
    "lmae": "LMAE: one step from a random start that makes moved points easiest to separate from "
    "clean ones for a discriminator.",
    "target": "PAG targets: to the nearest training point of the other class.",
}


def show_playground(hidden: Collection[str]) -> None:
    """Draw the controls, both planes and accuracy against epsilon.

    Args:
        hidden: names of controls that are not drawn.
    """
    st.markdown(STORY)
    if "training" in hidden:
        controls = stage = st.container()
    else:
        controls, stage = areas([1, 3.2])
    with controls:
        if "training" not in hidden:
            _pick_training()
        pressed = st.button(
            "Train both", type="primary", icon=":material/play_arrow:", key="learn.play.train"
        )
        st.caption("Takes a few seconds; networks trained before are shown at once.")
    with stage:
        networks = _networks(_recipes(), pressed or not BEGUN.value)
        BEGUN.put(1)
        if networks is None:
            st.info(
                "Press Train both to train two small networks.",
                icon=":material/scatter_plot:",
            )
        else:
            _show(networks, hidden)


def _pick_training() -> None:
    POINTS_OF.select("Points")
    LEFT.select("Left network")
    RIGHT.select("Right network")
    with st.expander("More settings", icon=":material/tune:"):
        POINTS.slider("Training points", step=40)
        EPOCHS.slider("Epochs", step=10)
        RADIUS.slider(
            "Training epsilon",
            step=1.0,
            format="%g",
            help="L2, in units of the plane; standard training and PAG use no attack.",
        )
        SEED.field("Seed", help="Seed of the points, the initial weights and the training order.")


def _recipes() -> list[ToyRecipe]:
    """Return the recipes that the controls describe, left and right."""
    return [
        ToyRecipe(POINTS_OF.value, side.value, POINTS.value, EPOCHS.value, RADIUS.value, SEED.value)
        for side in (LEFT, RIGHT)
    ]


def _networks(recipes: Sequence[ToyRecipe], pressed: bool) -> list[TrainedToy] | None:
    """Return both networks; None if one is not trained yet and training was not requested."""
    if pressed:
        return _learn(recipes)
    found = [toy.known_network(recipe) for recipe in recipes]
    there = [one for one in found if one is not None]
    return there if len(there) == len(recipes) else None


def _learn(recipes: Sequence[ToyRecipe]) -> list[TrainedToy]:
    """Train both networks, the second after the first, and draw them while they learn."""
    board = st.empty()
    with board.container():
        places = [column.empty() for column in st.columns(2)]
    networks = []
    for recipe, place in zip(recipes, places, strict=True):
        points = points_of(recipe, recipe.seed)

        def draw(epoch: int, shown: DecisionMap, recipe=recipe, place=place, points=points) -> None:
            with place.container():
                _frame(recipe, epoch, shown, points)

        networks.append(toy.train(recipe, f"Training {METHODS[recipe.method]}", draw))
    board.empty()
    return networks


def _frame(recipe: ToyRecipe, epoch: int, shown: DecisionMap, points: ToyPoints) -> None:
    """Draw a network that is learning, with its training points."""
    words = f"epoch {epoch} of {recipe.epochs}"
    st.markdown(f"**{METHODS[recipe.method]}**: {words}")
    st.plotly_chart(
        charts.plane_map(_plane_of(shown, points, {}), theme()),
        config=PLAIN_CHART,
        alt=f"Decision regions of the network that learns with {METHODS[recipe.method]}, {words}.",
    )


def _plane_of(shown: DecisionMap, points: ToyPoints, arrows: Mapping[str, Arrows]) -> charts.Plane:
    return charts.Plane(
        shown.first.numpy(),
        shown.second.numpy(),
        shown.probability.numpy(),
        points.points.numpy(),
        points.y.numpy(),
        {layer: (moved.start.numpy(), moved.end.numpy()) for layer, moved in arrows.items()},
        LAYERS,
    )


@st.fragment
def _show(networks: Sequence[TrainedToy], hidden: Collection[str]) -> None:
    """Draw everything that depends on epsilon and layers, as a fragment of its own."""
    slider, choice = st.columns([1, 1.5], gap="medium")
    with slider:
        epsilon = EPSILON.slider("Epsilon (L2, units of the plane)", step=0.5, format="%g")
    if "layers" not in hidden:
        with choice:
            ARROWS.pills("Arrows", format_func=LAYERS.__getitem__)
    layers = [name for name in LAYERS if name in ARROWS.value]
    arrows, right = toy.moved(networks, epsilon)
    for number, place in enumerate(st.columns(2)):
        shown = {name: arrows[number][name] for name in layers}
        with place:
            _plane(networks[number], shown, right[number], SIDES[number])
    if layers:
        st.caption(" ".join(EXPLANATIONS[name] for name in layers))
    _curves(networks, epsilon)
    _offer(networks, arrows, epsilon)


def _plane(one: TrainedToy, arrows: Mapping[str, Arrows], right_now: int, side: str) -> None:
    number, name = len(one.test.y), METHODS[one.recipe.method]
    clean, attacked = percent(one.correct[0] / number), percent(right_now / number)
    st.markdown(f"**{name}**: {clean} correct, **{attacked}** under PGD")
    st.plotly_chart(
        charts.plane_map(_plane_of(one.map, one.test, arrows), theme()),
        key=f"learn.play.plane.{side}",
        config={"toImageButtonOptions": {"format": "png", "filename": f"plane-{side}", "scale": 2}},
        alt=f"Decision regions of the network trained with {name}: {clean} of {number} test points "
        f"correct, {attacked} under PGD.",
    )


def _curves(networks: Sequence[TrainedToy], epsilon: float) -> None:
    names = [METHODS[one.recipe.method] for one in networks]
    shares = [[right / len(one.test.y) for right in one.correct] for one in networks]
    st.plotly_chart(
        charts.epsilon_curves(names, RADII, shares, epsilon),
        key="learn.play.curves",
        config=PLAIN_CHART,
        alt="Accuracy against epsilon; at the largest value: "
        + ", ".join(f"{name} {percent(row[-1])}" for name, row in zip(names, shares, strict=True)),
    )
    recipe = networks[0].recipe
    st.caption(
        f"PGD, L2, {ATTACK_STEPS} steps of {ATTACK_STEP_SIZE:g}, no random start, "
        f"{len(networks[0].test.y)} test points, seed {recipe.seed + 1}; training with "
        f"{len(networks[0].train.y)} points, {recipe.epochs} epochs, epsilon {recipe.epsilon:g} "
        f"where there is an attack, seed {recipe.seed}. The clusters on a line are the toy of the "
        "PAG paper with fewer clusters. The plane makes visible what images cannot show; it proves "
        "nothing about images."
    )


def _offer(
    networks: Sequence[TrainedToy], arrows: Sequence[Mapping[str, Arrows]], epsilon: float
) -> None:
    rows = []
    for one, found in zip(networks, arrows, strict=True):
        for name, moved in found.items():
            for start, end in zip(moved.start.tolist(), moved.end.tolist(), strict=True):
                rows.append([one.recipe.method, name, *start, *end, epsilon, one.recipe.seed])
    head = ["network", "layer", "x1", "x2", "moved_x1", "moved_x2", "epsilon", "seed"]
    download("Arrows, CSV", lambda: table(head, rows), "arrows.csv")
