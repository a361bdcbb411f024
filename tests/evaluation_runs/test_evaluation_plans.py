"""What a plan says, and what is wrong with it."""

import pytest

from robust_core.errors import InputError
from robust_core.evaluation_runs import (
    EvaluationDirectory,
    EvaluationPlan,
    run_evaluation,
)
from tests.evaluation_runs.plans import ATTACKS, curve, make_plan

pytestmark = pytest.mark.usefixtures("shelf")


@pytest.mark.slow
def test_plan_is_strict_json_with_defaults_written_out(tmp_path) -> None:
    plan = make_plan(attacks=[*ATTACKS, ATTACKS[0]], data={"name": "digits"})
    (tmp_path / "plan.json").write_text(plan.to_json())
    assert EvaluationPlan.from_json(tmp_path / "plan.json") == plan
    assert plan.attacks[0].parameters["num_restarts"] == 1
    assert plan.labels == ("pgd", "random_search", "pgd (2)")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"checkpoints": []}, "checkpoints should"),
        ({"checkpoints": ["tiny", "tiny"]}, "'tiny' twice"),
        ({"attacks": [{"name": "pdg"}]}, "did you mean 'pgd'?"),
        ({"attacks": [{"name": "pgd", "parameters": {"epsilon": 8}}]}, "did you mean 8/255?"),
        ({"data": {"name": "digit"}}, "did you mean 'digits'?"),
        (curve("epsilon", 0.1, 2.0), r"epsilon must be in \[0, 1\] for Linf, got 2"),
        (curve("num_steps", 0), "num_steps must be >= 1, got 0"),
        (curve("num_steps", 1.5), "num_steps should be a valid integer"),
        (curve("loss", 1), "parameter must be one of"),
        ({"attacks": [], **curve("epsilon", 0.1)}, "no attack of the plan has epsilon"),
        (
            {"attacks": [{"name": "autoattack"}], **curve("eot_samples", 20)},
            "no attack of the plan has eot_samples",
        ),
        ({"curves": 2 * curve("epsilon", 0.1)["curves"]}, "got epsilon twice"),
        (
            {"attacks": [ATTACKS[0] | {"surrogate": "other", "crafted_on": ""}]},
            "computed on one model",
        ),
        ({"num_images": 0}, "num_images must be >= 1, got 0"),
        ({"speed": 1}, "unknown parameter 'speed'"),
    ],
)
def test_wrong_plans_are_one_sentence(changes, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        make_plan(**changes)


def test_what_does_not_exist_or_fit_is_one_sentence(tmp_path) -> None:
    with pytest.raises(InputError, match="unknown checkpoint 'tiyn'"):
        EvaluationDirectory.create(make_plan(checkpoints=["tiyn"]))
    with pytest.raises(InputError, match="unknown checkpoint 'none'"):
        EvaluationDirectory.create(make_plan(attacks=[ATTACKS[0] | {"surrogate": "none"}]))
    with pytest.raises(InputError, match="a plan or a directory"):
        run_evaluation()
    shapes = {"name": "shapes"}
    run = EvaluationDirectory.create(make_plan(data=shapes))
    with pytest.raises(InputError, match="tiny takes images 1x32x32 of 10 classes, but shapes has"):
        run_evaluation(run=run)
    assert run.status().state == "failed"
    with pytest.raises(InputError, match="should be an evaluation directory"):
        run_evaluation(run=EvaluationDirectory(tmp_path / "none"))
