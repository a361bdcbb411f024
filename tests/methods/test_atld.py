"""ATLD: the attack's direction, the discriminator's game, both code versions, the inferences."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.inference.manifold_transformation import ManifoldTransformed
from robust_core.methods.atld import ATLD, discriminator_losses, gradient_ratio
from robust_core.methods.base import Batch, create_method
from robust_core.methods.parts.label_smoothing import smooth_labels, soft_cross_entropy
from robust_core.models.base import Classifier, create_model
from robust_core.models.discriminator import Discriminator, DiscriminatorOutput
from tests.toys import labels, middle_images

SMALL = {"discriminator_blocks": 1, "discriminator_width": 1}
SHAPE = (1, 8, 8)


def network() -> Classifier:
    return create_model("preact_resnet18", SHAPE, 4, {"width": 4}).train()


def batch(n: int = 8) -> Batch:
    return Batch(middle_images(n, SHAPE), labels(n, 4), torch.arange(n))


def attached(model: Classifier, **parameters) -> ATLD:
    torch.manual_seed(0)
    method = create_method("atld", SMALL | parameters)
    method.attach(model)
    assert isinstance(method, ATLD)
    return method


class Recorder:
    """The batches that a network saw in train and in eval mode, and the logits it gave."""

    def __init__(self, model: Classifier) -> None:
        self.train: list[tuple[Tensor, Tensor]] = []
        self.eval: list[tuple[Tensor, Tensor]] = []
        model.register_forward_hook(self.note)

    def note(self, module: torch.nn.Module, arguments: tuple[Tensor], logits: Tensor) -> None:
        mode = self.train if module.training else self.eval
        mode.append((arguments[0].detach().clone(), logits))


@pytest.mark.parametrize(("num_classes", "floor"), [(10, 3.584), (100, 5.981)])
def test_floors_of_the_discriminators_losses(num_classes, floor):
    target = smooth_labels(torch.tensor([1, 2]), num_classes, 0.5)
    undecided = DiscriminatorOutput(torch.zeros(2), target.log())
    losses = discriminator_losses(undecided, undecided, target)
    assert losses.manifold.tolist() == pytest.approx([2 * math.log(2)] * 2)
    assert losses.classes.tolist() == pytest.approx([floor] * 2, abs=2e-3)


def test_natural_is_one():
    sure = discriminator_losses(
        DiscriminatorOutput(torch.tensor([9.0]), torch.zeros(1, 4)),
        DiscriminatorOutput(torch.tensor([-9.0]), torch.zeros(1, 4)),
        smooth_labels(torch.tensor([0]), 4, 0.5),
    )
    assert sure.manifold.item() < 1e-3


@pytest.mark.parametrize("cls_in_attack", [True, False])
@pytest.mark.parametrize("nat_branch", ["live", "frozen"])
def test_one_step_that_eases_the_discriminators_work(nat_branch, cls_in_attack):
    model, data = network(), batch()
    method = attached(model, epsilon=0.1, nat_branch=nat_branch, cls_in_attack=cls_in_attack)
    discriminator = Discriminator(4, num_blocks=1, widen_factor=1)
    discriminator.load_state_dict(method.discriminator.state_dict())
    seen = Recorder(model)
    method.training_loss(model, data)

    x_start = seen.eval[-1][0].requires_grad_()
    x_adv, _ = seen.train[-1]
    target = smooth_labels(data.y, 4, 0.5)
    twin = network().eval()  # the running statistics that the attack saw
    if nat_branch == "live":
        twin.train()(data.x)
        twin.eval()
    output = discriminator(twin(x_start))
    loss = F.binary_cross_entropy_with_logits(output.manifold, torch.zeros(8), reduction="sum")
    if cls_in_attack:
        loss = loss + soft_cross_entropy(output.classes, target).sum()
    (gradient,) = torch.autograd.grad(loss, x_start)
    expected = (x_start - 0.1 * gradient.sign()).clamp(data.x - 0.1, data.x + 0.1)
    agree = ((x_adv - expected).abs() < 1e-6).float().mean()
    assert agree > 0.99
    assert len(seen.train) == (2 if nat_branch == "live" else 1)


def test_start_is_not_clipped_to_the_image_box_but_the_result_is():
    model = network()
    x = torch.zeros(8, *SHAPE)
    seen = Recorder(model)
    attached(model, epsilon=0.1).training_loss(model, Batch(x, labels(8, 4), torch.arange(8)))
    assert seen.eval[-1][0].min() < -0.09
    assert seen.train[-1][0].min() >= 0


@pytest.mark.parametrize("nat_branch", ["live", "frozen"])
def test_loss_is_cross_entropy_plus_weighted_pairing(nat_branch):
    model, data = network(), batch()
    method = attached(model, epsilon=0.1, nat_branch=nat_branch)
    seen = Recorder(model)
    output = method.training_loss(model, data)
    clean = seen.train[0][1] if nat_branch == "live" else seen.eval[0][1]
    assert clean.requires_grad == (nat_branch == "live")
    logits = seen.train[-1][1]
    target = smooth_labels(data.y, 4, 0.5)
    classification = soft_cross_entropy(logits, target).mean()
    pairing = (logits - clean).square().mean()
    weight = output.terms["pairing_weight"]
    torch.testing.assert_close(output.loss, classification + weight * pairing)
    assert output.terms["pairing"] == pytest.approx(pairing.item(), rel=1e-5)


def test_pairing_weight_is_half_the_ratio_of_signed_maxima():
    x = torch.tensor([[1.0, -2.0]], requires_grad=True)
    first, second = (3 * x[0, 0] - 9 * x[0, 1]), (0.5 * x[0, 0] - 4 * x[0, 1])
    assert gradient_ratio(first, second, x).item() == pytest.approx(3 / 0.5)
    assert not gradient_ratio(first, second, x).requires_grad


def test_equal_logits_do_not_divide_by_zero():
    model = create_model("small_cnn", SHAPE, 4, {"width": 4}).train()  # no batch norm
    output = attached(model, epsilon=0.0).training_loss(model, batch())
    assert output.terms["pairing"] == 0.0
    assert torch.isfinite(output.loss)
    output.loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


def test_discriminator_learns_in_its_own_steps_and_not_from_the_networks_loss():
    model, data = network(), batch()
    method = attached(model, epsilon=0.1, discriminator_learning_rate=0.01)
    before = {key: value.clone() for key, value in method.discriminator.named_parameters()}
    steps: list[Tensor] = []
    take = method.step_discriminator
    method.step_discriminator = lambda loss: (steps.append(loss.detach()), take(loss))[1]
    output = method.training_loss(model, data)
    assert len(steps) == 2
    moved = {key: value.clone() for key, value in method.discriminator.named_parameters()}
    assert all(not torch.equal(moved[key], before[key]) for key in moved)
    gradients = {key: value.grad for key, value in method.discriminator.named_parameters()}
    output.loss.backward()
    for key, value in method.discriminator.named_parameters():
        assert value.grad is gradients[key]
        assert torch.equal(value, moved[key])


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.slow
def test_discriminator_separates_shapes_but_not_a_shift_of_the_whole_batch(shift):
    """Each batch goes through batch norm on its own, which takes a common shift away."""
    method = attached(network(), discriminator_learning_rate=0.1)
    generator = torch.Generator().manual_seed(0)
    target = smooth_labels(labels(32, 4), 4, 0.5)
    losses = []
    for _ in range(60):
        clean = torch.randn(32, 4, generator=generator)
        terms = method._train_discriminator(clean, clean - 2 if shift else clean.abs(), target)
        losses.append(terms["discriminator_manifold"])
    late = sum(losses[-20:]) / 20  # a single batch may cost anything
    if shift:
        assert late == pytest.approx(2 * math.log(2), abs=0.05)
    else:
        assert late < 2 * math.log(2) - 0.15


def test_runs_under_autocast_with_its_discriminator_in_float32():
    model, data = network(), batch()
    method = attached(model, epsilon=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = method.training_loss(model, data)
    assert output.loss.dtype == torch.float32
    assert torch.isfinite(output.loss)


def test_three_inferences_of_one_network():
    model = network().eval().requires_grad_(False)
    method = attached(model, epsilon=0.07).eval()
    assert method.inferences(model) == ("imt", "imt_plus", "imt_smooth")
    full, limited = (method.inference(name, model) for name in ("imt", "imt_plus"))
    assert isinstance(full, ManifoldTransformed) and isinstance(limited, ManifoldTransformed)
    assert (full.limited, limited.limited) == (False, True)
    assert full.threat_model == limited.threat_model == method.settings.threat_model
    x = batch().x
    smooth = method.inference("imt_smooth", model)
    assert isinstance(smooth, ManifoldTransformed) and smooth.backward == "smooth"
    assert torch.equal(predict_logits(smooth, x), predict_logits(full, x))
    torch.testing.assert_close(predict_logits(full, x), predict_logits(model, full.transform(x)))
    with pytest.raises(InputError, match="unknown inference 'other'"):
        method.inference("other", model)


def test_recipe_of_the_papers_version_is_the_default():
    settings = create_method("atld").settings
    assert settings.epsilon == 8 / 255
    assert (settings.nat_branch, settings.cls_in_attack) == ("live", True)
    assert (settings.label_smoothing, settings.pairing_weight) == (0.5, 0.5)
    assert (settings.discriminator_learning_rate, settings.discriminator_steps) == (1e-3, 2)
    assert (settings.discriminator_blocks, settings.discriminator_width) == (4, 5)
