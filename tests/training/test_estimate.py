"""The time that a training will take, by two steps of it."""

import pytest

from robust_core.training import estimate
from robust_core.training.estimate import estimate_seconds
from tests.training.conftest import tiny_config


def test_the_estimate_grows_with_epochs_and_images(monkeypatch):
    monkeypatch.setattr(estimate, "_seconds", lambda work: (work() and None) or 0.1)
    config = tiny_config(epochs=3)
    extent = ((1, 32, 32), 10)
    number = estimate.MEASURED
    passes = config.validation_attack().passes()
    one = estimate_seconds(config, *extent, 1000, 50)
    assert one == pytest.approx(3 * (1000 * 0.1 / number + passes * 50 * 0.1 / number))
    more = estimate_seconds(config, *extent, 2000, 500)  # evaluated are at most 50
    assert more - one == pytest.approx(3 * 1000 * 0.1 / number)


def test_a_real_one_is_a_time():
    assert 0 < estimate_seconds(tiny_config(), (1, 32, 32), 10, 100, 10) < 600
