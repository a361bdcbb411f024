"""The time that a training is expected to take."""

import torch

from robust_core.training import estimate
from robust_core.training.estimate import estimate_seconds
from tests.training.conftest import tiny_config


def test_it_is_in_proportion_to_epochs_and_images(monkeypatch):
    monkeypatch.setattr(estimate, "_seconds", lambda work: (work(), 0.16)[1])
    config = tiny_config(evaluation={"num_images": 10})
    passes = config.validation_attack().passes()
    found = estimate_seconds(config, (1, 8, 8), 4, 300, 50)
    assert abs(found - config.epochs * 0.01 * (300 + 10 * passes)) < 1e-9


def test_it_leaves_the_random_numbers_of_others_where_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    estimate_seconds(tiny_config(), (1, 8, 8), 4, 300, 50)
    assert torch.equal(torch.rand(3), expected)
