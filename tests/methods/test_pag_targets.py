"""Where the targets of PAG lead, and what they need."""

import pytest
import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.gradients import cosine
from robust_core.methods.base import create_method
from robust_core.methods.pag import PAG
from robust_core.methods.parts.gradient_targets import score_differences
from robust_core.models.base import create_model
from robust_core.models.denoiser import Denoiser
from tests.methods.pag_examples import NUM_CLASSES, SHAPE, Y, batch_of, network, pag
from tests.toys import middle_images


@pytest.fixture
def x() -> Tensor:
    return middle_images(8, SHAPE)


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


def test_one_image_is_part_of_the_state(x):
    model = network()
    method = pag(model, x, targets="OI", target_seed=5)
    chosen = method.state_dict()["one_image"]
    assert torch.equal(Y[chosen], torch.arange(NUM_CLASSES))


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
