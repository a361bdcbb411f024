"""Attacks on inference modes: the comparison and the curve over step sizes, against the pieces."""

import pytest
import torch

from robust_core.analysis.inference_modes import (
    SMOOTH,
    compare_modes,
    comparison_passes,
    strong_attack,
)
from robust_core.analysis.transformation_steps import curve_passes, step_size_curve, step_sizes
from robust_core.evaluation.lowest import wilson_interval
from robust_core.inference.manifold_transformation import ManifoldTransformed
from robust_core.threat_model import Norm, ThreatModel
from tests.analysis.transformed import images, trained_pair
from tests.toys import LinearModel

ATTACK = strong_attack(3, ThreatModel(Norm.LINF, 0.1), 3, 0)


def modes(*names: str):
    network, method = trained_pair()
    return {name: method.inference(name, network).eval() if name else network for name in names}


def test_the_attack_needs_three_classes_for_its_loss():
    assert ATTACK.loss == "dlr"
    assert strong_attack(2, ATTACK.threat_model, 3, 0).loss == "cross_entropy"


def test_the_worst_case_is_the_worst_and_static_is_adaptive_for_the_base_network():
    surrogate = LinearModel((1, 8, 8))
    told = []
    found = compare_modes(
        modes("", "imt", "imt_plus", SMOOTH),
        images(),
        ATTACK,
        surrogate=("linear", surrogate),
        on_stage=lambda words, share: told.append((words, share)),
    )
    assert [result.name for result in found.results] == ["ATLD-", "ATLD", "ATLD+"]
    assert (found.surrogate, found.num_images) == ("linear", 20)
    assert found.results[0].static == found.results[0].adaptive
    assert found.results[0].smooth is None and found.results[1].smooth is not None
    for result in found.results:
        others = (result.clean, result.static, result.transfer, result.adaptive, result.smooth)
        assert result.worst <= min(value for value in others if value is not None)
    assert [words for words, _ in told] == [
        "Attacking ATLD-",
        "Attacking ATLD",
        "Attacking ATLD+",
        "Attacking ATLD, smoothly",
        "Attacking linear",
    ]
    assert told[0][1] == 0.0 and told[-1][1] == pytest.approx(13 / 14)


def test_without_smooth_mode_and_surrogate_there_are_no_such_numbers():
    found = compare_modes(modes("", "imt", "imt_plus"), images(), ATTACK)
    assert found.surrogate is None
    assert all(result.transfer is None and result.smooth is None for result in found.results)


@pytest.mark.slow
def test_the_curve_meets_the_comparison_at_no_step_and_at_the_default():
    own = modes("imt")["imt"]
    assert isinstance(own, ManifoldTransformed)
    compared = compare_modes(modes("", "imt", "imt_plus"), images(), ATTACK).results
    for limited, number in ((False, 1), (True, 2)):
        curve = step_size_curve(own, images(), ATTACK, limited=limited)
        assert curve.step_sizes == pytest.approx((0.0, 0.025, 0.05, 0.1, 0.15, 0.2))
        for place, result in ((0, compared[0]), (3, compared[number])):
            for kind in ("clean", "static", "adaptive"):
                assert curve.accuracies(kind)[place] == pytest.approx(getattr(result, kind))
        assert torch.equal(curve.right["static"][0], curve.right["adaptive"][0])
        for kind in ("clean", "static", "adaptive"):
            assert not (curve.right["worst"] & ~curve.right[kind]).any()
        row = curve.rows()[1]
        low, high = wilson_interval(int(curve.right["clean"][1].sum()), 20)
        assert (row["kind"], row["step_size"]) == ("clean", pytest.approx(0.025))
        assert (row["low"], row["high"]) == (low, high)


def test_step_sizes_stop_at_the_largest_radius():
    network, method = trained_pair()
    own = method.inference("imt", network)
    assert isinstance(own, ManifoldTransformed)
    far = ManifoldTransformed(own.model, own.discriminator, epsilon=0.8)
    assert step_sizes(far) == pytest.approx((0.0, 0.2, 0.4, 0.8, 1.0))
    assert curve_passes(far, ATTACK) == (1 + 3 * 4) * ATTACK.passes()
    assert comparison_passes(ATTACK) == 14 * ATTACK.passes()


def test_work_on_both_can_be_ended():
    def stop() -> None:
        raise InterruptedError

    own = modes("imt")["imt"]
    assert isinstance(own, ManifoldTransformed)
    with pytest.raises(InterruptedError):
        compare_modes(modes("", "imt", "imt_plus"), images(), ATTACK, on_pass=stop)
    with pytest.raises(InterruptedError):
        step_size_curve(own, images(), ATTACK, on_pass=stop)
