"""A small network with hypersphere embedding, its method and a batch."""

from typing import Any

import torch

from robust_core.methods.base import Batch, TrainingMethod, create_method
from robust_core.models.base import Classifier, create_model
from tests.toys import labels


def network(**parameters: Any) -> Classifier:
    return create_model("small_cnn", (1, 8, 8), 4, {"width": 4, **parameters}).train()


def attached(name: str, **parameters: Any) -> tuple[Classifier, TrainingMethod]:
    model = network(head="cosine", head_bias=False)
    method = create_method(name, {"hypersphere_embedding": True, **parameters})
    method.attach(model)
    return model, method


def batch() -> Batch:
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, labels(6, 4), torch.arange(6))
