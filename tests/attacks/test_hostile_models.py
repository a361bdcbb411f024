"""Attacks on models whose gradients are no numbers, or that have none."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from tests.toys import LinearModel, labels, middle_images

EPSILON = 0.1
SHAPE = (1, 4, 4)


class Rooted(LinearModel):
    """LinearModel of sqrt(x)^2: the same function, whose slope at black pixels is no number."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sqrt().square())


class Detached(LinearModel):
    """LinearModel of the image in 8 grey levels, cut out of the graph."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((7 * x).round().detach() / 7)


def images() -> Tensor:
    """Images with a black pixel each."""
    x = middle_images(12, SHAPE)
    x[:, :, 0, 0] = 0.0
    return x


@pytest.mark.parametrize("name", ["pgd", "mim", "apgd", "fab", "deepfool", "cw", "feature"])
def test_a_pixel_without_a_slope_does_not_stop_an_attack(name):
    """Where the other pixels show the way, the image falls as that of the plain model does."""
    x = images()
    y = LinearModel(SHAPE)(x).argmax(dim=1)
    settings: dict[str, Any] = {"norm": "Linf", "epsilon": 0.5}
    if name == "cw":
        settings = {"epsilon": 5.0, "num_steps": 40, "num_binary_searches": 5}
    attack = create_attack(name, **settings)
    plain = evaluate(LinearModel(SHAPE), x, y, attack)
    found = evaluate(Rooted(SHAPE), x, y, attack)
    assert plain.robust_accuracy < 0.5
    assert abs(found.robust_accuracy - plain.robust_accuracy) <= 2 / len(x)


@pytest.mark.parametrize(
    "name", ["pgd", "mim", "fgsm", "apgd", "fab", "deepfool", "cw", "feature", "worst_case"]
)
def test_a_model_without_a_way_for_the_gradient_is_attacked_all_the_same(name):
    x = images()[:4]
    model = Detached(SHAPE)
    few: dict[str, Any] = {"num_steps": 10} if name in ("cw", "feature") else {}
    x_adv = create_attack(name, **few)(model, x, model(x).argmax(dim=1))
    assert x_adv.isfinite().all()


def test_the_gradient_of_a_cut_graph_breaks_nothing_and_square_does():
    x, model = images(), Detached(SHAPE)
    y = model(x).argmax(dim=1)
    pgd = create_attack("pgd", epsilon=EPSILON, random_start=False)
    assert evaluate(model, x, y, pgd).robust_accuracy == 1.0
    square = create_attack("square", epsilon=0.3, num_queries=200)
    assert evaluate(model, x, y, square).robust_accuracy < 0.5


def test_averaged_passes_are_those_that_are_really_averaged():
    def averaged(name: str, **parameters) -> int:
        return create_attack(name, **parameters).averaged_passes

    assert averaged("pgd", eot_samples=7) == 7
    assert averaged("square") == 1
    assert averaged("autoattack") == 1
    assert averaged("autoattack", version="rand", eot_samples=25) == 25
    members = [{"name": "pgd", "parameters": {"eot_samples": 20}}, {"name": "square"}]
    assert averaged("worst_case", attacks=members) == 20
    assert averaged("worst_case", attacks=[*members, {"name": "fgsm"}]) == 1


def test_the_name_autoattack_is_for_the_complete_ensemble():
    with pytest.raises(InputError, match="eot_samples must be >= 20"):
        create_attack("autoattack", version="rand", eot_samples=1)


def test_members_must_fit_the_ball():
    with pytest.raises(InputError, match=r"attack cw cannot join.*norm"):
        create_attack("worst_case", norm="Linf", attacks=[{"name": "cw"}])


def test_labels_are_checked_where_a_model_does_not_say_how_many_classes_it_has():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    x = middle_images(2, SHAPE)
    with pytest.raises(InputError, match=r"labels must be in \[0, 2\], got 0 to 3"):
        create_attack("spsa")(model, x, torch.tensor([0, 3]))
    with pytest.raises(InputError, match=r"targets must be in \[0, 2\]"):
        create_attack("pgd")(model, x, labels(2), target=torch.tensor([0, 7]))


@pytest.mark.parametrize("name", ATTACKS.names())
def test_no_images_are_no_work(name):
    x = torch.zeros(0, *SHAPE)
    x_adv = create_attack(name)(LinearModel(SHAPE), x, torch.zeros(0, dtype=torch.int64))
    assert x_adv.shape == x.shape


def test_half_and_double_precision_are_refused():
    for dtype in (torch.float16, torch.float64):
        with pytest.raises(InputError, match=r"images must be float32 \[N,C,H,W\], got torch.fl"):
            create_attack("pgd")(LinearModel(SHAPE), images().to(dtype), labels(12))
