"""The contract of a training method and the registry."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from robust_core.parameters import Parameters
from robust_core.registry import Registry

METHODS: Registry["type[TrainingMethod]"] = Registry("method", "robust_core.methods")


@dataclass(frozen=True)
class Batch:
    """Training images x [B,C,H,W] in [0, 1], labels y [B] int64, positions in the data set [B]."""

    x: Tensor
    y: Tensor
    index: Tensor


@dataclass(frozen=True)
class MethodOutput:
    """The loss to minimise (a scalar with a graph) and its named parts for the curves."""

    loss: Tensor
    terms: dict[str, float]


class TrainingMethod(nn.Module, ABC):
    """Turns a batch into a loss; the trainer owns everything else.

    The method may own auxiliary networks (they travel in its state dict). Randomness comes from
    torch's default generator, which the trainer seeds for every epoch, so a resumed run repeats an
    uninterrupted one bit for bit.
    """

    Parameters: ClassVar[type[Parameters]]

    def __init__(self, parameters: Any) -> None:
        """Keep the frozen parameters as `settings` (`parameters` is taken by nn.Module)."""
        super().__init__()
        self.settings = parameters

    @abstractmethod
    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return the loss of one batch; `model` is in train mode and is left in train mode."""

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Do what the method needs before epoch `epoch` (from 0)."""

    def after_backward(self, model: nn.Module) -> None:
        """Do what the method needs between the backward pass and the optimiser's step."""

    def reason_to_stop(self, model: nn.Module) -> str | None:
        """Return why training must end after this epoch, whose weights are then discarded.

        None (the default) goes on.
        """
        return None


def create_method(name: str, parameters: Mapping[str, Any] | None = None) -> TrainingMethod:
    """Return the training method registered as `name`.

    Raises:
        InputError: unknown name or parameter, or a value out of its range.
    """
    method: Any = METHODS.get(name)
    return method(method.Parameters.create(parameters or {}))
