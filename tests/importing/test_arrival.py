"""What is noticed when a model arrives."""

import pytest
import torch
from torch import nn

from robust_core.data.base import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.finding import Severity
from robust_core.importing import costs
from robust_core.importing.arrival import (
    CleanResult,
    check_behaviour,
    check_claim,
    check_order,
    check_scale,
    class_order,
    noise_images,
)
from robust_core.models.base import Classifier

SHAPE = (3, 8, 8)


class Network(Classifier):
    """A linear classifier behind a batch norm, whose outputs a test changes."""

    def __init__(self, change=lambda logits, x: logits):
        super().__init__(SHAPE, 4, 192)
        torch.manual_seed(0)
        self.norm = nn.BatchNorm2d(3)
        self.linear = nn.Linear(192, 4)
        self.change = change
        self.eval().requires_grad_(False)

    def forward(self, x):
        return self.change(self.linear(self.norm(x).flatten(1)), x)


class FourRows(Network):
    """Pools 8x8 maps to 4x4 and mixes the places into the rows, as old wide networks do."""

    def forward(self, x):
        return x.mean(dim=1).flatten(1).reshape(-1, 16)[:, :4]


def checked(model):
    return {one.name: one for one in check_behaviour(model, noise_images(SHAPE), "m.pt")}


def test_a_sound_network_passes():
    assert all(one.severity is Severity.OK for one in checked(Network()).values())


def test_the_state_is_left_alone():
    model = Network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    checked(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (FourRows(), r"m\.pt answers 8 rows for 2 images of 3x8x8; it was made for another size"),
        (Network(lambda logits, x: logits - logits.mean(dim=0)), "when the batch differs"),
        (Network(lambda logits, x: logits + torch.rand(4)), "answers differently each time"),
        (Network(lambda logits, x: logits.detach()), "gives no gradient to its input"),
        (Network(lambda logits, x: logits * torch.nan), "finite logits"),
        (Network(lambda logits, x: logits[:, :3]), "has 3 outputs, the data 4 classes"),
        (Network(lambda logits, x: (logits, x)), r"should return logits \[N,K\]"),
        (Network(lambda logits, x: x.mul_(0.5).flatten(1)[:, :4]), "writes to the images"),
        (Network(lambda logits, x: logits @ torch.zeros(3, 4)), "cannot take images of 3x8x8"),
    ],
)  # fmt: skip
def test_refusals(model, sentence):
    with pytest.raises(InputError, match=sentence):
        checked(model)


def test_training_mode_is_refused_with_the_advice_to_leave_it():
    model = Network()
    model.norm.train()
    with pytest.raises(
        InputError, match=r"still in training mode; export it after model\.eval\(\)"
    ):
        checked(model)


def test_probabilities_and_a_masked_gradient_are_warned_of():
    softmax = checked(Network(lambda logits, x: logits.softmax(dim=1)))["probabilities"]
    assert softmax.severity is Severity.WARN
    assert softmax.sentence.startswith("m.pt returns probabilities; bring the values before")
    steps = Network(lambda logits, x: logits * 0 + logits.detach())
    assert checked(steps)["gradient"].severity is Severity.WARN


def images_of_two():
    """Dark and bright images."""
    x = torch.cat([torch.full((50, 1, 2, 2), 0.25), torch.full((50, 1, 2, 2), 0.75)])
    y = torch.arange(2).repeat_interleave(50)
    return ImageSet("two", "test", x, y, ("dark", "bright"), torch.arange(100))


class Threshold(Classifier):
    """Bright if the mean of (x - mean) / std lies above `at`."""

    def __init__(self, mean, std, at):
        super().__init__((1, 2, 2), 2, 1)
        self.mean, self.std, self.at = mean, std, at

    def forward(self, x):
        value = ((x - self.mean) / self.std).mean(dim=(1, 2, 3)) - self.at
        return torch.stack([-value, value], dim=1)


def test_another_normalisation_that_is_better_is_named():
    images = images_of_two()
    right, wrong = Threshold(0.5, 0.5, 0.0), Threshold(0.0, 1.0, 0.0)  # the same weights
    assert check_scale(right, images, ((0.5,), (0.5,))).severity is Severity.OK
    found = check_scale(wrong, images, ((0.0,), (1.0,)))
    assert found.severity is Severity.WARN
    assert "50\u00a0% as declared, but 100\u00a0% with pixels in [-1, 1]" in found.sentence


class RedOrBlue(Classifier):
    """Knows red from blue; the first channel is red."""

    def forward(self, x):
        return x.mean(dim=(2, 3))[:, [0, 2]]


def test_channels_in_the_other_order_are_named():
    x = torch.zeros(100, 3, 2, 2)
    x[:50, 2], x[50:, 0] = 1.0, 1.0  # written as BGR: red is the last
    y = torch.arange(2).repeat_interleave(50)
    images = ImageSet("two", "test", x, y, ("red", "blue"), torch.arange(100))
    found = check_scale(RedOrBlue((3, 2, 2), 2, 1), images, ((0.0,), (1.0,)))
    assert found.severity is Severity.WARN
    assert "0\u00a0% as declared, but 100\u00a0% with channels in the order BGR" in found.sentence


def test_the_order_of_classes_is_recovered_exactly():
    y = torch.arange(10).repeat(10)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    prediction = order.argsort()[y]  # the output that stands for the label
    assert torch.equal(class_order(prediction, y, 10), order)
    names = tuple("abcdefghij")
    found = check_order(CleanResult(prediction, y, "test"), order, names)
    assert found.severity is Severity.WARN
    assert f"in the order {', '.join(names[i] for i in order)}." in found.sentence
    sound = CleanResult(y, y, "test")
    assert check_order(sound, class_order(y, y, 10), names).severity is Severity.OK


def test_guessing_is_no_other_order():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(10).repeat(20)
    result = CleanResult(torch.randint(10, (200,), generator=generator), y, "test")
    order = class_order(result.prediction, y, 10)
    assert check_order(result, order, tuple("abcdefghij")).severity is Severity.OK


@pytest.mark.parametrize(("claim", "severity"), [(0.5, Severity.OK), (0.9, Severity.WARN)])
def test_a_claim(claim, severity):
    y = torch.zeros(100, dtype=torch.int64)
    prediction = torch.arange(100) % 2
    assert check_claim(CleanResult(prediction, y, "test"), claim).severity is severity


def test_the_number_of_images_follows_from_the_operations(monkeypatch):
    model = Network()
    assert costs.num_images_to_measure(model) == costs.MOST_IMAGES
    monkeypatch.setattr(costs, "AFFORDABLE", 2 * 192 * 4 * 300)
    assert costs.num_images_to_measure(model) == 300
