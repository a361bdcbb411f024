"""Evaluations of two small checkpoints, "tiny" and "other", and what of their results counts."""

import json
import os
from typing import Any

import torch

from robust_core.evaluation_runs import EvaluationPlan, EvaluationResults
from robust_core.paths import REPOSITORY

ATTACKS: list[dict[str, Any]] = [
    {"name": "pgd", "parameters": {"epsilon": 0.08, "num_steps": 3, "seed": 5}},
    {"name": "random_search", "parameters": {"epsilon": 0.08, "num_queries": 4}},
]


def make_plan(**changes: Any) -> EvaluationPlan:
    values = {"checkpoints": ["tiny", "other"], "attacks": ATTACKS, "num_images": 50}
    return EvaluationPlan.create({**values, "batch_size": 16, **changes})


def curve(parameter: str, *values: float) -> dict[str, Any]:
    return {"curves": [{"parameter": parameter, "values": values}]}


def numbers(results: EvaluationResults) -> Any:
    """Everything that was found, without what it took."""
    text = json.dumps(results.to_json())
    return json.loads(text, object_hook=without_seconds)


def without_seconds(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "seconds"}


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    threads = str(torch.get_num_threads())
    return {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": path}
