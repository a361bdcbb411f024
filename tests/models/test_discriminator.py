"""ATLD's discriminator and the test-time step that uses it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robust_core.attacks.base import create_attack
from robust_core.gradients import predict_logits
from robust_core.inference.manifold_transformation import ManifoldTransformed
from robust_core.losses import accuracy_count
from robust_core.models.base import Classifier, create_model
from robust_core.models.discriminator import Discriminator, DiscriminatorOutput
from robust_core.models.preact_trunk import PreActBlock, PreActTrunk
from robust_core.threat_model import Norm

SHAPE = (1, 8, 8)


@pytest.mark.parametrize(("num_classes", "released"), [(10, 9.13), (100, 9.18)])
def test_a_ninth_of_the_released_weights_live(num_classes, released):
    with torch.device("meta"):
        trunk = PreActTrunk(num_classes, 16, [80, 160, 320], blocks_per_group=4)
        network = Discriminator(num_classes)
    count = sum(p.numel() for p in trunk.parameters()) + (320 + 1) * (1 + num_classes)
    assert count / 1e6 == pytest.approx(released, abs=0.005)
    live = sum(p.numel() for p in network.parameters())
    dead = sum(p.numel() * 8 // 9 for p in trunk.parameters() if p.shape[-2:] == (3, 3))
    assert live == count - dead
    assert live / 1e6 == pytest.approx(1.1, abs=0.05)


def same_norm(norm: nn.Module, other: nn.Module) -> None:
    nn.init.normal_(norm.get_parameter("weight"), 1.0, 0.2)
    nn.init.normal_(norm.get_parameter("bias"), 0.0, 0.2)
    other.load_state_dict(norm.state_dict())


@pytest.mark.parametrize("training", [True, False])
def test_equals_the_released_convolutions_on_one_pixel(training):
    torch.manual_seed(0)
    trunk = PreActTrunk(7, 16, [32, 64, 128], blocks_per_group=2)
    network = Discriminator(7, num_blocks=2, widen_factor=2)
    network.stem.weight.data.copy_(trunk.stem.weight.data[:, :, 1, 1])
    assert trunk.norm is not None
    same_norm(trunk.norm, network.norm)
    for block, twin in zip(trunk.blocks, network.blocks, strict=True):
        assert isinstance(block, PreActBlock)
        for number in ("1", "2"):
            weight = block.get_submodule(f"conv{number}").get_parameter("weight").data
            twin.get_submodule(f"linear{number}").get_parameter("weight").data.copy_(
                weight[:, :, 1, 1]
            )
            same_norm(block.get_submodule(f"norm{number}"), twin.get_submodule(f"norm{number}"))
        if block.shortcut is not None:
            twin.get_submodule("shortcut").get_parameter("weight").data.copy_(
                block.shortcut.weight.data[:, :, 0, 0]
            )
    logits = torch.randn(9, 7)
    features = trunk.train(training)(logits[:, :, None, None])
    output = network.train(training)(logits)
    torch.testing.assert_close(
        output.classes,
        F.linear(features, network.class_head.weight, network.class_head.bias),
        atol=1e-5,
        rtol=1e-4,
    )
    torch.testing.assert_close(
        output.manifold,
        F.linear(features, network.manifold_head.weight, network.manifold_head.bias).squeeze(1),
        atol=1e-5,
        rtol=1e-4,
    )


def test_initial_weights_are_those_of_3x3_kernels():
    torch.manual_seed(0)
    for name, weight in Discriminator(100).named_parameters():
        if "head" in name or weight.dim() != 2:
            continue
        taps = 1 if "shortcut" in name else 9
        expected = (2 / (taps * weight.shape[0])) ** 0.5
        assert weight.std().item() == pytest.approx(expected, rel=0.1), name


def test_output_is_float32_under_autocast():
    logits = torch.randn(4, 10)
    network = Discriminator(10, num_blocks=1, widen_factor=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(logits.bfloat16())
    assert output.manifold.shape == (4,)
    assert output.classes.shape == (4, 10)
    assert output.manifold.dtype == output.classes.dtype == torch.float32


class Judge(Discriminator):
    """V = scale * (first logit - second logit), in closed form."""

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__(3, num_blocks=1, widen_factor=1)
        self.scale, self.shift = scale, shift

    def forward(self, logits: torch.Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.scale * (logits[:, 0] - logits[:, 1]) + self.shift, logits)


class Linear(Classifier):
    """logits = W x with features x."""

    def __init__(self) -> None:
        super().__init__(SHAPE, 3, num_features=64)
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 64, generator=generator))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)

    def head(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.weight.T


def images(n: int) -> torch.Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_step_towards_natural_in_closed_form():
    model, x = Linear(), images(5)
    imt = ManifoldTransformed(model, Judge(), epsilon=0.1)
    uphill = (model.weight[0] - model.weight[1]).sign().view(SHAPE)
    moved = imt.transform(x)
    torch.testing.assert_close(moved, (x + 0.1 * uphill).clamp(0, 1))
    torch.testing.assert_close(predict_logits(imt, x), model(moved).detach())
    torch.testing.assert_close(imt.head(imt.features(x)), imt(x))
    assert (
        F.softplus(-Judge()(model(moved)).manifold) < F.softplus(-Judge()(model(x)).manifold)
    ).all()


def test_step_does_not_vanish_where_the_sigmoid_saturates():
    x = images(2)
    near, far = (
        ManifoldTransformed(Linear(), Judge(shift=shift), epsilon=0.1).transform(x)
        for shift in (0.0, 1e4)
    )
    assert torch.equal(near, far)


def test_limited_step_is_half_where_the_discriminator_is_undecided():
    model, x = Linear(), images(40)
    judge = Judge(scale=0.2)
    natural = judge(model(x)).manifold.sigmoid()
    undecided = (natural > 0.3) & (natural < 0.7)
    assert 0 < undecided.sum() < 40
    full = ManifoldTransformed(model, judge, epsilon=0.1)
    limited = ManifoldTransformed(model, judge, epsilon=0.1, limited=True)
    half = ManifoldTransformed(model, judge, epsilon=0.05)
    torch.testing.assert_close(limited.transform(x)[undecided], half.transform(x)[undecided])
    assert torch.equal(limited.transform(x)[~undecided], full.transform(x)[~undecided])


def test_atld_and_atld_plus_agree_where_nothing_is_undecided():
    model, judge, x = Linear(), Judge(shift=100.0), images(8)
    one, other = (
        ManifoldTransformed(model, judge, epsilon=0.1, limited=limited) for limited in (True, False)
    )
    assert torch.equal(one.transform(x), other.transform(x))


def test_l2_step_has_the_length_epsilon():
    model, x = Linear(), 0.4 + 0.2 * images(3)
    way = (model.weight[0] - model.weight[1]).view(SHAPE)
    for backward in ("identity", "smooth"):
        imt = ManifoldTransformed(model, Judge(), epsilon=0.5, norm=Norm.L2, backward=backward)
        torch.testing.assert_close(imt.transform(x), x + 0.5 * way / way.norm())
        torch.testing.assert_close(imt.transform(x.clone().requires_grad_()), imt.transform(x))


def trained_like() -> tuple[Classifier, Discriminator]:
    torch.manual_seed(0)
    model = create_model("small_cnn", SHAPE, 3, {"width": 8}).eval()
    discriminator = Discriminator(3, num_blocks=1, widen_factor=1)
    for _ in range(20):  # running statistics that are not 0 and 1
        discriminator(predict_logits(model, torch.rand(16, *SHAPE)))
    return model, discriminator.eval()


@pytest.mark.parametrize("backward", ["identity", "smooth"])
def test_deterministic_within_epsilon_and_alone_as_in_a_batch(backward):
    model, discriminator = trained_like()
    imt = ManifoldTransformed(model, discriminator, epsilon=0.07, backward=backward).eval()
    x = images(6)
    moved = imt.transform(x)
    assert torch.equal(moved, imt.transform(x))
    assert (moved - x).abs().max() <= 0.07 + 1e-6
    assert moved.min() >= 0 and moved.max() <= 1
    torch.testing.assert_close(imt.transform(x[2:3]), moved[2:3])
    torch.testing.assert_close(predict_logits(imt, x), predict_logits(model, moved))
    differentiable = imt.transform(x.clone().requires_grad_())
    torch.testing.assert_close(differentiable.detach(), moved)


def test_identity_backward_is_the_gradient_at_the_moved_image():
    model, discriminator = trained_like()
    imt = ManifoldTransformed(model, discriminator, epsilon=0.07)
    x = images(4).requires_grad_()
    (gradient,) = torch.autograd.grad(imt(x)[:, 0].sum(), x)
    moved = imt.transform(x).detach().requires_grad_()
    (expected,) = torch.autograd.grad(model(moved)[:, 0].sum(), moved)
    torch.testing.assert_close(gradient, expected)


def test_smooth_backward_sees_how_the_step_reacts():
    """V = (a . x)^2 / 2: the step follows the sign of g = a (a . x), whose derivative is a a^T."""

    class Square(Judge):
        def forward(self, logits: torch.Tensor) -> DiscriminatorOutput:
            return DiscriminatorOutput(logits[:, 0].square() / 2, logits)

    model, x = Linear(), (0.4 + 0.2 * images(1)).requires_grad_()
    imt = ManifoldTransformed(model, Square(), epsilon=0.05, backward="smooth")
    a = model.weight[0].detach()
    g = a * (a @ x.detach().flatten())
    scale = g.abs().mean()
    slope = 0.05 * (1 - torch.tanh(g / scale).square()) / scale
    jacobian = torch.eye(64) + slope[:, None] * torch.outer(a, a)
    (gradient,) = torch.autograd.grad(imt(x)[:, 1].sum(), x)
    torch.testing.assert_close(gradient.flatten(), model.weight[1].detach() @ jacobian)


def test_smooth_backward_sees_clipped_pixels_less_the_deeper_they_are():
    """The slope of the rounded corner of width epsilon / 2: sigmoid(v / width) at black."""
    model, x = Linear(), torch.full((1, *SHAPE), 0.5)
    way = (model.weight[0] - model.weight[1]).view(SHAPE).sign()
    x = torch.where(way < 0, 0.02, x).requires_grad_()  # 0.1 down: clipped by 0.08
    imt = ManifoldTransformed(model, Judge(), epsilon=0.1, backward="smooth")
    (gradient,) = torch.autograd.grad(imt.transform(x).sum(), x)
    assert imt.transform(x.detach())[way[None] < 0].abs().max() == 0
    slope = torch.sigmoid(torch.tensor((0.02 - 0.1) / 0.05))
    torch.testing.assert_close(gradient[way[None] < 0], slope.expand(int((way < 0).sum())))
    free = gradient[way[None] > 0]
    torch.testing.assert_close(free, torch.ones_like(free), atol=1e-3, rtol=0)


def test_it_offers_its_base_network_and_its_smooth_self_to_attacks():
    model, x = Linear().eval(), images(3)
    imt = ManifoldTransformed(model, Judge(), epsilon=0.05, limited=True).eval()
    base, smooth = imt.attack_surrogates()
    assert base is model
    assert isinstance(smooth, ManifoldTransformed) and smooth.backward == "smooth"
    assert torch.equal(predict_logits(smooth, x), predict_logits(imt, x))


def test_an_attack_through_the_step_beats_one_that_does_not_see_it():
    model, judge, x = Linear(), Judge(scale=0.1), images(60)
    imt = ManifoldTransformed(model, judge, epsilon=0.05).eval()
    y = predict_logits(imt, x).argmax(1)
    attack = create_attack("pgd", epsilon=0.05, loss="margin", num_restarts=2)
    through = accuracy_count(predict_logits(imt, attack(imt, x, y)), y)
    assert through <= accuracy_count(predict_logits(imt, attack(model.eval(), x, y)), y)
    assert through < 60
    assert all(parameter.grad is None for parameter in imt.parameters())
