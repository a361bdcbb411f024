"""The synchronised player: every model at the same step of its own attack."""

import math
from collections.abc import Sequence

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from app.page.compare import charts
from app.page.gradients.charts import picture_bytes
from app.page.gradients.controls import offer, short_name
from app.page.gradients.measure import npz
from app.ui.browser.pictures import Picture, picture_row
from app.ui.browser.player import perturbation_picture
from app.ui.outcome import GAIN, GAIN_KEY, PLAIN_CHART, show_verdict
from app.ui.units import percent
from app.ui.words import distance_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace, Frame

WIDTHS = {2: 170, 3: 120, 4: 84}  # of a picture, in pixels, by the number of models
PLAYING_KEY, ROUND_KEY = "compare.playing", "compare.round"
PLAY_SECONDS, PLAY_FRAMES = 8, 20  # a long attack is played in larger steps


def show_player(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Draw pictures and probabilities of all models at one step, with one slider for all."""
    ticking = st.session_state.get(PLAYING_KEY, False)
    every = PLAY_SECONDS / PLAY_FRAMES if ticking else None
    st.fragment(_play, run_every=every)(infos, traces, ticking)


def _play(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace], ticking: bool) -> None:
    """Draw the player; while it plays, every run of this fragment is a few steps further.

    Args:
        infos: the models.
        traces: the attack on each of them.
        ticking: whether this fragment has a timer, which only a run of the whole page can change.
    """
    if st.session_state.get(PLAYING_KEY, False) != ticking:
        st.rerun()
    st.session_state.setdefault(GAIN_KEY, GAIN)
    last = max(len(trace.frames) for trace in traces) - 1
    place = st.container()
    button, left, right = st.columns([0.7, 2, 1], vertical_alignment="bottom")
    step = _pick_step(button, left, last) if last else 0
    gain = right.slider(
        "Gain of the perturbation picture",
        1,
        50,
        key=GAIN_KEY,
        persist_state="session",
        help="The picture shows 0.5 + gain * perturbation / 2: mid-grey is no change.",
    )
    frames = [trace.frames[min(step, len(trace.frames) - 1)] for trace in traces]
    with place:
        for column, info, trace, frame in zip(
            st.columns(len(infos), gap="medium"), infos, traces, frames, strict=True
        ):
            with column:
                st.markdown(f"**{short_name(info)}**")
                _show_pictures(info, trace, frame, gain, WIDTHS[len(infos)])
    _show_probabilities(infos, traces, frames, step)


def _pick_step(button: DeltaGenerator, place: DeltaGenerator, last: int) -> int:
    """Draw the button that plays and the slider of the steps; return the step that is shown.

    While it plays, the slider only shows the step, and afterwards it is a new one: the browser may
    be a step behind and would send the old value back.
    """
    key = f"compare.step.{last}"
    step = st.session_state.get(key, last)  # where playing was begun, is or has ended
    playing, rounds = st.session_state.get(PLAYING_KEY, False), st.session_state.get(ROUND_KEY, 0)
    if playing:
        step = min(step + math.ceil(last / PLAY_FRAMES), last)
        place.slider("Recorded step", 0, last, step, key=f"{key}.at.{step}", disabled=True)
        st.session_state.update({key: step, PLAYING_KEY: step < last})
    else:
        step = place.slider(
            "Recorded step",
            0,
            last,
            step,
            key=f"{key}.{rounds}",
            help="One for all models. An attack that ended earlier stays at its result. "
            "Restarts follow one another.",
        )

    def toggle() -> None:
        start = 0 if step == last and not playing else step
        st.session_state.update({PLAYING_KEY: not playing, ROUND_KEY: rounds + 1, key: start})

    button.button(
        "Pause" if playing else "Play",
        icon=":material/pause:" if playing else ":material/play_arrow:",
        on_click=toggle,
        key="compare.play",
        width="stretch",
    )
    return step


def show_verdicts(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Say in one line for each model what became of the image."""
    for info, trace in zip(infos, traces, strict=True):
        name, words = st.columns([1, 4.2], vertical_alignment="center")
        name.markdown(f"**{short_name(info)}**")
        with words:
            show_verdict(trace, info)


def show_downloads(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Offer the clean and all adversarial images, exactly and as one picture."""
    images = np.stack([traces[0].x, *(trace.x_adv for trace in traces)])  # [M + 1, C, H, W]
    data = npz(
        models=np.array([info.name for info in infos]),
        x=traces[0].x,
        x_adv=images[1:],
        clean=np.stack([trace.clean for trace in traces]),
        adversarial=np.stack([trace.adversarial for trace in traces]),
    )
    offer(data, picture_bytes(images.transpose(0, 2, 3, 1)[None]), "comparison")


def _show_pictures(
    info: CheckpointInfo, trace: AttackTrace, frame: Frame, gain: float, largest: int
) -> None:
    winner = int(frame.probabilities.argmax())
    seen = f"{info.class_names[winner]}, {percent(float(frame.probabilities[winner]))}"
    delta = perturbation_picture(frame.x_adv - trace.x, gain)
    distance = distance_words(trace.attack.norm, frame.distance)
    name = short_name(info)
    pictures = [
        Picture(
            torch.from_numpy(delta),
            f"Perturbation × {gain:g}",
            f"{trace.attack.norm} {distance}",
            f"perturbation of {name} at length {distance}",
        ),
        Picture(
            torch.from_numpy(frame.x_adv),
            "Adversarial",
            seen,
            f"{info.class_names[trace.label]} taken by {name} for {seen}",
            role="adversarial",
        ),
    ]
    picture_row(
        pictures, label=f"Pictures of {name}", largest=largest, key=f"compare.pictures.{info.name}"
    )


def _show_probabilities(
    infos: Sequence[CheckpointInfo],
    traces: Sequence[AttackTrace],
    frames: Sequence[Frame],
    step: int,
) -> None:
    models, names = [short_name(info) for info in infos], infos[0].class_names
    clean, final = (
        np.stack([getattr(trace, role) for trace in traces]) for role in ("clean", "adversarial")
    )
    now = np.stack([frame.probabilities for frame in frames])
    told = ", ".join(
        f"{model}: {names[int(row.argmax())]} {percent(float(row.max()))}"
        for model, row in zip(models, now, strict=True)
    )
    st.plotly_chart(
        charts.model_bars(clean, now, charts.shown_classes(clean, final), names, models),
        config=PLAIN_CHART,
        key="compare.bars",
        alt=f"Probabilities at step {step}. {told}.",
    )
    label = traces[0].label
    curves = [
        np.array([frame.probabilities[label] for frame in trace.frames], dtype=np.float32)
        for trace in traces
    ]
    ends = ", ".join(
        f"{model} {percent(float(curve[-1]))}" for model, curve in zip(models, curves, strict=True)
    )
    st.plotly_chart(
        charts.label_curves(curves, models, names[label], step),
        config=PLAIN_CHART,
        key="compare.curves",
        alt=f"Probability of {names[label]} over the steps; at the end {ends}.",
    )
