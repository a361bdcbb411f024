"""Pictures from a classifier: seeds, generation, inpainting."""

import pytest
import torch

from robust_core.analysis.synthesis import RIDGE, class_seeds, generate, inpaint, with_hole
from robust_core.errors import InputError
from tests.toys import LinearModel, SmallNet, middle_images

STEPS = {"epsilon": 1.0, "step_size": 0.02, "num_steps": 5}


def hole(size: int = 4) -> torch.Tensor:
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[1:3, 1:3] = True
    return mask


def direction(model: LinearModel, label: int) -> torch.Tensor:
    """Where the gradient of log p(label) points for two classes, whatever the image."""
    w = model.weight.detach()
    return (w[label] - w[1 - label]).view(1, 4, 4)


def test_generation_follows_the_weights_of_a_linear_model():
    model, x = LinearModel(num_classes=2), middle_images(3)
    classes = torch.tensor([0, 1, 1])
    found = generate(model, x, classes, **STEPS)
    for image, seed, label in zip(found, x, classes.tolist(), strict=True):
        w = direction(model, label)
        torch.testing.assert_close(image, seed + 5 * 0.02 * w / w.norm())


def test_generation_stays_in_ball_and_box():
    model, x = LinearModel(num_classes=2), middle_images(3)
    found = generate(model, x, torch.tensor([0, 1, 0]), epsilon=0.3, step_size=0.2, num_steps=20)
    assert ((found - x).flatten(1).norm(dim=1) <= 0.3 + 1e-5).all()
    assert found.min() >= 0 and found.max() <= 1


def test_inpainting_moves_the_hole_alone_and_by_the_weights_there():
    model, x = LinearModel(num_classes=2), middle_images(2)
    found = inpaint(model, x, hole(), torch.tensor([1, 1]), **STEPS)
    assert torch.equal(found[..., ~hole()], x[..., ~hole()])
    w = direction(model, 1) * hole()
    torch.testing.assert_close(found, with_hole(x, hole()) + 5 * 0.02 * w / w.norm())


def test_what_was_in_the_hole_is_of_no_account():
    model, x = LinearModel(num_classes=2), middle_images(1)
    other = torch.where(hole(), 1.0, x)
    label = torch.tensor([0])
    one, two = (inpaint(model, each, hole(), label, **STEPS) for each in (x, other))
    assert torch.equal(one, two)


def test_a_model_is_used_in_eval_mode_and_left_as_it_was():
    model, x = SmallNet().train(), middle_images(2, (1, 8, 8))
    first = generate(model, x, torch.tensor([0, 1]), **STEPS)
    assert torch.equal(generate(model, x, torch.tensor([0, 1]), **STEPS), first)
    assert model.training and all(each.grad is None for each in model.parameters())


def test_seeds_have_mean_and_covariance_of_their_class():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[0.05, 0.03], [0.0, 0.04]])
    x = 0.5 + (torch.randn(500, 2, generator=generator) @ mixing).view(500, 1, 1, 2)
    y = torch.arange(500) % 2
    draws = class_seeds(x, y, torch.ones(4000, dtype=torch.int64), generator).flatten(1)
    members = x[y == 1].flatten(1)
    torch.testing.assert_close(draws.mean(0), members.mean(0), atol=5e-3, rtol=0)
    expected = members.T.cov() + RIDGE * torch.eye(2)
    torch.testing.assert_close(draws.T.cov(), expected, atol=4e-4, rtol=0)


def test_seeds_are_images_and_repeat_with_their_generator():
    x, y = middle_images(12, (3, 8, 8)).round(), torch.arange(12) % 3
    draw = [
        class_seeds(x, y, torch.tensor([2, 0]), torch.Generator().manual_seed(7)) for _ in range(2)
    ]
    assert torch.equal(*draw)
    assert draw[0].shape == (2, 3, 8, 8) and draw[0].min() == 0 and draw[0].max() == 1


def test_the_hole_is_filled_with_the_mean_of_what_is_left():
    x = middle_images(2, (3, 4, 4))
    found = with_hole(x, hole())
    torch.testing.assert_close(found[1, 2, 1, 1], x[1, 2][~hole()].mean())


def test_wrong_input_gets_one_sentence():
    x = middle_images(2)
    with pytest.raises(InputError, match="two images of class 1"):
        class_seeds(x, torch.zeros(2, dtype=torch.int64), torch.tensor([1]), torch.Generator())
    with pytest.raises(InputError, match="leave a pixel"):
        with_hole(x, torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(InputError, match=r"bool \[4, 4\]"):
        with_hole(x, torch.ones(2, 2, dtype=torch.bool))
