from pathlib import Path
from typing import Any

import torch

from robust_core.checkpoints.card import Card
from robust_core.checkpoints.catalog import save_checkpoint
from robust_core.data import load_data
from robust_core.models.base import create_model
from tests.training.conftest import tiny_config


def write_checkpoint(path: Path, seed: int, **changes: Any) -> None:
    """Write random features under a head fitted by least squares: right for most digits."""
    config = tiny_config(model={"name": "small_cnn", "parameters": {"width": 16}}, **changes)
    images = load_data("digits", "train")
    model = create_model("small_cnn", images.image_shape, 10, {"width": 16}, seed=seed)
    with torch.no_grad():
        z = torch.cat([model.features(images.x), torch.ones(len(images), 1)], dim=1)
        wanted = torch.nn.functional.one_hot(images.y).float()
        solution = torch.linalg.lstsq(z, wanted).solution
        model.get_parameter("classifier.weight").copy_(10 * solution[:-1].T)
        model.get_parameter("classifier.bias").copy_(10 * solution[-1])
    card = {
        "split": "test",
        "num_images": 1,
        "clean_accuracy": 0.0,
        "clean_interval": [0.0, 1.0],
        "robust": [
            {
                "attack": {"name": "fgsm", "parameters": {}},
                "accuracy": 0.0,
                "interval": [0.0, 1.0],
                "num_images": 1,
            }
        ],
        "epoch": 1,
        "seed": 0,
        "versions": {},
    }
    names = images.class_names
    save_checkpoint(path, model, config=config, class_names=names, epoch=1, card=Card.create(card))
