"""A data set of a person's own with very few test images, and a network for it."""

from pathlib import Path

import numpy as np
import torch

from robust_core.checkpoints.card import Card
from robust_core.checkpoints.catalog import save_checkpoint
from robust_core.data import load_data
from robust_core.models.base import create_model
from tests.training.conftest import tiny_config


def make_few(root: Path, num_classes: int, *, constant: bool = False) -> str:
    """Write one test image a class and an untrained network; return the name of both.

    With `constant` the network has the same features for every image, and predicts one class.
    The folder becomes the home of data sets and checkpoints through `ROBUST_DATA` and
    `ROBUST_CHECKPOINTS`, which the test sets.
    """
    name = f"few_{num_classes}"  # pages keep what they have read under a name
    pixels = np.random.default_rng(0)
    y = np.arange(num_classes)
    arrays = {"x_test": pixels.integers(0, 256, (num_classes, 8, 8), dtype=np.uint8), "y_test": y}
    arrays["x_train"] = pixels.integers(0, 256, (20 * num_classes, 8, 8), dtype=np.uint8)
    arrays["y_train"] = np.tile(y, 20)
    np.savez(root / f"{name}.npz", allow_pickle=False, **arrays)
    images = load_data(name, "test", root=root)
    model = create_model("small_cnn", images.image_shape, num_classes, {"width": 4})
    if constant:
        with torch.no_grad():
            for value in model.parameters():
                value.zero_()
            model.get_parameter("classifier.bias")[0] = 1.0
    result = {"attack": {"name": "fgsm", "parameters": {}}, "accuracy": 1 / num_classes}
    card = {
        "split": "test",
        "clean_accuracy": 1 / num_classes,
        "clean_interval": [0.0, 1.0],
        "num_images": num_classes,
        "robust": [result | {"interval": [0.0, 1.0], "num_images": num_classes}],
        "epoch": 1,
        "seed": 0,
        "versions": {},
    }
    path = root / "pretrained" / f"{name}.safetensors"
    path.parent.mkdir()
    save_checkpoint(
        path,
        model,
        config=tiny_config(data={"name": name}),
        class_names=images.class_names,
        epoch=1,
        card=Card.create(card),
    )
    return name
