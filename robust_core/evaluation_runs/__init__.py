"""Evaluations of checkpoints under attacks that can be watched, stopped, resumed and shared out."""

from robust_core.evaluation_runs.directory import (
    EvaluationDirectory,
    EvaluationStatus,
    EvaluationSummary,
)
from robust_core.evaluation_runs.evaluator import run_evaluation
from robust_core.evaluation_runs.plan import EvaluationPlan, PlannedCurve
from robust_core.evaluation_runs.results import AttackResult, CheckpointResult, EvaluationResults

__all__ = [
    "AttackResult",
    "CheckpointResult",
    "EvaluationDirectory",
    "EvaluationPlan",
    "EvaluationResults",
    "EvaluationStatus",
    "EvaluationSummary",
    "PlannedCurve",
    "run_evaluation",
]
