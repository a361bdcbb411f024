"""Checkpoints, networks and images, loaded once and shared by all sessions while they are used.

Model modes, parameter gradients and global random generators are never changed.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st
import torch

from app.ui import gate
from app.ui.first_image import first_image
from app.ui.idle_cache import IdleCache
from robust_core import data as engine_data
from robust_core.checkpoints import catalog
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.pace import Pace, measured_pace
from robust_core.gradients import predict_logits
from robust_core.losses import is_correct
from robust_core.methods.base import TrainingMethod
from robust_core.models.base import Classifier

MEASURED_TOGETHER = 32  # images, at most
MOST_MODELS, MOST_TRAINED, MOST_SETS = 8, 4, 8  # in memory at once
T = TypeVar("T")
SEARCHED = 64  # images searched for a correctly classified example


def checkpoints() -> list[CheckpointInfo]:
    """Return all readable checkpoints, each followed by the other inference modes of its network.

    One look at the folders; headers are read once per version of a file.
    """
    return [one for info in catalog.list_infos() for one in (info, *catalog.other_modes(info))]


def load_model(info: CheckpointInfo) -> Classifier:
    """Return the network of a checkpoint, shared by all sessions: in eval mode and frozen.

    Raises:
        InputError: the file is gone, damaged, or no longer the one that `info` describes.
    """
    key = (info.name, info.digest)
    return _loaded("model", MOST_MODELS).get(key, lambda: _load_model(*key))


@st.cache_resource(show_spinner=False)
def _loaded(what: str, most: int) -> IdleCache[Any]:
    """Return the cache of one kind of thing; its values leave memory when nobody uses them."""
    return IdleCache(most)


def _load_model(name: str, digest: str) -> Classifier:
    with st.spinner("Loading the model …"):
        model = catalog.load_model(name)
    if catalog.checkpoint_info(name).digest != digest:
        raise InputError(f"{name} was replaced while it was being read; try again")
    return model


def base_name(info: CheckpointInfo) -> str:
    """Return the reference of the base network: "digits-atld" for "digits-atld:imt"."""
    return info.name.removesuffix(f":{info.inference}") if info.inference else info.name


def load_trained(info: CheckpointInfo, make: Callable[[Classifier, TrainingMethod | None], T]) -> T:
    """Return `make(base network, training method)` of a checkpoint, cached.

    Args:
        info: any inference mode of the checkpoint.
        make: called once, with both in eval mode and frozen; a function of a module. A model
            that was not trained here has no method.

    Raises:
        InputError: as of `load_model`.
    """
    name = base_name(info)
    key = (name, info.digest, make.__qualname__)
    return _loaded("trained", MOST_TRAINED).get(key, lambda: _load_trained(name, info.digest, make))


def _load_trained(
    name: str, digest: str, make: Callable[[Classifier, TrainingMethod | None], T]
) -> T:
    with st.spinner("Loading the model …"):
        trained = catalog.load_trained(name)
    if catalog.checkpoint_info(name).digest != digest:
        raise InputError(f"{name} was replaced while it was being read; try again")
    return make(*trained)


def _mode_key(info: CheckpointInfo) -> str:
    """Return the cache key of one inference mode of a checkpoint file."""
    return f"{info.digest}:{info.inference}"


def load_images(info: CheckpointInfo, split: str = "test") -> ImageSet:
    """Return a split of the data set a checkpoint was trained on, split as in training.

    Raises:
        InputError: the data set is missing or unusable.
    """
    choice = info.config.data
    seed = choice.seed if split in ("train", "validation") else 0
    key = (choice.name, split, json.dumps(choice.parameters, sort_keys=True), seed)

    def load() -> ImageSet:
        with st.spinner("Loading the images …"):
            return engine_data.load_data(choice.name, split, choice.parameters, seed=seed)

    return _loaded("images", MOST_SETS).get(key, load)


def first_correct(info: CheckpointInfo, split: str = "test") -> int:
    """Return the position of an image that the checkpoint classifies correctly, or 0.

    The default image of the data set if it is classified correctly, else the first such image.
    """
    number = first_image(info.config.data) if split == "test" else None
    return _first_correct(
        _mode_key(info), split, number, load_model(info), load_images(info, split)
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _first_correct(
    mode: str, split: str, number: int | None, _model: Classifier, _images: ImageSet
) -> int:
    wanted = torch.where(_images.index == (-1 if number is None else number))[0]
    if len(wanted) and is_correct(predict_logits(_model, _images.x[wanted]), _images.y[wanted]):
        return int(wanted)
    right = is_correct(predict_logits(_model, _images.x[:SEARCHED]), _images.y[:SEARCHED])
    return int(right.int().argmax())


def seconds_per_pass(info: CheckpointInfo, batch_size: int = 1) -> float:
    """Return the measured time of one forward-backward pass of one image on this machine.

    Args:
        info: the checkpoint.
        batch_size: images per pass; more than 32 are measured as 32.
    """
    return pace(info, min(batch_size, MEASURED_TOGETHER)).seconds_per_pass


def pace(info: CheckpointInfo, num_images: int = MEASURED_TOGETHER) -> Pace:
    """Return how long passes of so many images take on this machine, measured once."""
    return _pace(_mode_key(info), info, (num_images, *info.image_shape))


@st.cache_data(max_entries=64, show_spinner=False)
def _pace(mode: str, _info: CheckpointInfo, shape: tuple[int, int, int, int]) -> Pace:
    model = load_model(_info)  # here: what is known of a model needs no model
    with gate.heavy_work():
        return measured_pace(model, torch.full(shape, 0.5))
