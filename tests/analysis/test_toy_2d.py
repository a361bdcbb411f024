"""The two-dimensional toy of PAG: geometry, and what PAG changes."""

import math
import os

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from robust_core.analysis.toy_2d import (
    HALF_WIDTH,
    WEIGHT,
    ToyNetwork,
    ToyPoints,
    as_images,
    correct_under_attack,
    decision_map,
    draw_points,
    train_toy,
)
from robust_core.errors import InputError
from robust_core.methods.base import Batch, create_method
from robust_core.methods.pag import PAG

LONG = bool(os.environ.get("ROBUST_LONG_TESTS"))
EPSILONS = [0, 5, 10, 15, 20]
SHEET = {  # correct of 600 at the radii from 5 on, for the three seeds of pag.md, section 2.5
    "standard": [[398, 254, 148, 16], [100, 100, 85, 2], [600, 524, 138, 3]],
    "pag": [[592, 543, 498, 411], [500, 500, 499, 434], [600, 600, 595, 456]],
}


def test_points_lie_on_the_line_in_six_clusters():
    data = draw_points(200, seed=0)
    first, second = data.points.T
    torch.testing.assert_close(second, 2 * first)
    assert data.points.shape == (1200, 2)
    assert data.y.bincount().tolist() == [600, 600]
    centres = first.view(6, 200).mean(1)
    expected = torch.tensor([-50.0, -10.0, 30.0, -30.0, 10.0, 50.0])
    torch.testing.assert_close(centres, expected, atol=0.3, rtol=0)
    assert first.view(6, 200).std(1).sub(1).abs().max() < 0.2


def test_neighbouring_centres_are_as_far_apart_as_the_sheet_says():
    """Golden: 44.7 apart, so the largest margin is 22.4."""
    centres = draw_points(2000, seed=1).points.view(6, 2000, 2).mean(1)
    order = centres[:, 0].argsort()
    gaps = (centres[order][1:] - centres[order][:-1]).norm(dim=1)
    assert gaps.mean().item() == pytest.approx(44.7, abs=0.1)
    assert 20 * math.sqrt(5) / 2 == pytest.approx(22.4, abs=0.05)


def test_points_become_images_and_the_network_sees_points():
    data = draw_points(5, seed=0)
    x = as_images(data.points)
    assert x.shape == (30, 1, 1, 2)
    assert x.min() >= 0 and x.max() <= 1
    network = ToyNetwork()
    seen = []
    network.hidden.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(x)
    torch.testing.assert_close(seen[0], data.points, atol=1e-3, rtol=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 2 * 32 + 32 + 64 + 2


def linear_network(slope: float) -> ToyNetwork:
    """Class 1 where x1 > 0, whatever x2 is: margin |x1|."""
    network = ToyNetwork().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.hidden.weight[0, 0] = 1.0
        network.hidden.weight[1, 0] = -1.0
        network.classifier.weight[1, 0] = slope
        network.classifier.weight[0, 1] = slope
    return network


def test_attack_moves_points_by_epsilon_in_the_plane():
    data = draw_points(50, seed=0)
    first = data.points[:, 0]
    network = linear_network(0.1)
    own = (first > 0).long() == data.y
    counts = correct_under_attack(network, data, [0.0, 5.0, 15.0, 40.0])
    expected = [int((own & (first.abs() > epsilon)).sum()) for epsilon in (0, 5, 15)]
    assert counts[:3] == expected
    # ten steps of length 2 reach no further than 20, whatever the radius
    assert counts[3] == int((own & (first.abs() > 20)).sum())


def test_decision_map_is_the_plane_with_x1_to_the_right():
    shown = decision_map(linear_network(1.0), reach=50.0, size=5)
    assert shown.first.tolist() == [-50.0, -25.0, 0.0, 25.0, 50.0]
    assert shown.probability.shape == (5, 5)
    assert (shown.probability[:, 0] < 0.01).all()
    assert (shown.probability[:, 4] > 0.99).all()
    torch.testing.assert_close(shown.probability[:, 2], torch.full((5,), 0.5), atol=1e-3, rtol=0)


def pag_on(network: ToyNetwork, data: ToyPoints) -> PAG:
    method = create_method("pag", {"targets": "NN", "weight": WEIGHT})
    assert isinstance(method, PAG)
    method.attach(network)
    method.prepare(as_images(data.points), data.y)
    return method


def alignment_term(network: ToyNetwork, data: ToyPoints) -> float:
    """The mean over points of the sum over classes of 1 - cos, which training weights with 5."""
    x = as_images(data.points)
    output = pag_on(network, data).training_loss(network, Batch(x, data.y, torch.arange(len(x))))
    term = 2 * (1 - output.terms["alignment"])
    total = output.terms["cross_entropy"] + WEIGHT * term
    assert output.loss.item() == pytest.approx(total, rel=1e-4)
    return term


def same_as_sheet(counts: list[list[int]], sheet: list[list[int]]) -> list[bool]:
    """At each radius from 5 on: may both be draws of one distribution (rank test, 5 %)?"""
    ours = np.array(counts)[:, 1:]
    return [
        bool(mannwhitneyu(one, other, method="asymptotic").pvalue > 0.05)
        for one, other in zip(ours.T, np.array(sheet).T, strict=True)
    ]


def test_targets_leave_the_alignment_term_a_floor_of_one():
    """Golden: ideal about 1. Both gradients are opposite, targets are opposite half of the time."""
    data = draw_points(200, seed=0)
    x = as_images(data.points)
    index = torch.arange(len(x))
    classes = torch.tensor([0, 1]).expand(len(x), 2)
    targets = pag_on(ToyNetwork(), data).draw_targets(x, index, classes).flatten(2)  # [N, 2, 2]
    length = targets.norm(dim=2, keepdim=True)
    assert (length > 0).double().mean() > 0.99  # two points may be one image
    unit = targets / length.clamp_min(1e-30)
    # with gradients u and -u the term is 2 - <u, t_0 - t_1>, least for u along t_0 - t_1
    least = 2 - (unit[:, 0] - unit[:, 1]).norm(dim=1)
    assert least.mean().item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_pag_turns_the_boundary():
    """A tenth of the sheet's points; there PAG, too, lost a cluster with this seed (500 of 600)."""
    train, test = draw_points(100, seed=0), draw_points(100, seed=1)
    standard, pag = (
        train_toy(method, train, epochs=150, batch_size=64, seed=1)
        for method in ("standard", "pag")
    )
    of_standard, of_pag = (
        correct_under_attack(network, test, [0, 5, 10]) for network in (standard, pag)
    )
    assert of_standard[0] >= 500 and of_pag[0] >= 450
    assert of_pag[1] > of_standard[1] + 200  # measured: 497 and 0 of 600
    assert of_pag[2] > of_standard[2] + 200
    assert 1.0 < alignment_term(pag, train) < alignment_term(standard, train) - 0.1


@pytest.mark.skipif(not LONG, reason="twenty networks, minutes of a core: set ROBUST_LONG_TESTS=1")
def test_ten_seeds_at_the_sheets_size_agree_with_its_three():
    """The rule: no radius tells ours from the sheet's; with methods exchanged, 15 and 20 do.

    Medians alone are no rule: three seeds do not show the spread (see the module's table).
    """
    counts: dict[str, list[list[int]]] = {method: [] for method in SHEET}
    terms = []
    for seed in range(10):  # of the points, too: some draws cost nearly every PAG network a cluster
        train, test = draw_points(1000, seed=seed), draw_points(100, seed=100 + seed)
        for method, found in counts.items():
            network = train_toy(method, train, seed=seed)
            found.append(correct_under_attack(network, test, EPSILONS))
            if method == "pag":
                terms.append(alignment_term(network, train))
    assert all(same_as_sheet(counts["standard"], SHEET["standard"])), counts
    assert all(same_as_sheet(counts["pag"], SHEET["pag"])), counts
    assert not any(same_as_sheet(counts["standard"], SHEET["pag"])[2:])
    assert not any(same_as_sheet(counts["pag"], SHEET["standard"])[2:])
    medians = {method: np.median(found, axis=0) for method, found in counts.items()}
    assert (medians["pag"][1:] > medians["standard"][1:] + 200).all()  # measured: 252 and more
    assert [count[0] for count in counts["standard"]] == [600] * 10
    assert min(terms) > 1.0
    assert np.median(terms) == pytest.approx(1.4, abs=0.1)  # golden: near 1.4


def test_training_repeats_itself_and_leaves_the_generator_alone():
    data = draw_points(10, seed=0)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    one, other = (train_toy("pag", data, epochs=1, seed=3) for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    weights = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: train_toy("trades", draw_points(2, 0)), "standard or pag, got 'trades'"),
        (
            lambda: decision_map(ToyNetwork(), reach=2 * HALF_WIDTH),
            r"reach must be in \(0, 150\], got 300",
        ),
        (lambda: decision_map(ToyNetwork(), size=1), r"size must be in \[2, 1001\], got 1"),
    ],
)
def test_wrong_input(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
