"""The attack that an advice names, on all images of the evaluation."""

import pytest

from robust_core.attacks.base import create_attack
from robust_core.evaluation.finding import Finding, NextAttack, Severity
from robust_core.evaluation.variants import suggested
from robust_core.evaluation_runs.follow_up import follow_up
from tests.evaluation_runs.plans import curve, make_plan

pytestmark = pytest.mark.usefixtures("shelf")


def finding(following: NextAttack | None) -> Finding:
    return Finding("transfer", Severity.FAIL, 1.0, 0.0, "...", next_attack=following)


def test_the_plan_has_the_checked_attack_and_the_named_one() -> None:
    plan = make_plan(seed=7, check_reliability=True, **curve("epsilon", 0.0, 0.1))
    named = suggested(create_attack("square", epsilon=0.08, num_queries=9, seed=12))
    following = follow_up(plan, "other", "pgd", finding(named))
    assert following is not None
    assert following.checkpoints == ("other",)
    assert following.attacks[0] == plan.attacks[0]
    assert following.attacks[1].attack(7) == create_attack(
        "square", epsilon=0.08, num_queries=9, seed=12
    )
    assert (following.num_images, following.seed, following.curves) == (50, 7, ())
    assert not following.check_reliability
    assert follow_up(plan, "other", "pgd", finding(None)) is None


def test_a_transfer_is_computed_on_the_model_of_the_check() -> None:
    named = suggested(create_attack("pgd", epsilon=0.08), transfer=True)
    plan = make_plan()
    following = follow_up(plan, "tiny", "pgd", finding(named))
    assert following is not None and following.attacks[1].surrogate == "other"
    alone = make_plan(checkpoints=["tiny"])  # no other model of the plan, none shipped fits
    assert follow_up(alone, "tiny", "pgd", finding(named)) is None


def test_a_finding_with_an_attack_survives_its_file() -> None:
    named = finding(suggested(create_attack("pgd", epsilon=0.08), transfer=True))
    assert Finding.from_json(named.to_json()) == named
    assert hash(named) == hash(Finding.from_json(named.to_json()))
