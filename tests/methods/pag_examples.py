"""Eight images of four classes, a network and PAG attached to it."""

from typing import cast

import torch
from torch import Tensor, nn

from robust_core.methods.base import Batch, create_method
from robust_core.methods.pag import PAG
from robust_core.models.base import Classifier, create_model
from tests.toys import LinearModel

SHAPE, NUM_CLASSES = (1, 8, 8), 4
Y = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])


def batch_of(x: Tensor, y: Tensor = Y) -> Batch:
    return Batch(x, y, torch.arange(len(x)))


def network(name: str = "small_cnn") -> Classifier:
    return create_model(name, SHAPE, NUM_CLASSES, {"width": 4}).train()


def pag(model: nn.Module, x: Tensor, **parameters) -> PAG:
    method = create_method("pag", parameters)
    assert isinstance(method, PAG)
    method.attach(cast(Classifier, model))
    method.prepare(x, Y)
    method.on_epoch_start(0, 100)
    return method


class AsClassifier(LinearModel):
    """A linear model that a method can attach to."""

    image_shape = SHAPE

    def __init__(self, num_classes: int = NUM_CLASSES, scale: float = 1.0) -> None:
        super().__init__(SHAPE, num_classes, scale=scale)
