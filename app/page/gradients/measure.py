"""Cached engine calls of the gradients page: plain keys in, arrays out."""

import hashlib
import io
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ui import cached
from robust_core.analysis.alignment import Alignment, ScoreName, alignment, gradients_of_classes
from robust_core.analysis.attribution import (
    AttributionName,
    Trust,
    attribute,
    not_applicable,
    trust,
)
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import ImageSet
from robust_core.gradients import predict_logits
from robust_core.methods.parts.gradient_targets import (
    class_means,
    nearest_of_each_class,
    one_image_of_each_class,
    score_differences,
    towards,
)
from robust_core.models.base import Classifier
from robust_core.models.denoiser import Denoiser
from robust_core.threat_model import Norm

Array = NDArray[np.float32]
Check = Callable[[], None]
METHODS = get_args(AttributionName)
SEED = 0
MORPH_STEPS = 40
NUM_DRAWS = 4  # of score-based targets


def gradients(info: CheckpointInfo, x: Tensor, score: ScoreName) -> Array:
    """Return the input gradient of each class's score at an image [C,H,W]: [K,C,H,W]."""
    return _gradients(info.digest, info.name, _pixels(x), score, cached.load_model(info), x)


@st.cache_data(max_entries=128, show_spinner=False)
def _gradients(
    digest: str, name: str, pixels: str, score: ScoreName, _model: Classifier, _x: Tensor
) -> Array:
    with cached.heavy_work(_check()):
        return gradients_of_classes(_model, _x[None], score)[0].numpy()


def targets(info: CheckpointInfo, x: Tensor, kind: str, denoiser: CheckpointInfo | None) -> Array:
    """Return where the gradients of an image [C,H,W] should point: [K,C,H,W]."""
    digest = "" if denoiser is None else denoiser.digest
    find = _finder(info, kind, denoiser)
    return _targets(_data_key(info), _pixels(x), kind, digest, find, x)


@st.cache_data(max_entries=128, show_spinner=False)
def _targets(
    data: str,
    pixels: str,
    kind: str,
    denoiser: str,
    _find: Callable[[Tensor], Tensor],
    _x: Tensor,
) -> Array:
    with cached.heavy_work(_check()):
        return _find(_x[None])[0].numpy()


def sample_alignment(
    info: CheckpointInfo, kind: str, denoiser: CheckpointInfo | None, number: int
) -> Alignment:
    """Return the alignment of a model over `number` random test images, the same for all models."""
    digest = "" if denoiser is None else denoiser.digest
    images = cached.load_images(info)
    find = _finder(info, kind, denoiser)
    model = cached.load_model(info)
    return _alignment(
        info.digest, info.name, _data_key(info), kind, digest, number, model, images, find
    )


@st.cache_data(max_entries=128, show_spinner=False)
def _alignment(
    digest: str,
    name: str,
    data: str,
    kind: str,
    denoiser: str,
    number: int,
    _model: Classifier,
    _images: ImageSet,
    _find: Callable[[Tensor], Tensor],
) -> Alignment:
    order = torch.randperm(len(_images), generator=torch.Generator().manual_seed(SEED))
    x = _images.x[order[:number]]
    with cached.heavy_work(_check()):
        return alignment(_model, x, lambda part, _: _find(part))


def morph(info: CheckpointInfo, x: Tensor, label: int, epsilon: float) -> tuple[Array, Array]:
    """Return an image [C,H,W] led towards each class, [K,C,H,W], and probabilities [K,K].

    Targeted L2 PGD without random start, 40 steps of 2.5 epsilon / 40.
    """
    model = cached.load_model(info)
    return _morph(info.digest, info.name, _pixels(x), label, epsilon, model, x)


@st.cache_data(max_entries=128, show_spinner=False)
def _morph(
    digest: str,
    name: str,
    pixels: str,
    label: int,
    epsilon: float,
    _model: Classifier,
    _x: Tensor,
) -> tuple[Array, Array]:
    attack = create_attack(
        "pgd", norm=Norm.L2, epsilon=epsilon, num_steps=MORPH_STEPS, random_start=False, seed=SEED
    )
    many = _x.expand(_model.num_classes, *_x.shape).contiguous()
    check = _check()
    with cached.heavy_work(check):
        x_adv = attack(
            _model,
            many,
            torch.full((len(many),), label),
            target=torch.arange(len(many)),
            on_step=lambda step: check(),
        )
        return x_adv.numpy(), predict_logits(_model, x_adv).softmax(dim=1).numpy()


def attributions(info: CheckpointInfo, x: Tensor, label: int) -> tuple[Array, dict[str, str]]:
    """Return the map of each method for a class, [M,C,H,W] (NaN: none), and why some have none."""
    return _attributions(info.digest, info.name, _pixels(x), label, cached.load_model(info), x)


@st.cache_data(max_entries=64, show_spinner=False)
def _attributions(
    digest: str, name: str, pixels: str, label: int, _model: Classifier, _x: Tensor
) -> tuple[Array, dict[str, str]]:
    maps, reasons, check = [], {}, _check()
    with cached.heavy_work(check):
        for method in METHODS:
            check()
            reason = not_applicable(_model, method)
            if reason is None:
                found = attribute(_model, _x[None], torch.tensor([label]), method, seed=SEED)
                maps.append(found[0].numpy())
            else:
                reasons[method] = reason
                maps.append(np.full(_x.shape, np.nan, dtype=np.float32))
    return np.stack(maps), reasons


def trusts(info: CheckpointInfo, x: Tensor, label: int) -> dict[str, Trust]:
    """Return infidelity and sensitivity of every method that applies; none of a stochastic model's.

    For one image [C,H,W] and class.
    """
    return _trusts(info.digest, info.name, _pixels(x), label, cached.load_model(info), x)


@st.cache_data(max_entries=64, show_spinner=False)
def _trusts(
    digest: str, name: str, pixels: str, label: int, _model: Classifier, _x: Tensor
) -> dict[str, Trust]:
    if _model.stochastic:
        return {}
    found, check = {}, _check()
    with cached.heavy_work(check):
        for method in METHODS:
            check()
            if not_applicable(_model, method) is None:
                found[method] = trust(_model, _x[None], torch.tensor([label]), method, seed=SEED)
    return found


def npz(**arrays: Any) -> bytes:
    """Return arrays as the content of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _finder(
    info: CheckpointInfo, kind: str, denoiser: CheckpointInfo | None
) -> Callable[[Tensor], Tensor]:
    """Return what finds targets of one kind: images [B,C,H,W] -> [B,K,C,H,W]."""
    train = cached.load_images(info, "train")
    num_classes = train.num_classes
    if kind == "SBG":
        assert denoiser is not None
        model = cached.load_model(denoiser)
        assert isinstance(model, Denoiser)
        generator = torch.Generator().manual_seed(SEED)
        draws = torch.randn((NUM_DRAWS, *train.image_shape), generator=generator)
        noise = float(denoiser.config.model.parameters["noise"])
        return lambda x: score_differences(model, x, noise, draws)
    if kind == "NN":
        nowhere = torch.full_like(train.y, -1)

        def nearest(x: Tensor) -> Tensor:
            own = torch.full((len(x),), -2)  # not of the training set, so every entry may be taken
            return towards(
                x, train.x[nearest_of_each_class(x, own, train.x, nowhere, train.y, num_classes)]
            )

        return nearest
    if kind == "CM":
        representatives = class_means(train.x, train.y, num_classes)
    else:
        generator = torch.Generator().manual_seed(SEED)
        representatives = train.x[one_image_of_each_class(train.y, num_classes, generator)]
    return lambda x: towards(x, representatives)


def _data_key(info: CheckpointInfo) -> str:
    return info.config.data.model_dump_json()


def _pixels(x: Tensor) -> str:
    return hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()


def _check() -> Check:
    return cached.latest_only("gradients").begin()
