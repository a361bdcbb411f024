"""What a retinotopic network decides: view by view, together, and over again."""

import hashlib

import numpy as np
import streamlit as st
from torch import Tensor

from app.page.retina import charts
from app.page.retina.attack import pick_adversarial
from app.page.retina.sampling import Glance, Passes, decide, look, retinotopic_network
from app.page.retina.settings import fixation
from app.page.retina.sight import PLAIN_CHART
from app.ui import cached
from app.ui.browser.pictures import Picture, picture_row
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, duration_words, percent
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicClassifier, RetinotopicParameters
from robust_core.models.retina.sampler import Centre

NUM_PASSES = 20
LIVE_SECONDS = 3.0  # passes estimated below this run at every change of a control
MOST_VIEWS = 20  # pictures shown of a pass
LARGEST = 64
SAME = "The same fixations, masks and pixel noise for both images."


def show_decision(
    info: CheckpointInfo,
    network: RetinotopicClassifier,
    image: ChosenImage,
    settings: RetinotopicParameters,
    seed: int,
) -> None:
    """Draw the prediction of every view, the vote, and the spread over repeated passes."""
    st.subheader("What the model decides", anchor=False)
    seconds = NUM_PASSES * cached.seconds_per_pass(info)
    if seconds > LIVE_SECONDS and not st.toggle(
        f"Let the model decide: about {duration_words(seconds)} for each image and change",
        key="retina.live",
    ):
        return
    x_adv = pick_adversarial(info, network, image, seed)
    images = {"Clean": image.x} | ({} if x_adv is None else {"Adversarial": x_adv})
    passes = {
        role: _passes(info, x, settings, None, seed, NUM_PASSES) for role, x in images.items()
    }
    here = {role: _passes(info, x, settings, fixation(info), seed, 1) for role, x in images.items()}
    st.markdown(_sentence(passes["Clean"], info, "the clean image"))
    if x_adv is not None:
        st.markdown(_sentence(passes["Adversarial"], info, "the adversarial image"))
    for role, x in images.items():
        _views(info, role, x, settings, passes[role], here[role], seed)
    same = "" if x_adv is None else SAME
    st.caption(f"Here: your fixation, which has no vote. {same}")
    _spread(info, image, passes, seed)
    if x_adv is not None:
        _path(info, image, settings, passes, seed)


def _passes(
    info: CheckpointInfo,
    x: Tensor,
    settings: RetinotopicParameters,
    centre: Centre | None,
    seed: int,
    num_passes: int,
) -> Passes:
    pixels = hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()
    key = (info.digest, info.inference, pixels, settings, centre, seed, num_passes)
    found = _known().get(key)
    if found is None:
        network = retinotopic_network(info)
        assert network is not None  # the caller draws nothing for other networks
        try:
            with cached.heavy_work(cached.latest_only("retina").begin()):
                found = decide(network, x, settings, centre, seed, num_passes)
        except cached.Superseded:
            st.stop()
        _known().put(key, found)
    return found


@st.cache_resource
def _known() -> cached.Recent[Passes]:
    return cached.Recent(128)


def _sentence(passes: Passes, info: CheckpointInfo, what: str) -> str:
    decision = passes.decision[0]
    winner = int(decision.argmax())
    votes = int((passes.views[0].argmax(dim=1) == winner).sum())
    changed = int((passes.decision.argmax(dim=1) != winner).sum())
    num_views = passes.views.shape[1]
    again = (
        f"all {NUM_PASSES} passes agree"
        if changed == 0
        else f"{changed} of {NUM_PASSES} passes decide otherwise"
    )
    return (
        f"On {what} the mean of {count_words(num_views, 'view')} says "
        f"**{info.class_names[winner]}** ({percent(float(decision[winner]))}); {votes} of "
        f"{num_views} single views agree, and {again}."
    )


def _views(
    info: CheckpointInfo,
    role: str,
    x: Tensor,
    settings: RetinotopicParameters,
    passes: Passes,
    here: Passes,
    seed: int,
) -> None:
    path = look(x, settings, None, seed)[:MOST_VIEWS]
    (own,) = look(x, settings, fixation(info), seed)
    pictures = [_view(info, role, own, here.views[0, 0], "Here")]
    pictures += [
        _view(info, role, glance, passes.views[0, number], f"View {number + 1}")
        for number, glance in enumerate(path)
    ]
    picture_row(
        pictures,
        label=f"Views of the {role.lower()} image and their predictions",
        largest=LARGEST,
        key=f"retina.views.{role}",
    )


def _view(
    info: CheckpointInfo, role: str, glance: Glance, probabilities: Tensor, title: str
) -> Picture:
    winner = int(probabilities.argmax())
    words = f"{info.class_names[winner]}, {percent(float(probabilities[winner]))}"
    place = place_words(glance.centre)
    return Picture(
        glance.view, title, words, f"{title} at {place}: {words}", place, role=role.lower()
    )


def place_words(centre: Centre) -> str:
    """Return a fixation as (column, row)."""
    return f"({centre[0]:g}, {centre[1]:g})"


def _spread(info: CheckpointInfo, image: ChosenImage, passes: dict[str, Passes], seed: int) -> None:
    label = info.class_names[image.label]
    votes = [
        charts.Votes(
            role, found.views.argmax(dim=2).flatten().numpy(), found.decision.argmax(dim=1).numpy()
        )
        for role, found in passes.items()
    ]
    confidence = {role: found.decision[:, image.label].numpy() for role, found in passes.items()}
    words = "; ".join(
        f"{role.lower()} {100 * np.min(values):.1f} to {100 * np.max(values):.1f} %"
        for role, values in confidence.items()
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**The vote**")
        st.plotly_chart(
            charts.vote_bars(votes, info.class_names),
            config=PLAIN_CHART,
            key="retina.votes",
            alt=f"Votes over {NUM_PASSES} passes: "
            + "; ".join(_sentence(found, info, role) for role, found in passes.items()),
        )
    with right:
        st.markdown("**The same image, over and over**")
        st.plotly_chart(
            charts.spread_strip(confidence, label),
            config=PLAIN_CHART,
            key="retina.spread",
            alt=f"Probability of {label} over {NUM_PASSES} passes: {words}.",
        )
        st.caption(
            f"{NUM_PASSES} passes of fresh masks and noise from seed {seed}: the decision of this "
            "model is random, so one pass proves nothing."
        )


def _path(
    info: CheckpointInfo,
    image: ChosenImage,
    settings: RetinotopicParameters,
    passes: dict[str, Passes],
    seed: int,
) -> None:
    clean, adversarial = (
        passes[role].views[0, :, image.label].numpy() for role in ("Clean", "Adversarial")
    )
    places = [place_words(glance.centre) for glance in look(image.x, settings, None, seed)]
    st.markdown("**Clean against adversarial along one path of fixations**")
    st.plotly_chart(
        charts.path_curves(clean, adversarial, places, info.class_names[image.label]),
        config=PLAIN_CHART,
        key="retina.path",
        alt=f"Mean probability of the label over the views: clean {percent(float(clean.mean()))}, "
        f"adversarial {percent(float(adversarial.mean()))}.",
    )
