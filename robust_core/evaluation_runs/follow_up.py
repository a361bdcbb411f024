"""What comes after a finding: the plan that runs the attack that its advice names."""

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.config.attack_run import AttackRun
from robust_core.evaluation.finding import Finding
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.evaluation_runs.subjects import transfer_source


def follow_up(
    plan: EvaluationPlan, checkpoint: str, label: str, finding: Finding
) -> EvaluationPlan | None:
    """Return the plan of the checked attack and of the one that a finding names; None: it has none.

    On all images of the evaluation, on this model alone, without checks.

    Args:
        plan: of the evaluation.
        checkpoint: the model of the finding.
        label: of the attack whose accuracy was checked.
        finding: of a check of it.

    Raises:
        InputError: the model is gone, or the finding names an attack that there is not.
    """
    named = finding.next_attack
    if named is None:
        return None
    surrogate = None
    if named.transfer:
        other = transfer_source(checkpoint_info(checkpoint), plan)
        if other is None:
            return None
        surrogate = other.name
    parameters = dict(named.parameters)
    if "seed" in parameters:  # the plan adds its own again
        parameters["seed"] = (parameters["seed"] - plan.seed) % 2**31
    checked = plan.attacks[plan.labels.index(label)]
    following = AttackRun(name=named.name, parameters=parameters, surrogate=surrogate)
    return EvaluationPlan.create(
        {
            **plan.model_dump(mode="json", exclude={"title", "curves"}),
            "checkpoints": [checkpoint],
            "attacks": [one.model_dump(mode="json") for one in (checked, following)],
            "check_reliability": False,
        }
    )
