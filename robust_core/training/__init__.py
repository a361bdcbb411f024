"""Training runs: what they do, how they do it, and what they leave behind."""

from robust_core.training.directory import RunDirectory, RunStatus
from robust_core.training.trainer import train

__all__ = ["RunDirectory", "RunStatus", "train"]
