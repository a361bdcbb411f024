"""Evaluations of checkpoints under attacks that can be watched, stopped, resumed and shared out."""

from robust_core.evaluation_runs.directory import (
    EvaluationDirectory,
    EvaluationStatus,
    create_evaluation,
)
from robust_core.evaluation_runs.evaluator import run_evaluation
from robust_core.evaluation_runs.plan import EvaluationPlan, PlannedAttack, PlannedCurve
from robust_core.evaluation_runs.results import AttackResult, CheckpointResult, EvaluationResults

__all__ = [
    "AttackResult",
    "CheckpointResult",
    "EvaluationDirectory",
    "EvaluationPlan",
    "EvaluationResults",
    "EvaluationStatus",
    "PlannedAttack",
    "PlannedCurve",
    "create_evaluation",
    "run_evaluation",
]
