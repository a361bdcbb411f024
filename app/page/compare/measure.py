"""What the page Compare measures: images crafted on one model and tested on another."""

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ui import cached
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.curves import Curve, accuracy_curve
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.trace import STOCHASTIC_SAMPLES, AttackTrace
from robust_core.gradients import predict_logits
from robust_core.models.base import Classifier
from robust_core.threat_model import Norm

BATCH = 32  # images that are attacked together; between batches a newer request takes over
MOST_RESULTS = 16
RADII = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # times the radius of the attack
LARGEST_L2 = 100.0  # of a radius, as the parameters of an attack allow
BISECTIONS = 3  # attacks an image needs to find the one of seven radii at which it falls

Array = NDArray[np.float32]
Matrix = list[list[RobustnessReport]]  # row: the model attacked, column: the model that judges


def image_transfer(
    infos: Sequence[CheckpointInfo],
    traces: Sequence[AttackTrace],
    *,
    check: Callable[[], None],
) -> Array:
    """Return what each model makes of each model's adversarial image.

    Args:
        infos: M models.
        traces: the attack on one image, on each of them.
        check: called while waiting for other work; an exception it raises ends the wait.

    Returns:
        Probabilities [M,M,K]: crafted on row, tested on column, class. The diagonal is the trace's.
    """
    key = ("image", *(_attacked_key(*pair) for pair in zip(infos, traces, strict=True)))
    found = _results().get(key)
    if found is not None:
        return found
    x_adv = torch.stack([torch.from_numpy(trace.x_adv) for trace in traces])
    with cached.heavy_work(check):
        columns = []
        for info in infos:
            model = cached.load_model(info)
            logits = predict_logits(model, x_adv, eot_samples=_samples(model))
            columns.append(logits.softmax(dim=1).numpy())
    found = np.stack(columns, axis=1)  # [M, M, K]
    for i, trace in enumerate(traces):
        found[i, i] = trace.adversarial
    _results().put(key, found)
    return found


def known_transfer(
    infos: Sequence[CheckpointInfo], attack: Attack, num_images: int
) -> Matrix | None:
    """Return the matrix of exactly this measurement if it was made lately."""
    return _results().get(_sample_key(infos, attack, num_images))


def measure_transfer(
    infos: Sequence[CheckpointInfo],
    attack: Attack,
    num_images: int,
    *,
    check: Callable[[], None],
    on_share: Callable[[float], None],
) -> Matrix:
    """Attack test images on every model and let every model judge them.

    Args:
        infos: M models of one data set.
        attack: the attack, untargeted.
        num_images: of a stratified sample of the test split.
        check: ends the work by raising `cached.Superseded`.
        on_share: called with the share of the work done, in [0, 1].

    Returns:
        M times M reports. An image that the judge gets wrong without an attack is not attacked and
        counts as not robust, as in `evaluate`.
    """
    images = cached.load_images(infos[0]).sample(num_images)
    num_pairs = len(infos) ** 2
    matrix: Matrix = []
    for row, crafted_on in enumerate(infos):
        surrogate = cached.load_model(crafted_on)
        matrix.append([])
        for column, judge in enumerate(infos):
            model, pair = cached.load_model(judge), row * len(infos) + column

            def report(done: int, total: int, pair: int = pair) -> None:
                check()
                on_share((pair + done / total) / num_pairs)

            with cached.heavy_work(check):
                found = evaluate(
                    model,
                    images.x,
                    images.y,
                    attack,
                    batch_size=BATCH,
                    eot_samples=_samples(model),
                    surrogate=None if row == column else surrogate,
                    on_progress=report,
                )
            matrix[-1].append(found)
    _results().put(_sample_key(infos, attack, num_images), matrix)
    return matrix


def known_curves(
    infos: Sequence[CheckpointInfo], attack: Attack, num_images: int
) -> list[Curve] | None:
    """Return the curves of exactly this measurement if it was made lately."""
    return _results().get(("curves", *_sample_key(infos, attack, num_images)))


def measure_curves(
    infos: Sequence[CheckpointInfo],
    attack: Attack,
    num_images: int,
    *,
    check: Callable[[], None],
    on_share: Callable[[float], None],
) -> list[Curve]:
    """Return accuracy against the radius for each model; arguments as of `measure_transfer`."""
    images = cached.load_images(infos[0]).sample(num_images)
    largest = 1.0 if attack.norm is Norm.LINF else LARGEST_L2
    values = [0.0, *(min(radius * attack.epsilon, largest) for radius in RADII)]
    curves = []
    for number, info in enumerate(infos):
        model = cached.load_model(info)

        def report(done: int, total: int, number: int = number) -> None:
            check()
            on_share((number + done / max(total, 1)) / len(infos))

        with cached.heavy_work(check):
            curves.append(
                accuracy_curve(
                    model,
                    images.x,
                    images.y,
                    attack,
                    "epsilon",
                    values,
                    batch_size=BATCH,
                    eot_samples=_samples(model),
                    on_progress=report,
                )
            )
    _results().put(("curves", *_sample_key(infos, attack, num_images)), curves)
    return curves


def _samples(model: Classifier) -> int:
    return STOCHASTIC_SAMPLES if model.stochastic else 1


def _attacked_key(info: CheckpointInfo, trace: AttackTrace) -> tuple:
    x: Tensor = torch.from_numpy(trace.x)
    return (*cached.attack_key(info, x, trace.label, trace.attack), trace.target)


def _sample_key(infos: Sequence[CheckpointInfo], attack: Attack, num_images: int) -> tuple:
    uses = tuple((info.digest, info.inference) for info in infos)
    return "sample", uses, attack.name, attack, num_images


@st.cache_resource
def _results() -> cached.Recent:
    return cached.Recent(MOST_RESULTS)
