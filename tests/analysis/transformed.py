"""A small network with an untrained discriminator, as ATLD would leave it."""

import torch

from robust_core.analysis.latent_sample import BaseNetwork
from robust_core.data import ImageSet
from robust_core.methods.base import TrainingMethod, create_method
from robust_core.models.base import Classifier, create_model
from tests.toys import middle_images

SHAPE = (1, 8, 8)
SETTINGS = {"discriminator_blocks": 1, "discriminator_width": 1, "epsilon": 0.1}


def trained_pair() -> tuple[Classifier, TrainingMethod]:
    """A network in eval mode, and the method with its discriminator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create_model("small_cnn", SHAPE, 3, {"width": 4}).eval().requires_grad_(False)
        method = create_method("atld", SETTINGS)
        method.attach(network)
    return network, method.eval().requires_grad_(False)


def base_network() -> BaseNetwork:
    return BaseNetwork.of(*trained_pair())


def images(n: int = 20) -> ImageSet:
    """Images that the network predicts as labelled, but for the first two."""
    x = middle_images(n, SHAPE)
    y = trained_pair()[0](x).argmax(dim=1)
    y[:2] = (y[:2] + 1) % 3
    return ImageSet("toy", "test", x, y, ("a", "b", "c"), torch.arange(n))
