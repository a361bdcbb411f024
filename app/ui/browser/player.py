"""The player: clean, perturbation and adversarial picture at every step of a recorded attack."""

import base64
import hashlib
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.ui.browser.assets import register
from app.ui.words import distance_words
from robust_core.data.images import encode_png
from robust_core.evaluation.trace import AttackTrace, Frame

_render = register("player")


def player(trace: AttackTrace, class_names: tuple[str, ...], *, gain: float, key: str) -> None:
    """Show the recorded attack, at its end at first.

    The frames travel to the browser once, so playing and scrubbing need no computation.

    Args:
        trace: the recorded attack.
        class_names: K names.
        gain: factor on the perturbation in its picture, 0.5 + gain * delta / 2.
        key: of the component.
    """
    _render(key=key, data=player_data(trace, class_names, gain))


def player_data(trace: AttackTrace, class_names: tuple[str, ...], gain: float) -> dict[str, Any]:
    """Return what the player in the browser needs, as plain JSON values."""
    attack = trace.attack
    other = rival(trace)
    label = class_names[trace.label]
    seen, confidence = class_names[trace.clean_prediction], float(trace.clean.max())
    return {
        "id": _identity(trace),
        "width": trace.x.shape[2],
        "height": trace.x.shape[1],
        "gain": f"{gain:g}",
        "label": label,
        "other": class_names[other],
        "epsilon": attack.epsilon,
        "epsilon_words": distance_words(attack.norm, attack.epsilon),
        "num_steps": max(frame.index for frame in trace.frames),
        "num_restarts": max(frame.restart for frame in trace.frames) + 1,
        "clean": {
            "src": data_url(trace.x),
            "alt": f"clean image: {label} predicted as {seen}, {confidence:.0%}",
            "prediction": seen,
            "confidence": confidence,
        },
        "frames": [_frame(frame, trace, class_names, other, gain) for frame in trace.frames],
    }


def rival(trace: AttackTrace) -> int:
    """Return the class whose rise is worth watching: the target, or the strongest wrong one."""
    if trace.target is not None:
        return trace.target
    wrong = trace.adversarial.copy()
    wrong[trace.label] = -1.0
    return int(wrong.argmax())


def perturbation_picture(delta: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """Return 0.5 + gain * delta / 2, clipped to [0, 1]: mid-grey is no change."""
    return np.clip(0.5 + gain * delta / 2, 0.0, 1.0).astype(np.float32)


def data_url(x: NDArray[np.float32]) -> str:
    """Return an image [C,H,W] in [0, 1] as a PNG that an `img` element can show."""
    return "data:image/png;base64," + base64.b64encode(encode_png(torch.from_numpy(x))).decode()


def _frame(
    frame: Frame, trace: AttackTrace, class_names: tuple[str, ...], other: int, gain: float
) -> dict[str, Any]:
    prediction = int(frame.probabilities.argmax())
    return {
        "index": frame.index,
        "restart": frame.restart,
        "adversarial": data_url(frame.x_adv),
        "delta": data_url(perturbation_picture(frame.x_adv - trace.x, gain)),
        "prediction": class_names[prediction],
        "confidence": float(frame.probabilities[prediction]),
        "p_label": float(frame.probabilities[trace.label]),
        "p_other": float(frame.probabilities[other]),
        "loss": _finite(frame.loss),
        "margin": _finite(frame.margin),
        "distance": frame.distance,
        "distance_words": distance_words(trace.attack.norm, frame.distance),
    }


def _identity(trace: AttackTrace) -> str:
    """Return what tells one recorded attack from another, so that a new one starts at its end."""
    content = hashlib.sha256(trace.x.tobytes() + trace.x_adv.tobytes())
    content.update(f"{trace.attack!r} {trace.label} {trace.target} {trace.clean}".encode())
    return content.hexdigest()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
