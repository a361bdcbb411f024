"""PAG against closed forms and the sheet's golden values."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.data.augmentation import Change
from robust_core.errors import InputError
from robust_core.gradients import cosine
from robust_core.losses import cross_entropy
from robust_core.methods.base import Batch, create_method
from robust_core.models.base import Classifier, create_model
from tests.methods.pag_examples import NUM_CLASSES, SHAPE, AsClassifier, Y, batch_of, network, pag
from tests.toys import middle_images


@pytest.fixture
def x() -> Tensor:
    return middle_images(8, SHAPE)


def test_loss_is_the_sheets_formula_by_repetition_of_the_images(x):
    """Section 2.4, literally: K copies of every image, log-softmax, cosine, mean."""
    model = network()
    method = pag(model, x, targets="CM", weight=1.5)
    output = method.training_loss(model, batch_of(x))
    means = torch.stack([x[c == Y].mean(0) for c in range(NUM_CLASSES)])
    targets = (means[None] - x[:, None]).flatten(0, 1)  # [B * K, C, H, W]
    copies = x.repeat_interleave(NUM_CLASSES, 0).requires_grad_()
    ids = torch.arange(NUM_CLASSES).repeat(len(x))
    log_p = model(copies).log_softmax(1)[torch.arange(len(ids)), ids]
    (gradient,) = torch.autograd.grad(log_p.sum(), copies)
    term = 1 - F.cosine_similarity(gradient.flatten(1), targets.flatten(1), dim=1, eps=1e-20).mean()
    expected = F.cross_entropy(model(x), Y) + 1.5 * NUM_CLASSES * term
    torch.testing.assert_close(output.loss, expected, rtol=1e-5, atol=1e-6)
    assert output.terms["alignment"] == pytest.approx(1 - term.item(), abs=1e-5)


def test_the_alignment_term_reaches_its_minimum_on_a_linear_model():
    """Two classes: log p_1 has gradient +(w_1 - w_0), log p_0 the opposite, so cos is known."""
    model, x, y = AsClassifier(num_classes=2), middle_images(8, SHAPE), Y % 2
    method = create_method("pag", {"targets": "CM", "weight": 1.0})
    method.attach(model)  # pyright: ignore[reportArgumentType]
    method.prepare(x, y)
    w = (model.weight[1] - model.weight[0]).detach().view(SHAPE)
    means = torch.stack([x[y == c].mean(0) for c in range(2)])
    targets = means[None] - x[:, None]
    expected = (cosine(-w.expand_as(x), targets[:, 0]) + cosine(w.expand_as(x), targets[:, 1])) / 2
    output = method.training_loss(model, batch_of(x, y))
    assert output.terms["alignment"] == pytest.approx(expected.mean().item(), abs=1e-5)


def test_second_derivative_agrees_with_finite_differences(x):
    model = smooth_network()
    method = pag(model, x, weight=2.0)
    weight = model.get_parameter("classifier.weight")
    loss = method.training_loss(model, batch_of(x)).loss
    (gradient,) = torch.autograd.grad(loss, weight)
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    direction = direction / direction.norm()
    values = []
    for step in (1e-2, -1e-2):
        with torch.no_grad():
            weight.add_(step * direction)
        values.append(method.training_loss(model, batch_of(x)).loss.item())
        with torch.no_grad():
            weight.sub_(step * direction)
    numeric = (values[0] - values[1]) / 2e-2
    assert (gradient * direction).sum().item() == pytest.approx(numeric, rel=0.02, abs=1e-3)


def smooth_network() -> Classifier:
    values = {"depth": 1, "hidden": 8, "heads": 2}
    return create_model("vit", SHAPE, NUM_CLASSES, values).train()


def test_classes_are_drawn_without_repetition_and_without_the_true_one(x):
    model = network()
    drawn = pag(model, x, num_sampled_classes=3).draw_classes(Y)
    assert drawn.shape == (8, 3)
    assert all(len(set(row.tolist())) == 3 for row in drawn)
    every = pag(model, x).draw_classes(Y).sort(1).values
    assert torch.equal(every, torch.arange(NUM_CLASSES).expand(8, -1))
    others = pag(model, x, true_class=False).draw_classes(Y)
    assert others.shape == (8, 3)
    assert not (others == Y[:, None]).any()


def test_drawing_classes_estimates_the_full_term(x):
    model = network()
    full = pag(model, x).training_loss(model, batch_of(x)).terms["alignment"]
    method = pag(model, x, num_sampled_classes=2)
    torch.manual_seed(0)
    drawn = [method.training_loss(model, batch_of(x)).terms["alignment"] for _ in range(60)]
    assert sum(drawn) / len(drawn) == pytest.approx(full, abs=0.02)
    # the weight of the term is that of all classes, also where fewer are drawn
    output = method.training_loss(model, batch_of(x))
    rest = output.loss.item() - output.terms["cross_entropy"]
    assert rest == pytest.approx(1.5 * NUM_CLASSES * (1 - output.terms["alignment"]), rel=1e-4)


def test_gradient_and_target_belong_to_the_image_before_augmentation(x):
    """A mirrored image asks of a network what the image asks of the network that mirrors first."""
    model = AsClassifier()
    turned = copy.deepcopy(model)
    turned.weight = nn.Parameter(model.weight.unflatten(1, SHAPE).flip(-1).flatten(1))
    method = pag(model, x, targets="OI")
    mirror = Change(torch.arange(8).expand(8, -1), torch.arange(8).flip(0).expand(8, -1))
    mirrored = Batch(mirror(x), Y, torch.arange(8), mirror, x)
    torch.testing.assert_close(mirrored.x, x.flip(3))
    seen, expected = (
        method.training_loss(*pair) for pair in ((model, mirrored), (turned, batch_of(x)))
    )
    torch.testing.assert_close(seen.loss, expected.loss)
    assert seen.terms == pytest.approx(expected.terms)
    beside = method.training_loss(model, Batch(x.flip(3), Y, torch.arange(8)))
    assert abs(beside.terms["alignment"] - seen.terms["alignment"]) > 1e-3


def test_weight_is_two_thirds_in_the_first_epochs(x):
    model = network()
    method = pag(model, x, weight=3.0, reduced_epochs=50)
    seen = []
    for epoch in (0, 49, 50, 99):
        method.on_epoch_start(epoch, 100)
        output = method.training_loss(model, batch_of(x))
        rest = output.loss.item() - output.terms["cross_entropy"]
        seen.append(rest / (NUM_CLASSES * (1 - output.terms["alignment"])))
    assert seen == pytest.approx([2.0, 2.0, 3.0, 3.0], rel=1e-4)


def test_autocast_is_off_in_the_whole_loss(x):
    model = network()
    plain = pag(model, x).training_loss(model, batch_of(x)).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = pag(model, x).training_loss(model, batch_of(x)).loss
    torch.testing.assert_close(plain, mixed, rtol=1e-5, atol=1e-6)
    penalised = create_method("gradient_norm")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = penalised.training_loss(model, batch_of(x)).loss
    torch.testing.assert_close(penalised.training_loss(model, batch_of(x)).loss, mixed)


def test_running_statistics_can_be_left_alone(x):
    model = network("preact_resnet18")
    untouched = copy.deepcopy(model)
    method = pag(model, x, batch_norm="eval")
    logits = []
    model.register_forward_hook(lambda module, *_: logits.append(module.training))
    method.training_loss(model, batch_of(x))
    assert logits == [False, True]  # the gradients with the running ones, then cross-entropy
    twin = pag(untouched, x)
    twin.training_loss(untouched, batch_of(x))
    torch.testing.assert_close(dict(model.named_buffers()), dict(untouched.named_buffers()))


def test_adversarial_training_attacks_the_cross_entropy_and_not_the_gradients(x):
    model = AsClassifier()
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    method = create_method("pag", {"adversarial_epsilon": 0.05, "adversarial_steps": 2})
    method.attach(model)  # pyright: ignore[reportArgumentType]
    method.prepare(x, Y)
    output = method.training_loss(model, batch_of(x))
    assert torch.equal(seen[0], x)
    assert 0.01 < (seen[-1] - x).abs().max() <= 0.05 + 1e-6
    with torch.no_grad():
        expected = cross_entropy(model(seen[-1]), Y).mean().item()
    assert output.terms["cross_entropy"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_training_aligns_the_gradients(x):
    model = network()
    method = pag(model, x, weight=1.0)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    seen = []
    for _ in range(40):
        output = method.training_loss(model, batch_of(x))
        optimiser.zero_grad()
        output.loss.backward()
        optimiser.step()
        seen.append(output.terms["alignment"])
    assert seen[0] < 0.2
    assert seen[-1] > seen[0] + 0.2


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"num_sampled_classes": 5}, "num_sampled_classes must be at most 4 here, got 5"),
        (
            {"num_sampled_classes": 4, "true_class": False},
            "num_sampled_classes must be at most 3 here, got 4",
        ),
        ({"targets": "SBG"}, "targets SBG need the checkpoint of a denoiser, got no name"),
        ({"targets": "XY"}, "targets must be one of"),
    ],
)
def test_wrong_parameters(x, parameters, sentence):
    with pytest.raises(InputError, match=sentence):
        method = create_method("pag", parameters)
        method.attach(network())
        method.reference()
