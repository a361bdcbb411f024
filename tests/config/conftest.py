from tests.training.conftest import checkpoints

__all__ = ["checkpoints"]
