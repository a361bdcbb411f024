"""Wrappers of a model, and BPDA, which puts one of them to use."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from robust_core.acceleration.mode import Acceleration, use_acceleration
from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import input_gradient
from robust_core.inference.scaled_logits import ScaledLogits
from robust_core.inference.wrappers import (
    AveragedPasses,
    averaged,
    with_substituted_backward,
)
from robust_core.losses import margin
from robust_core.models.base import create_model
from robust_core.models.guard import (
    guarded,
    is_stochastic,
    known_classes,
    known_shape,
    masking_parts,
)
from tests.toys import LinearModel, labels, middle_images


class Noisy(LinearModel):
    """logits = W (x + n) + b with fresh normal noise n at every pass."""

    stochastic = True
    masking_parts = ("quantize",)
    num_drawn = 0

    def forward(self, x: Tensor) -> Tensor:
        self.num_drawn += 1
        return super().forward(x + 0.3 * torch.randn_like(x))


class Signs(LinearModel):
    """A linear model of the sign of every pixel less 1/2, or of whether it is above 1/2."""

    def __init__(self, shape=(1, 4, 4), *, low: float = -1.0) -> None:
        super().__init__(shape)
        self.jump = Jump(low)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.jump(x - 0.5))


class Jump(nn.Module):
    def __init__(self, low: float) -> None:
        super().__init__()
        self.low = low

    def forward(self, v: Tensor) -> Tensor:
        return torch.where(v > 0, 1.0, self.low)


def test_the_mean_of_passes_draws_anew_and_lets_every_gradient_through():
    model, x = Noisy(), middle_images(5)
    mean = AveragedPasses(model, 7)
    torch.manual_seed(3)
    logits = mean(x)
    assert model.num_drawn == 7
    torch.manual_seed(3)
    torch.testing.assert_close(logits, sum(model(x) for _ in range(7)) / 7)
    at = input_gradient(mean, x, lambda z: margin(z, labels(5)))
    exact = input_gradient(LinearModel(), x, lambda z: margin(z, labels(5)))
    assert at.gradient.shape == exact.gradient.shape and at.gradient.abs().max() > 0
    spread = [
        torch.stack([averaged(model, n)(x) for _ in range(40)]).std(dim=0).mean() for n in (1, 16)
    ]
    assert 3.0 < spread[0] / spread[1] < 5.5  # 4 = sqrt(16)


def test_the_mean_of_passes_says_of_itself_what_the_model_does():
    model = Noisy()
    model.quantize = nn.Identity()
    mean = averaged(guarded(model, middle_images(1)), 2)
    assert (known_classes(mean), mean.stochastic, mean.training) == (3, True, False)
    assert masking_parts(mean) == ("model.model.quantize",)
    assert known_shape(mean) is None
    assert not is_stochastic(averaged(nn.Linear(2, 2), 2))
    network = create_model("small_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    assert getattr(averaged(network, 2), "image_shape", None) == (1, 16, 16)
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(averaged(network, 5)(x), network(x))
    assert averaged(model, 1) is model
    with pytest.raises(InputError, match="num_passes must be >= 1, got 0"):
        AveragedPasses(model, 0)


def test_scaled_logits_keep_every_prediction():
    model = create_model("small_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ScaledLogits(model, 7.0)(x), 7.0 * model(x))
    assert not ScaledLogits(model, 7.0).training


def test_substituted_backward_keeps_the_forward_pass_and_finds_a_gradient():
    model = create_model("quantized_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    twin = with_substituted_backward(model, model.masking_parts)
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(twin(x), model(x))
    for network, blind in ((model, True), (twin, False)):
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(leaf).sum(), leaf)
        assert (gradient.abs().max() == 0) == blind
    assert {id(p) for p in twin.parameters()} == {id(p) for p in model.parameters()}
    assert model.get_submodule("quantize") is not twin.get_submodule("quantize")


def test_bpda_breaks_what_masks_plain_pgd_and_its_passes_are_counted():
    model = create_model("quantized_cnn", (1, 32, 32), 10, {"width": 8}).eval()
    x = torch.rand(10, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    plain = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    through = create_attack("bpda", epsilon=0.1, num_steps=10, random_start=False)
    assert evaluate(model, x, y, plain).robust_accuracy == 1.0
    report = evaluate(model, x, y, through)
    assert report.robust_accuracy < 0.5
    assert report.backward_passes == 100


def test_bpda_on_a_model_without_masking_parts_is_pgd_and_says_so():
    model = create_model("small_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    x = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    first = create_attack("pgd", epsilon=0.05)(model, x, y)
    with pytest.warns(UserWarning, match="names no part that masks its gradient.*plain PGD"):
        second = create_attack("bpda", epsilon=0.05)(model, x, y)
    assert torch.equal(first, second)
    with pytest.warns(UserWarning, match="plain PGD"):
        assert torch.equal(first, create_attack("bpda", epsilon=0.05, part="")(model, x, y))
    quantized = create_model("quantized_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_attack("bpda", num_steps=1)(quantized, x, y)
        create_attack("bpda", num_steps=1, part="normalize")(model, x, y)


@pytest.mark.parametrize(("backward", "low"), [("tanh", -1.0), ("sigmoid", 0.0)])
def test_a_chosen_part_has_the_chosen_backward_pass(backward, low):
    model, x, y = Signs(low=low), middle_images(5), labels(5)
    attack = create_attack("bpda", part="jump", backward=backward)
    twin = attack.substituted(model)  # pyright: ignore[reportAttributeAccessIssue]
    torch.testing.assert_close(twin(x), model(x))
    found = input_gradient(twin, x, lambda z: margin(z, y)).gradient
    leaf = (x - 0.5).requires_grad_()
    smooth = torch.tanh(leaf) if backward == "tanh" else torch.sigmoid(leaf)
    (slope,) = torch.autograd.grad(smooth.sum(), leaf)
    through = create_attack("bpda", part="jump").substituted(model)  # pyright: ignore[reportAttributeAccessIssue]
    plain = input_gradient(through, x, lambda z: margin(z, y)).gradient
    torch.testing.assert_close(found, slope * plain)
    assert plain.abs().min() > 0


def test_bpda_breaks_a_part_that_the_model_does_not_name():
    model, x = Signs(), middle_images(20)
    y = model(x).argmax(1)
    settings = {"epsilon": 0.1, "num_steps": 10, "random_start": False}
    assert evaluate(model, x, y, create_attack("pgd", **settings)).robust_accuracy == 1.0
    for backward in ("identity", "tanh"):
        attack = create_attack("bpda", part="jump", backward=backward, **settings)
        assert evaluate(model, x, y, attack).robust_accuracy < 0.5
    choice = {"name": "bpda", "parameters": {"part": "jump", "num_steps": 10}}
    worst = create_attack("worst_case", epsilon=0.1, attacks=[{"name": "fgsm"}, choice])
    assert evaluate(model, x, y, worst).robust_accuracy < 0.5


def test_a_wrong_part_is_answered_with_some_that_there_are():
    model = create_model("quantized_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    x, y = middle_images(2, (1, 16, 16)), labels(2)
    wrong = create_attack("bpda", part="quantise", num_steps=1)
    words = r"unknown part 'quantise' \(did you mean 'quantize'\?\); known: .*quantize, .* more$"
    with pytest.raises(InputError, match=words):
        wrong(model, x, y)
    with pytest.raises(InputError, match=words):
        evaluate(model, x, model(x).argmax(1), wrong)
    with pytest.raises(InputError, match=r"unknown part 'a'; known: jump$"):
        create_attack("bpda", part="a")(Signs(), middle_images(1), labels(1))
    with pytest.raises(InputError, match="backward must be one of"):
        create_attack("bpda", backward="cubic")
    other_shape = create_attack("bpda", part="classifier", num_steps=1)
    with pytest.raises(InputError, match=r"must return the shape that the part does, \[2, 5\]"):
        other_shape(model, x, y)


def test_a_part_of_a_network_that_attacks_rearrange_is_found_in_the_network_itself():
    model = create_model("small_cnn", (1, 16, 16), 5, {"width": 4}).eval().requires_grad_(False)
    x, y = middle_images(2, (1, 16, 16)), labels(2)
    attack = create_attack("bpda", part="layers.1", num_steps=2)
    assert attack(model, x, y).shape == x.shape
    y = model(x).argmax(1)
    with pytest.raises(InputError, match="choose the acceleration 'reference'"):
        evaluate(model, x, y, attack)
    with use_acceleration(Acceleration("reference")):
        evaluate(model, x, y, attack)
    with use_acceleration(Acceleration("bfloat16")):
        evaluate(model, x, y, create_attack("bpda", part="normalize", num_steps=2))


def test_a_part_that_writes_to_its_input_may_be_replaced():
    model = nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(16, 3)).eval()
    x = middle_images(3) - 0.5
    twin = with_substituted_backward(model, ("1",))
    torch.testing.assert_close(twin(x), model(x.clone()))
    label = labels(3)[:, None]
    found, expected = (
        input_gradient(network, x, lambda z: z.gather(1, label).squeeze(1)).gradient
        for network in (twin, nn.Sequential(model[0], model[2]))
    )
    torch.testing.assert_close(found, expected)
