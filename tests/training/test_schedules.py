import pytest

from robust_core.config.run import ScheduleConfig
from robust_core.training.schedules import learning_rate


def rates(num_epochs: int = 4, steps_per_epoch: int = 5, **schedule) -> list[float]:
    config = ScheduleConfig(**schedule)
    steps = range(num_epochs * steps_per_epoch)
    return [learning_rate(config, 0.2, step, steps_per_epoch, num_epochs) for step in steps]


def test_constant() -> None:
    assert set(rates(name="constant")) == {0.2}


def test_step_milestones_are_shares_below_one_and_epochs_from_one() -> None:
    shares = rates(name="step", milestones=(0.5, 0.75), factor=0.1)
    assert shares[::5] == pytest.approx([0.2, 0.2, 0.02, 0.002])
    assert shares == rates(name="step", milestones=(2, 3), factor=0.1)
    assert len(set(shares[:10])) == 1


def test_cyclic_is_a_triangle_from_zero_over_the_maximum_to_zero() -> None:
    values = rates(name="cyclic")
    assert values[0] == 0.0
    assert values[10] == pytest.approx(0.2)
    assert values[5] == pytest.approx(0.1)
    assert values[15] == pytest.approx(0.1)
    assert values[-1] == pytest.approx(0.02)


def test_cyclic_peak_moves() -> None:
    values = rates(name="cyclic", peak=0.2)
    assert values.index(max(values)) == 4


def test_cosine_starts_high_and_passes_half_in_the_middle() -> None:
    values = rates(name="cosine")
    assert values[0] == pytest.approx(0.2)
    assert values[10] == pytest.approx(0.1)
    assert values == sorted(values, reverse=True)
