"""The player: clean, perturbation and adversarial picture at every step, for one model or more."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from torch import Tensor

from app.ui.browser.assets import data_url, register
from app.ui.words import distance_words
from robust_core.evaluation.trace import Array, AttackTrace, Frame

KEPT = 16  # recorded attacks; one on a photograph takes 3 MB
_render = register("player")


def player(
    traces: Sequence[AttackTrace],
    names: Sequence[str],
    class_names: tuple[str, ...],
    *,
    gain: float,
    key: str,
) -> None:
    """Show the recorded attacks on one image in step, at their end at first.

    The frames travel to the browser once, so playing and scrubbing need no computation.

    Args:
        traces: the same attack on M models.
        names: of the models; one alone is not named.
        class_names: K names.
        gain: factor on the perturbation in its picture, 0.5 + gain * delta / 2.
        key: of the component.
    """
    _render(key=key, data=_kept_data(_identity(traces), tuple(names), class_names, gain, traces))


@st.cache_data(max_entries=KEPT, show_spinner=False)
def _kept_data(
    identity: str,
    names: tuple[str, ...],
    class_names: tuple[str, ...],
    gain: float,
    _traces: Sequence[AttackTrace],
) -> dict[str, Any]:
    """Return `player_data`: to encode the frames of a photograph takes a third of a second."""
    return player_data(_traces, names, class_names, gain)


def player_data(
    traces: Sequence[AttackTrace], names: Sequence[str], class_names: tuple[str, ...], gain: float
) -> dict[str, Any]:
    """Return what the player in the browser needs, as plain JSON values."""
    first, attack = traces[0], traces[0].attack
    classes = likeliest_classes(traces)
    return {
        "id": _identity(traces),
        "width": first.x.shape[2],
        "height": first.x.shape[1],
        "gain": f"{gain:g}",
        "label": class_names[first.label],
        "norm": attack.norm,
        "epsilon": attack.epsilon,
        "epsilon_words": distance_words(attack.norm, attack.epsilon),
        "classes": [class_names[k] for k in classes],
        "clean": data_url(first.x),
        "models": [
            {
                "name": name,
                "other": class_names[rival(trace)],
                "num_steps": max(frame.index for frame in trace.frames),
                "num_restarts": max(frame.restart for frame in trace.frames) + 1,
                "clean": _reading(trace.clean, class_names, classes),
                "frames": [
                    _frame(frame, trace, class_names, classes, gain) for frame in trace.frames
                ],
            }
            for trace, name in zip(traces, names, strict=True)
        ],
    }


def likeliest_classes(traces: Sequence[AttackTrace], count: int = 5) -> list[int]:
    """Return the `count` classes likeliest for any model, clean or at the end of its attack.

    Sorted by their number, so that rows keep their places while the attack is played.
    """
    best = np.max([np.maximum(trace.clean, trace.adversarial) for trace in traces], axis=0)
    return sorted(int(k) for k in np.argsort(-best, kind="stable")[:count])


def rival(trace: AttackTrace) -> int:
    """Return the class whose rise is worth watching: the target, or the strongest wrong one."""
    if trace.target is not None:
        return trace.target
    wrong = trace.adversarial.copy()
    wrong[trace.label] = -1.0
    return int(wrong.argmax())


def perturbation_picture(delta: Tensor, gain: float) -> Tensor:
    """Return 0.5 + gain * delta / 2, clipped to [0, 1]: mid-grey is no change."""
    return (0.5 + gain * delta / 2).clamp(0.0, 1.0)


def _reading(
    probabilities: Array, class_names: tuple[str, ...], classes: Sequence[int]
) -> dict[str, Any]:
    """Return what a model says of a picture: its answer, and the probabilities that are shown."""
    prediction = int(probabilities.argmax())
    return {
        "prediction": class_names[prediction],
        "confidence": float(probabilities[prediction]),
        "shown": [float(probabilities[k]) for k in classes],
    }


def _frame(
    frame: Frame,
    trace: AttackTrace,
    class_names: tuple[str, ...],
    classes: Sequence[int],
    gain: float,
) -> dict[str, Any]:
    return _reading(frame.probabilities, class_names, classes) | {
        "index": frame.index,
        "restart": frame.restart,
        "adversarial": data_url(frame.x_adv),
        "delta": data_url(perturbation_picture(frame.x_adv - trace.x, gain)),
        "p_label": float(frame.probabilities[trace.label]),
        "p_other": float(frame.probabilities[rival(trace)]),
        "loss": _finite(frame.loss),
        "margin": _finite(frame.margin),
        "distance": frame.distance,
        "distance_words": distance_words(trace.attack.norm, frame.distance),
    }


def _identity(traces: Sequence[AttackTrace]) -> str:
    """Return what tells recorded attacks from others, so that new ones start at their end."""
    content = hashlib.sha256()
    for trace in traces:
        content.update(b"".join(trace.pixels))
        content.update(f"{trace.attack!r} {trace.label} {trace.target} {trace.clean}".encode())
    return content.hexdigest()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
