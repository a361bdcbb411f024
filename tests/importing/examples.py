"""A small network that classifies the embedded digits, in files as other people write them."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robust_core.data import load_data
from robust_core.models.base import Classifier, create_model

SCALE: dict[str, Any] = {"mean": (0.31,), "std": (0.36,)}  # of the digits
SIZE = {"depth": 10, "widen_factor": 1}


@cache
def digits_network() -> Classifier:
    """A WRN-10-1 for digits: random features, statistics of the data, a head by least squares."""
    images = load_data("digits", "train")
    model = create_model("wide_resnet", images.image_shape, 10, {**SIZE, **SCALE}, seed=3)
    with torch.no_grad():
        model.train()
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = None  # the average over all batches
        for start in range(0, len(images), 200):
            model.features(images.x[start : start + 200])
        model.eval()
        z = torch.cat([model.features(images.x), torch.ones(len(images), 1)], dim=1)
        wanted = torch.nn.functional.one_hot(images.y).float()
        solution = torch.linalg.lstsq(z, wanted).solution
        model.get_parameter("classifier.weight").copy_(10 * solution[:-1].T)
        model.get_parameter("classifier.bias").copy_(10 * solution[-1])
    return model.requires_grad_(False)


def published_names() -> dict[str, Tensor]:
    """Its state dict as the TRADES code names a wide residual network."""
    return published_names_of(digits_network())


def published_names_of(model: Classifier) -> dict[str, Tensor]:
    """The state dict of a wide residual network as the TRADES code names it."""
    state = model.state_dict()
    blocks = {key.split(".")[2] for key in state if key.startswith("trunk.blocks.")}
    return {_their_key(key, len(blocks) // 3): value for key, value in state.items()}


def _their_key(key: str, per_group: int) -> str:
    parts = key.removeprefix("trunk.").split(".")
    if parts[0] == "stem":
        return f"conv1.{parts[1]}"
    if parts[0] == "classifier":
        return f"fc.{parts[1]}"
    if parts[0] == "blocks":
        group, place = divmod(int(parts[1]), per_group)
        new = parts[2].replace("norm", "bn").replace("shortcut", "convShortcut")
        return f"block{group + 1}.layer.{place}.{new}.{parts[3]}"
    return f"bn1.{parts[1]}"


def their_file(folder: Path, **changes: Any) -> Path:
    """Write it as a training script of theirs does, with some tensors changed, and return where."""
    state = {f"module.{key}": value for key, value in {**published_names(), **changes}.items()}
    path = folder / "model.pth.tar"
    torch.save({"epoch": 7, "state_dict": state, "optimizer": {"state": {}}}, path)
    return path
