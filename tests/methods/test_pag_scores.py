"""Class scores, their gradients and the cosine, where the usual ones fail."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.gradients import class_gradients, cosine
from robust_core.losses import class_logit, log_odds, log_probability
from robust_core.models.base import create_model
from tests.methods.pag_examples import NUM_CLASSES, SHAPE, AsClassifier, network
from tests.toys import middle_images


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


@pytest.mark.slow
def test_log_probability_and_logit_gradients_agree_at_the_start():
    """Golden: cosine about .95 at initialisation (ten classes)."""
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = create_model("preact_resnet18", (3, 32, 32), 10, {"width": 16}).train()
    classes = torch.arange(10).expand(8, -1)
    of_logit, _ = class_gradients(model, x, classes, class_logit)
    of_log_p, _ = class_gradients(model, x, classes, log_probability)
    assert cosine(of_logit, of_log_p).mean().item() == pytest.approx(0.95, abs=0.03)
