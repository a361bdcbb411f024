"""Training runs: what they do, how they do it, and what they leave behind."""

from robust_core.training.checkpoint import (
    CheckpointInfo,
    checkpoint_info,
    import_checkpoint,
    list_checkpoints,
    load_model,
    save_checkpoint,
)
from robust_core.training.config import RunConfig
from robust_core.training.presets import preset
from robust_core.training.run_directory import RunDirectory, RunStatus
from robust_core.training.trainer import train

__all__ = [
    "CheckpointInfo",
    "RunConfig",
    "RunDirectory",
    "RunStatus",
    "checkpoint_info",
    "import_checkpoint",
    "list_checkpoints",
    "load_model",
    "preset",
    "save_checkpoint",
    "train",
]
