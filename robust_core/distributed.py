"""Distributed work: one process, or the process group started by torchrun."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from robust_core.errors import InputError

T = TypeVar("T")
PATIENCE = timedelta(days=30)  # one process may be done long before another


@dataclass(frozen=True)
class ProcessGroup:
    """This process in its process group.

    Attributes:
        rank: of this process. size: number of processes (world size).
        local_rank: rank on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which keeps status and log and merges the results."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def broadcast(self, value: T) -> T:
        """Return the value given by the main process."""
        if self.size == 1:
            return value
        box: list[T] = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def agree(self, find: Callable[[], T]) -> T:
        """Return the main process's `find()`; if it raises `InputError`, all processes raise it."""
        found: T | None = None
        sentence: str | None = None
        if self.is_main:
            try:
                found = find()
            except InputError as error:
                sentence = str(error)
        found, sentence = self.broadcast((found, sentence))
        if sentence is not None:
            raise InputError(sentence)
        return cast(T, found)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Work of the main process while the others wait for its next `broadcast`.

        If it fails, the others receive True, which means stop.
        """
        try:
            yield
        except BaseException:
            self.broadcast(True)
            raise

    def average_running_statistics(self, *modules: nn.Module) -> None:
        """Replace the running statistics of every batch norm by their mean over all processes."""
        if self.size == 1:
            return
        for module in modules:
            for layer in module.modules():
                if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
                    for statistic in (layer.running_mean, layer.running_var):
                        assert statistic is not None
                        distributed.all_reduce(statistic)
                        statistic.div_(self.size)

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes; in the main process only, elsewhere an empty list."""
        if self.size == 1:
            return [value]
        boxes: list[T] | None = [value] * self.size if self.is_main else None
        distributed.gather_object(value, boxes, dst=0)
        return boxes or []


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Join torchrun's process group, with gloo; without torchrun, a group of one process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ProcessGroup()
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield ProcessGroup(distributed.get_rank(), size, int(os.environ["LOCAL_RANK"]))
        distributed.barrier()  # nobody closes a connection that another still holds
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor], share: float | None = None) -> None:
    """Replace the gradients of `parameters` by their weighted mean over all processes, in place.

    Does nothing in a single process. All processes must call it at the same place, with the same
    parameters.

    Args:
        parameters: those without a gradient are skipped.
        share: of the batch in this process; the shares add up to 1; None: equal shares.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    weight = 1.0 / distributed.get_world_size() if share is None else share
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients]).mul_(weight)
    distributed.all_reduce(flat)
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
