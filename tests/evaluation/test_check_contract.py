"""What every registered check promises."""

import threading

import pytest
import torch
from torch import nn

from robust_core.attacks.base import create_attack
from robust_core.evaluation.check import (
    CHECKS,
    PlannedCase,
    checks_cost,
    list_checks,
)
from robust_core.evaluation.check_text import check_title, check_unit, reasons
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation.reliability import ReliabilityCase
from robust_core.models.base import create_model

PGD = create_attack("pgd", epsilon=0.03, num_steps=2)


def finding(name: str) -> Finding:
    return Finding(name, Severity.FAIL, 1.0, 0.0, "...")


@pytest.mark.parametrize("name", CHECKS.names())
def test_a_check_is_complete_in_its_own_place(name):
    check = CHECKS.get(name)
    assert check.name == name
    assert check.title and check.title[0].isupper() and not check.title.endswith(".")
    assert check.reason and check.reason[0].islower() and not check.reason.endswith(".")
    assert min(check.cost(PlannedCase(PGD, stochastic=True, eot_samples=3))) >= 0
    model = create_model("small_cnn", (1, 8, 8), 3).eval().requires_grad_(False)
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    subject = ReliabilityCase(model, x, model(x).argmax(dim=1), PGD, effort=0.05)
    subject.report(PGD)  # the number itself
    found = check(subject)
    assert found is None or found.name == name


def test_places_and_ranks_are_given_once():
    checks = list_checks()
    assert len({check.order for check in checks}) == len(checks)
    assert sorted(check.rank for check in checks) == list(range(1, len(checks) + 1))
    assert checks[0].name == "logits"
    assert checks[-1].name == "finite_outputs", "it looks at what all the others have attacked"


def test_the_most_telling_reason_comes_first_and_unknown_findings_have_none():
    found = [finding(name) for name in ("converged", "no_longer_there", "black_box")]
    assert reasons(found) == [CHECKS.get("black_box").reason, CHECKS.get("converged").reason]


def test_findings_of_old_cards_have_a_title():
    assert check_title("no_longer_there") == "No longer there"
    assert check_unit("no_longer_there") == "share"
    assert check_title("black_box") == "Gradient-free attacks"


def test_the_cost_follows_the_attack_the_effort_and_the_noise():
    long = create_attack("pgd", epsilon=0.03, num_steps=20)
    assert checks_cost(PlannedCase(long)).passes > 5 * checks_cost(PlannedCase(PGD)).passes
    assert checks_cost(PlannedCase(PGD, 0.4)).queries < checks_cost(PlannedCase(PGD)).queries
    noisy = PlannedCase(PGD, stochastic=True)
    assert checks_cost(noisy).passes >= checks_cost(PlannedCase(PGD)).passes + 25 * PGD.passes()
    square = create_attack("square", epsilon=0.03, num_queries=100)
    assert checks_cost(PlannedCase(square)).queries > 4 * 100


class Meeting(nn.Module):
    """Waits in every pass, once it is told to, until another thread is in one, too."""

    def __init__(self, both: threading.Barrier) -> None:
        super().__init__()
        self.both, self.waits = both, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.waits:
            self.both.wait()
        return x.flatten(1)[:, :3]


@pytest.mark.parametrize("name", ["spread", "finite"])
def test_one_case_does_not_wait_for_another_in_the_middle_of_its_passes(name):
    both = threading.Barrier(2, timeout=30)
    found = []

    def measure() -> None:
        model = Meeting(both).eval()
        case = ReliabilityCase(
            model, torch.rand(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64), PGD
        )
        model.waits = True
        found.append(getattr(case, name))

    threads = [threading.Thread(target=measure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
