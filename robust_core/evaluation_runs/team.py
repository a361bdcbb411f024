"""The processes that share an evaluation out among themselves: one, or those of torchrun."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")
PATIENCE = timedelta(days=30)  # one process may be done long before another


@dataclass(frozen=True)
class Team:
    """This process among those that work together.

    Attributes:
        rank: its number. size: how many there are.
        local_rank: its number on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that keeps status and log and merges the results."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def broadcast(self, value: T) -> T:
        """Return the value that the leader has given."""
        if self.size == 1:
            return value
        box: list[T] = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes; for the leader only, the others get none."""
        if self.size == 1:
            return [value]
        boxes: list[T] | None = [value] * self.size if self.leads else None
        distributed.gather_object(value, boxes, dst=0)
        return boxes or []


@contextmanager
def assembled() -> Iterator[Team]:
    """Join the processes that torchrun has started, with gloo; a team of one without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Team()
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Team(distributed.get_rank(), size, int(os.environ["LOCAL_RANK"]))
    finally:
        distributed.destroy_process_group()
