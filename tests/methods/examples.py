"""A small network, a small batch and a ready method for the contract tests of every method."""

from typing import Any

import torch
from torch import Tensor

from robust_core.methods.base import Batch, TrainingMethod, create_method
from robust_core.models.base import Classifier, create_model
from tests.toys import labels

NETWORK = ("preact_resnet18", {"width": 4})
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {  # method -> network, where it needs another
    "ciiv": (
        "retinotopic",
        {"backbone": "preact_resnet18", "backbone_width": 4, "num_views": 3},
    ),
    "denoising": ("denoiser", {"width": 8}),
    "spat": ("preact_resnet18", {"width": 4, "head": "cosine"}),
}
# method -> parameters, where the defaults are too slow
PARAMETERS: dict[str, dict[str, Any]] = {
    # less smoothing than the default: its floor leaves little to learn with four classes
    "atld": {"discriminator_blocks": 1, "discriminator_width": 1, "label_smoothing": 0.1},
    "feature_scattering": {"label_smoothing": 0.1},
}
NUM_CLASSES = 4


def example_batch() -> Batch:
    """Eight noisy images [8,1,8,8] of four classes."""
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, labels(8, NUM_CLASSES), torch.arange(8))


def example_model(name: str) -> Classifier:
    """A network in train mode that the method can train."""
    architecture, parameters = NETWORKS.get(name, NETWORK)
    return create_model(architecture, (1, 8, 8), NUM_CLASSES, parameters).train()


def smallest_network(name: str) -> tuple[str, dict[str, Any]]:
    """The quickest network that the method can train; without batch norm in most cases."""
    architecture, parameters = NETWORKS.get(name, NETWORK)
    return ("small_cnn" if architecture == NETWORK[0] else architecture), parameters


def example(
    name: str, parameters: dict[str, Any] | None = None, model: Classifier | None = None
) -> tuple[Classifier, TrainingMethod]:
    """A network and the method, which knows the network and the images of `example_batch`."""
    model = model or example_model(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = create_method(name, PARAMETERS.get(name, {}) | (parameters or {}))
        method.attach(model)
    batch = example_batch()
    method.prepare(batch.x, batch.y)
    return model, method


def assert_same(one: object, other: object) -> None:
    """Compare nested state bit for bit, the order of its keys included."""
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert torch.equal(one, other)  # pyright: ignore[reportArgumentType]
    elif isinstance(one, dict):
        assert isinstance(other, dict) and list(one) == list(other)
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple) and len(one) == len(other)
        for value, twin in zip(one, other, strict=True):
            assert_same(value, twin)
    else:
        assert one == other
