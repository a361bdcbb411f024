"""What an attack says of models, images and labels that it cannot work with."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.models.base import create_model
from tests.toys import LinearModel, middle_images

SHAPE = (1, 4, 4)
ATTACK = create_attack("pgd", epsilon=0.1, num_steps=2)
LABELS = torch.zeros(3, dtype=torch.int64)


class Returns(nn.Module):
    """A model of unknown kind that returns what it was given, for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1) + 0 * x.flatten(1).sum(dim=1, keepdim=True)


class Overflows(LinearModel):
    """A linear model whose last output is infinite wherever it is not sure of a class."""

    def forward(self, x: Tensor) -> Tensor:
        z = super().forward(x)
        unsure = z.softmax(dim=1).amax(dim=1, keepdim=True) < 0.7
        return torch.cat([z[:, :-1], z[:, -1:].masked_fill(unsure, float("inf"))], dim=1)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (Returns(0.0, float("nan")), "finite logits, got NaN or infinity"),
        (Returns(1.0), "two classes at least, got 1 logits"),
        (
            nn.Conv2d(3, 2, 1),
            r"cannot take float32 images \[1, 4, 4\] in \[0, 1\]: it raised RuntimeError: Given",
        ),
        (LinearModel(SHAPE).forward, "must be a torch.nn.Module, got a method"),
    ],
)
def test_models_of_unknown_kind_are_looked_at_first(model, sentence) -> None:
    x = middle_images(3, SHAPE)
    with pytest.raises(InputError, match=sentence):
        ATTACK(model, x, LABELS)
    with pytest.raises(InputError, match=sentence):
        evaluate(model, x, LABELS, ATTACK)


def test_a_network_says_that_it_cannot_take_such_images() -> None:
    network = create_model("small_cnn", (3, 16, 16), 4).eval()
    with pytest.raises(InputError, match=r"cannot take float32 images \[1, 16, 16\]"):
        ATTACK(network, middle_images(3, (1, 16, 16)), LABELS)


def test_what_is_no_tensor_and_no_attack_is_named() -> None:
    model: Any = LinearModel(SHAPE)
    x: Any = middle_images(3, SHAPE)
    cases: list[tuple[tuple[Any, Any], str]] = [
        ((x.numpy(), LABELS), "images must be a torch.Tensor, got a ndarray"),
        ((x, LABELS.tolist()), "labels must be a torch.Tensor, got a list"),
    ]
    for wrong, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            ATTACK(model, *wrong)
    with pytest.raises(InputError, match="made by create_attack or attack_from, got a str"):
        evaluate(model, x, LABELS, "pgd")  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spsa", "deepfool", "pgd", "fab", "square", "cw"])
@pytest.mark.filterwarnings("ignore:the model's outputs for")
def test_pixels_stay_numbers_where_outputs_do_not(name) -> None:
    model, x = Overflows(SHAPE), middle_images(40, SHAPE)
    y = model(x).argmax(dim=1)
    kept = torch.isfinite(model(x)).all(dim=1)
    assert int(kept.sum()) > 0
    values = {"num_steps": 100} if name == "cw" else {"epsilon": 0.3}
    report = evaluate(model, x[kept], y[kept], create_attack(name, **values))
    assert report.robust_accuracy < 1.0


def test_a_surrogate_in_train_mode_is_told() -> None:
    model, x = LinearModel(SHAPE), middle_images(3, SHAPE)
    y = model(x).argmax(dim=1)
    with pytest.warns(UserWarning, match="the surrogate: the model, or a layer of it, is in train"):
        evaluate(model.eval(), x, y, ATTACK, surrogate=LinearModel(SHAPE, seed=3).train())
