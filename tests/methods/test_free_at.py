"""Free-AT against closed forms on a linear model and a loop as in the released port."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.methods.base import Batch, TrainingMethod, create_method
from tests.toys import LinearModel, SmallNet, labels, middle_images

EPSILON = 0.05


def batch_of(x: Tensor, y: Tensor) -> Batch:
    return Batch(x, y, torch.arange(len(x)))


def free_at(**parameters: object) -> TrainingMethod:
    return create_method("free_at", {"epsilon": EPSILON, **parameters})


def delta_of(method: TrainingMethod) -> Tensor:
    delta = method.own_state()
    assert delta is not None
    return delta


def step(model: nn.Module, method: TrainingMethod, batch: Batch, optimiser) -> float:
    """Do what the trainer does in one replay."""
    loss = method.training_loss(model, batch).loss
    optimiser.zero_grad()
    loss.backward()
    method.after_backward(model)
    optimiser.step()
    method.after_step(model)
    return loss.item()


def frozen(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.0)


def two_classes(n: int = 7) -> tuple[LinearModel, Batch]:
    return LinearModel(num_classes=2, scale=0.3), batch_of(
        middle_images(n), labels(n, num_classes=2)
    )


def worst_signs(model: LinearModel, batch: Batch) -> Tensor:
    """Return sign(w_wrong - w_y) for each image [N,C,H,W]."""
    difference = (model.weight[1] - model.weight[0]).detach().sign()
    return ((1 - 2 * batch.y)[:, None] * difference).view_as(batch.x)


def test_one_replay_of_a_linear_model_leaves_the_signs_times_epsilon():
    model, batch = two_classes()
    method = free_at()
    clean = F.cross_entropy(model(batch.x), batch.y).item()
    assert step(model, method, batch, frozen(model)) == pytest.approx(clean)
    torch.testing.assert_close(
        delta_of(method), EPSILON * worst_signs(model, batch), rtol=0, atol=1e-6
    )


def test_the_second_replay_meets_the_worst_case():
    model, batch = two_classes()
    method, optimiser = free_at(), frozen(model)
    step(model, method, batch, optimiser)
    w = model.weight[1] - model.weight[0]
    logits = model(batch.x)
    gap = (logits[:, 1] - logits[:, 0]) * (2 * batch.y - 1) - EPSILON * w.abs().sum()
    worst = F.softplus(-gap).mean().item()
    for _ in range(3):
        assert step(model, method, batch, optimiser) == pytest.approx(worst, rel=1e-4)


def test_a_smaller_step_accumulates_up_to_the_radius():
    model, batch = two_classes()
    method, optimiser = free_at(step_size=0.6 * EPSILON), frozen(model)
    for share in (0.6, 1.0, 1.0):
        step(model, method, batch, optimiser)
        expected = share * EPSILON * worst_signs(model, batch)
        torch.testing.assert_close(delta_of(method), expected, rtol=0, atol=1e-6)


def test_an_l2_ball_is_stepped_along_the_gradient():
    model, batch = two_classes()
    method = free_at(norm="L2")
    step(model, method, batch, frozen(model))
    w = (model.weight[1] - model.weight[0]).detach()
    expected = EPSILON * (1 - 2 * batch.y)[:, None] * w / w.norm()
    torch.testing.assert_close(delta_of(method), expected.view_as(batch.x), rtol=1e-4, atol=1e-6)


def test_the_next_batch_goes_on_from_the_delta_before():
    model, batch = two_classes()
    method, optimiser = free_at(), frozen(model)
    step(model, method, batch, optimiser)
    delta = delta_of(method).clone()
    other = batch_of(middle_images(7, seed=5), labels(7, num_classes=2, seed=6))
    expected = F.cross_entropy(model(other.x + delta), other.y).item()
    assert step(model, method, other, optimiser) == pytest.approx(expected, rel=1e-5)


def test_attacked_images_lie_in_the_box_and_the_ball():
    model, method = LinearModel(), free_at(epsilon=0.4)
    x = torch.rand(7, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    optimiser = frozen(model)
    for images in (x, x, x.flip(0), 1 - x):
        step(model, method, batch_of(images, labels(7)), optimiser)
        assert seen[-1].min() >= 0.0 and seen[-1].max() <= 1.0
        assert (seen[-1] - images).abs().max() <= 0.4 + 1e-6


def test_a_smaller_last_batch_moves_the_first_rows_only():
    model, batch = two_classes()
    method, optimiser = free_at(), frozen(model)
    step(model, method, batch, optimiser)
    before = delta_of(method).clone()
    small = batch_of(batch.x[:3].flip(0), 1 - batch.y[:3])
    step(model, method, small, optimiser)
    expected = (before[:3] + EPSILON * worst_signs(model, small)).clamp(-EPSILON, EPSILON)
    torch.testing.assert_close(delta_of(method)[:3], expected, rtol=0, atol=1e-6)
    assert torch.equal(delta_of(method)[3:], before[3:])


def test_pieces_of_an_accumulated_batch_have_rows_of_their_own():
    model, batch = two_classes()
    whole, pieces, optimiser = free_at(), free_at(), frozen(model)
    for _ in range(2):
        step(model, whole, batch, optimiser)
        for part in (slice(0, 4), slice(4, 7)):
            pieces.training_loss(model, batch_of(batch.x[part], batch.y[part])).loss.backward()
            pieces.after_backward(model)
        pieces.after_step(model)
    assert torch.equal(delta_of(whole), delta_of(pieces))


def released_loop(model, optimiser, batches, num_replays: int) -> Tensor:
    """Train as the PyTorch port does; return its delta."""
    delta = torch.zeros(len(batches[0].y), *batches[0].x.shape[1:], requires_grad=True)
    for batch in batches:
        for _ in range(num_replays):
            loss = F.cross_entropy(model(batch.x + delta[: len(batch.x)]), batch.y)
            optimiser.zero_grad()
            loss.backward()
            assert delta.grad is not None
            moved = delta.detach() + EPSILON * delta.grad.sign()
            delta.data = moved.clamp(-EPSILON, EPSILON)
            optimiser.step()
            delta.grad.zero_()
    return delta.detach()


def test_training_is_that_of_the_released_port():
    batches = [batch_of(middle_images(n, (1, 8, 8), seed=n), labels(n, seed=n)) for n in (8, 7, 5)]
    ours = SmallNet().train()
    ours.layers[3] = nn.Identity()  # no dropout
    theirs = copy.deepcopy(ours)
    optimisers = [
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in (ours, theirs)
    ]
    method = free_at(num_replays=3)
    for batch in batches:
        for _ in range(method.num_replays):
            step(ours, method, batch, optimisers[0])
    delta = released_loop(theirs, optimisers[1], batches, 3)
    torch.testing.assert_close(delta_of(method), delta, rtol=0, atol=1e-6)
    for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6)


def test_radius_and_step_can_grow():
    model, batch = two_classes()
    method, optimiser = free_at(warmup_epochs=4), frozen(model)
    for epoch, share in ((0, 0.0), (1, 0.25), (4, 1.0), (7, 1.0)):
        method.on_epoch_start(epoch, 10)
        step(model, method, batch, optimiser)
        expected = share * EPSILON * worst_signs(model, batch)
        torch.testing.assert_close(delta_of(method), expected, rtol=0, atol=1e-6)


def test_recipe_of_the_paper_is_the_default():
    method = create_method("free_at")
    assert method.num_replays == method.settings.num_replays == 8
    assert (method.settings.epsilon, method.settings.step_size) == (8 / 255, None)
