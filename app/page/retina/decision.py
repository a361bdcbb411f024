"""Predictions of a retinotopic network: of each view, of their mean, and over repeated passes."""

import numpy as np
import streamlit as st
from torch import Tensor

from app.page.retina import charts, measure
from app.page.retina.attack import pick_adversarial
from app.page.retina.settings import fixation
from app.ui.browser.pictures import Picture, picture_row
from app.ui.charts import PLAIN_CHART
from app.ui.image_picker import ChosenImage
from app.ui.measure import cost_of
from app.ui.plain import in_markdown
from app.ui.units import count_words, duration_words, percent, percent_range
from robust_core.analysis.retina import RepeatedPasses, SampledView, sampled_views
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicClassifier, RetinotopicParameters
from robust_core.models.retina.sampler import Centre

NUM_PASSES = 20
LIVE_SECONDS = 3.0  # passes estimated below this run at every change of a control
MOST_VIEWS = 20  # pictures shown of a pass
LARGEST = 230
SAME = "The same fixations, masks and pixel noise for both images."


def show_decision(
    info: CheckpointInfo,
    network: RetinotopicClassifier,
    image: ChosenImage,
    settings: RetinotopicParameters,
    seed: int,
) -> None:
    """Draw the prediction of each view, their shares, and the spread over repeated passes."""
    st.subheader("Predictions of the views", anchor=False)
    seconds = cost_of([info], NUM_PASSES).seconds
    if seconds > LIVE_SECONDS and not st.toggle(
        f"Predict at every change: about {duration_words(seconds)} per image",
        key="retina.live",
    ):
        return
    x_adv = pick_adversarial(info, network, image, seed)
    images = {"Clean": image.x} | ({} if x_adv is None else {"Adversarial": x_adv})

    def predict(centre: Centre | None, number: int) -> dict[str, RepeatedPasses]:
        return {
            role: measure.passes(info, x, settings, centre, seed, number)
            for role, x in images.items()
        }

    passes, here = predict(None, NUM_PASSES), predict(fixation(info), 1)
    st.markdown(_sentence(passes["Clean"], info, "the clean image"))
    if x_adv is not None:
        st.markdown(_sentence(passes["Adversarial"], info, "the adversarial image"))
    for role, x in images.items():
        _views(info, role, x, settings, passes[role], here[role], seed)
    same = "" if x_adv is None else SAME
    st.caption(f"Here: the fixation chosen above, which is not part of the mean. {same}")
    _spread(info, image, passes, seed)
    if x_adv is not None:
        _path(info, image, settings, passes, seed)


def _sentence(passes: RepeatedPasses, info: CheckpointInfo, what: str) -> str:
    decision = passes.decision[0]
    winner = int(decision.argmax())
    votes = int((passes.views[0].argmax(dim=1) == winner).sum())
    changed = int((passes.decision.argmax(dim=1) != winner).sum())
    num_views = passes.views.shape[1]
    again = (
        f"all {NUM_PASSES} passes predict the same"
        if changed == 0
        else f"{changed} of {NUM_PASSES} passes predict another class"
    )
    return (
        f"On {what} the mean of {count_words(num_views, 'view')} predicts "
        f"**{in_markdown(info.class_names[winner])}** ({percent(float(decision[winner]))}); "
        f"{votes} of "
        f"{num_views} single views agree, and {again}."
    )


def _views(
    info: CheckpointInfo,
    role: str,
    x: Tensor,
    settings: RetinotopicParameters,
    passes: RepeatedPasses,
    here: RepeatedPasses,
    seed: int,
) -> None:
    path = sampled_views(x, settings, None, seed)[:MOST_VIEWS]
    (own,) = sampled_views(x, settings, fixation(info), seed)
    pictures = [_view(info, role, own, here.views[0, 0], "Here")]
    pictures += [
        _view(info, role, view, passes.views[0, number], f"View {number + 1}")
        for number, view in enumerate(path)
    ]
    picture_row(
        pictures,
        label=f"Views of the {role.lower()} image and their predictions",
        largest=LARGEST,
        columns=5,
        key=f"retina.views.{role}",
    )


def _view(
    info: CheckpointInfo, role: str, view: SampledView, probabilities: Tensor, title: str
) -> Picture:
    winner = int(probabilities.argmax())
    words = f"{info.class_names[winner]}, {percent(float(probabilities[winner]))}"
    place = place_words(view.centre)
    return Picture(
        view.image, title, words, f"{title} at {place}: {words}", place, role=role.lower()
    )


def place_words(centre: Centre) -> str:
    """Return a fixation as (column, row)."""
    return f"({centre[0]:g}, {centre[1]:g})"


def _spread(
    info: CheckpointInfo, image: ChosenImage, passes: dict[str, RepeatedPasses], seed: int
) -> None:
    label = info.class_names[image.label]
    votes = [
        charts.Votes(
            role, found.views.argmax(dim=2).flatten().numpy(), found.decision.argmax(dim=1).numpy()
        )
        for role, found in passes.items()
    ]
    confidence = {role: found.decision[:, image.label].numpy() for role, found in passes.items()}
    words = "; ".join(
        f"{role.lower()} {percent_range((np.min(values), np.max(values)), 1)}"
        for role, values in confidence.items()
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Predicted classes**")
        st.plotly_chart(
            charts.vote_bars(votes, info.class_names),
            config=PLAIN_CHART,
            key="retina.votes",
            alt=f"Predicted classes over {NUM_PASSES} passes: "
            + "; ".join(_sentence(found, info, role) for role, found in passes.items()),
        )
    with right:
        st.markdown("**Repeated passes**")
        st.plotly_chart(
            charts.spread_strip(confidence, label),
            config=PLAIN_CHART,
            key="retina.spread",
            alt=f"Probability of {label} over {NUM_PASSES} passes: {words}.",
        )
        st.caption(
            f"{NUM_PASSES} passes with new masks and noise, from seed {seed}. The model is "
            "stochastic, so a single pass is not conclusive."
        )


def _path(
    info: CheckpointInfo,
    image: ChosenImage,
    settings: RetinotopicParameters,
    passes: dict[str, RepeatedPasses],
    seed: int,
) -> None:
    clean, adversarial = (
        passes[role].views[0, :, image.label].numpy() for role in ("Clean", "Adversarial")
    )
    places = [place_words(view.centre) for view in sampled_views(image.x, settings, None, seed)]
    st.markdown("**Clean and adversarial probability, view by view**")
    st.plotly_chart(
        charts.path_curves(clean, adversarial, places, info.class_names[image.label]),
        config=PLAIN_CHART,
        key="retina.path",
        alt=f"Mean probability of the label over the views: clean {percent(float(clean.mean()))}, "
        f"adversarial {percent(float(adversarial.mean()))}.",
    )
