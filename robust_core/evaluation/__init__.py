"""Judging classifiers: accuracy under attack, its curves, and whether a number can be trusted."""

from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.curves import Curve, accuracy_curve
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Finding, Severity, overall
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability

__all__ = [
    "Curve",
    "Finding",
    "ReliabilityCase",
    "RobustnessReport",
    "Severity",
    "accuracy_curve",
    "check_reliability",
    "evaluate",
    "overall",
]
