"""PAG and the gradient-norm penalty against closed forms and the sheet's golden values."""

import copy
import math
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.data.augmentation import Change
from robust_core.errors import InputError
from robust_core.gradients import class_gradients, cosine
from robust_core.losses import class_logit, cross_entropy, log_odds, log_probability
from robust_core.methods.base import Batch, create_method
from robust_core.methods.gradient_targets import score_differences
from robust_core.methods.pag import PAG
from robust_core.models.base import Classifier, create_model
from robust_core.models.denoiser import Denoiser
from tests.toys import LinearModel, middle_images

SHAPE, NUM_CLASSES = (1, 8, 8), 4
Y = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])


def batch_of(x: Tensor, y: Tensor = Y) -> Batch:
    return Batch(x, y, torch.arange(len(x)))


def network(name: str = "small_cnn") -> Classifier:
    return create_model(name, SHAPE, NUM_CLASSES, {"width": 4}).train()


def pag(model: nn.Module, x: Tensor, **parameters) -> PAG:
    method = create_method("pag", parameters)
    assert isinstance(method, PAG)
    method.attach(cast(Classifier, model))
    method.prepare(x, Y)
    method.on_epoch_start(0, 100)
    return method


class AsClassifier(LinearModel):
    """A linear model that a method can attach to."""

    image_shape = SHAPE

    def __init__(self, num_classes: int = NUM_CLASSES, scale: float = 1.0) -> None:
        super().__init__(SHAPE, num_classes, scale=scale)


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


def test_opposite_gradients_give_nearest_neighbours_a_floor():
    """Trap 4: with two classes own-class targets contradict the other's; the loss stays above 0."""
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 5, 1, 2, 2, generator=generator)
    gradient = torch.stack([one, -one], 1)
    targets = torch.stack([other, one], 1)  # any own-class direction and a perfect other one
    assert (1 - cosine(gradient, targets)).sum(1).min() > 0
    best = torch.stack([one, -one], 1)
    assert (1 - cosine(gradient, best)).sum(1).max() < 1e-6


def test_log_odds_point_along_the_log_probability():
    model, x = network().double(), middle_images(4, SHAPE).double()
    classes = torch.arange(NUM_CLASSES).expand(4, -1)
    odds, logits = class_gradients(model, x, classes, log_odds64)
    log_p, _ = class_gradients(
        model, x, classes, lambda z, y: z.log_softmax(1).gather(1, y[:, None])
    )
    p = logits.softmax(1)[:, :, None, None, None]
    torch.testing.assert_close((1 - p) * odds, log_p, rtol=1e-9, atol=1e-12)


def log_odds64(logits: Tensor, y: Tensor) -> Tensor:
    others = logits.scatter(1, y[:, None], float("-inf"))
    return logits.gather(1, y[:, None]).squeeze(1) - others.logsumexp(1)


def test_log_odds_and_class_scores_on_fixed_logits():
    logits, y = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.2, 0.1]]), torch.tensor([0, 2])
    p = logits.softmax(1)[range(2), y]
    torch.testing.assert_close(log_odds(logits, y), (p / (1 - p)).log())
    torch.testing.assert_close(log_probability(logits, y), p.log())
    assert torch.equal(class_logit(logits, y), torch.tensor([2.0, 0.1]))


def test_alignment_does_not_vanish_for_a_sure_network():
    """Trap 3: at logits of thousands log p_y has no gradient left, its direction still counts."""
    x = middle_images(8, SHAPE)
    sure = AsClassifier(scale=1e4)
    classes = sure(x).argmax(1)[:, None]
    vanished, _ = class_gradients(sure, x, classes, log_probability)
    assert vanished.abs().max() == 0
    gradient, _ = class_gradients(sure, x, classes, log_odds, create_graph=True)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    loss = (1 - cosine(gradient, torch.ones_like(gradient))).mean()
    (of_weights,) = torch.autograd.grad(loss, sure.weight)
    assert of_weights.isfinite().all() and of_weights.abs().sum() > 0


def test_cosine_keeps_tiny_directions_and_the_usual_one_does_not():
    """Golden: norm 5e-11 gives .006 with torch's eps 1e-8 (clamped there: 5e-11 / 1e-8 = .005)."""
    direction = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    tiny = 5e-11 * direction / direction.norm()
    unit = direction / direction.norm()
    usual = F.cosine_similarity(tiny.flatten(1), unit.flatten(1), eps=1e-8).item()
    assert usual == pytest.approx(0.005, abs=0.002)
    assert cosine(tiny, unit).item() == pytest.approx(1.0, abs=1e-6)
    assert cosine(1e-36 * unit, 1e30 * unit).item() == pytest.approx(1.0, abs=1e-5)
    zero = torch.zeros_like(unit).requires_grad_()
    value = cosine(zero, unit)
    (gradient,) = torch.autograd.grad(value.sum(), zero)
    assert value.item() == 0
    assert gradient.isfinite().all()


def test_log_probability_and_logit_gradients_agree_at_the_start():
    """Golden: cosine about .95 at initialisation (ten classes)."""
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = create_model("preact_resnet18", (3, 32, 32), 10, {"width": 16}).train()
    classes = torch.arange(10).expand(8, -1)
    of_logit, _ = class_gradients(model, x, classes, class_logit)
    of_log_p, _ = class_gradients(model, x, classes, log_probability)
    assert cosine(of_logit, of_log_p).mean().item() == pytest.approx(0.95, abs=0.03)


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


def test_targets_lead_to_a_representative(x):
    model = network()
    for kind in ("OI", "CM", "NN"):
        method = pag(model, x, targets=kind)
        classes = torch.arange(NUM_CLASSES).expand(8, -1)
        targets = method.draw_targets(x, torch.arange(8), classes)
        shown = targets + x[:, None]  # the representative itself
        if kind == "CM":
            torch.testing.assert_close(shown[0, 1], x[Y == 1].mean(0))
        else:
            of_class = x[Y == 1]
            assert min(float((shown[0, 1] - image).abs().max()) for image in of_class) < 1e-6


def test_controls_have_no_meaning_but_the_same_shape(x):
    model, classes = network(), torch.arange(NUM_CLASSES).expand(8, -1)
    index = torch.arange(8)
    true = pag(model, x).draw_targets(x, index, classes)
    torch.manual_seed(0)
    shuffled = pag(model, x, control="shuffled").draw_targets(x, index, classes)
    assert shuffled.shape == true.shape
    assert not torch.equal(shuffled, true)
    torch.testing.assert_close(
        shuffled.flatten(0, 1).flatten(1).sum(1).sort().values,
        true.flatten(0, 1).flatten(1).sum(1).sort().values,
    )
    random = pag(model, x, control="random").draw_targets(x, index, classes)
    assert torch.equal(random[0], random[7])
    assert cosine(random[:, 0], random[:, 1]).abs().max() < 0.5


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


def test_one_image_is_part_of_the_state(x):
    model = network()
    method = pag(model, x, targets="OI", target_seed=5)
    chosen = method.state_dict()["one_image"]
    assert torch.equal(Y[chosen], torch.arange(NUM_CLASSES))


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


def test_nearest_neighbours_need_two_images_of_a_class(x):
    method = create_method("pag", {"targets": "NN"})
    method.attach(network())
    with pytest.raises(InputError, match="at least 2 images of every class"):
        method.prepare(x[:4], Y[:4])


def test_score_based_targets_come_from_a_denoiser_that_is_no_part_of_the_state(x):
    model = network()
    denoiser = create_model("denoiser", SHAPE, NUM_CLASSES, {"width": 4}).eval()
    method = create_method("pag", {"targets": "SBG", "denoiser": "digits-denoiser"})
    method.attach(model)
    assert method.reference() == "digits-denoiser"
    with pytest.raises(InputError, match="need a denoiser of 4 classes, got a SmallCNN of 4"):
        method.consult(model)
    method.consult(denoiser)
    method.prepare(x, Y)
    assert method.state_dict() == {} and list(method.parameters()) == []
    loss = method.training_loss(model, batch_of(x)).loss
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is None for parameter in denoiser.parameters())


def test_score_based_targets_are_half_precision_directions_of_the_image_as_it_is(x):
    model = network()
    denoiser = create_model("denoiser", SHAPE, NUM_CLASSES, {"width": 4}).eval()
    method = create_method("pag", {"targets": "SBG", "denoiser": "d", "noise": 1.0, "num_draws": 2})
    assert isinstance(method, PAG) and isinstance(denoiser, Denoiser)
    method.attach(model)
    method.consult(denoiser)
    method.prepare(x, Y)
    index = torch.tensor([5, 2])
    stored = method.target_function(x[index], index)
    assert torch.equal(method.target_function(x[index], index), stored)  # no fresh noise
    length = stored.square().mean((2, 3, 4))
    torch.testing.assert_close(length, torch.ones(2, NUM_CLASSES), atol=1e-3, rtol=0)
    draws = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    exact = score_differences(denoiser, x[index], 1.0, draws)
    assert (cosine(stored, exact) > 1 - 1e-5).all()


@pytest.mark.parametrize(("norm", "order"), [("Linf", 1), ("L2", 2)])
def test_gradient_norm_is_the_first_order_worst_case_of_a_linear_model(x, norm, order):
    model = AsClassifier(num_classes=2, scale=0.3)
    y = Y % 2
    method = create_method("gradient_norm", {"norm": norm, "epsilon": 0.05, "weight": 2.0})
    output = method.training_loss(model, batch_of(x, y))
    w = model.weight[1] - model.weight[0]
    p_wrong = 1 - model(x).softmax(1)[torch.arange(8), y]
    expected = F.cross_entropy(model(x), y) + 0.1 * (p_wrong * w.norm(p=order)).mean()
    torch.testing.assert_close(output.loss, expected)
    smaller = create_method("gradient_norm", {"norm": norm, "epsilon": 1e-4})
    worst = math.nan
    with torch.no_grad():
        w_dual = w.norm(p=order)
        margin = (model(x)[:, 1] - model(x)[:, 0]) * (2 * y - 1)
        worst = F.softplus(-(margin - 1e-4 * w_dual)).mean().item()
    assert smaller.training_loss(model, batch_of(x, y)).loss.item() == pytest.approx(
        worst, abs=1e-5
    )


def test_gradient_norm_trains_every_weight(x):
    model: nn.Module = network()
    create_method("gradient_norm").training_loss(model, batch_of(x)).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
