"""Small networks and random images for them."""

import torch
from torch import Tensor, nn

from robust_core.models.base import Classifier, create_model
from robust_core.models.retina.classifier import RetinotopicClassifier

SMALL = {
    "small_cnn": {"width": 4},
    "preact_resnet18": {"width": 4},
    "resnet18": {"width": 4},
    "resnet34": {"width": 4},
    "resnet50": {"width": 4},
    "trades_cnn": {"width": 4, "hidden": 16},
    "fast_at_cnn": {"width": 4, "hidden": 16},
    "wide_resnet": {"depth": 10, "widen_factor": 1},
    "vit": {"depth": 2, "hidden": 16, "heads": 4},
    "denoiser": {"width": 4},
    "timm": {"architecture": "test_byobnet"},
    "retinotopic": {"backbone": "small_cnn", "backbone_width": 4, "num_views": 2},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 4, shape=(3, 16, 16), seed: int = 1) -> Tensor:
    return torch.rand((n, *shape), generator=generator(seed))


def small_model(name: str, shape=(3, 16, 16), num_classes=5, seed=0) -> Classifier:
    """The architecture with few weights, in eval mode."""
    return create_model(name, shape, num_classes, SMALL.get(name), seed=seed).eval()


def settled_model(name: str) -> Classifier:
    """A float64 model whose batch norms hold other statistics and scales than at the start."""
    model = small_model(name).double()
    draws = generator(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=draws))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=draws))
            module.weight.data.copy_(0.5 + torch.rand(module.num_features, generator=draws))
    return model


def retinotopic(shape=(3, 16, 16), num_classes=5, **parameters) -> RetinotopicClassifier:
    values = {"backbone": "small_cnn", "backbone_width": 4, **parameters}
    model = create_model("retinotopic", shape, num_classes, values).eval()
    assert isinstance(model, RetinotopicClassifier)
    return model
