"""One step of training: the gradients of a batch, gathered over pieces and processes."""

import torch
from torch import Tensor

from robust_core.config.run import RunConfig
from robust_core.data.augmentation import Augmentation, draw_change, rand_augment
from robust_core.distributed import ProcessGroup, average_gradients
from robust_core.errors import InputError
from robust_core.methods.base import Batch
from robust_core.training.schedules import SMALLEST_PART
from robust_core.training.state import TrainingState


class TrainingStep:
    """What turns a batch into an update of the network."""

    def __init__(
        self,
        config: RunConfig,
        state: TrainingState,
        x: Tensor,
        y: Tensor,
        *,
        augmentation: Augmentation = "none",
        group: ProcessGroup | None = None,
    ) -> None:
        """Take the training set [N,C,H,W] and its labels [N], on the device of `state`'s model."""
        self.config, self.state, self.x, self.y = config, state, x, y
        self.augmentation: Augmentation = augmentation
        self.group = group or ProcessGroup()

    def __call__(self, index: Tensor, rate: float, step: int) -> dict[str, float]:
        """Train on images `index` [B]; return this process's part of the mean terms.

        Args:
            index: positions in the training set.
            rate: the learning rate.
            step: its number, from 0, for the average of the weights.

        Raises:
            InputError: the loss is not finite.
        """
        state, group = self.state, self.group
        part = index[group.rank :: group.size]
        stored = self.x[part]
        if self.config.rand_augment:
            stored = rand_augment(stored)
        change = draw_change(self.augmentation, stored.shape, border=self.config.crop_border)
        images = stored if change is None else change(stored)
        if self.state.arrangement.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        whole = Batch(images, self.y[part], part, change, stored)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        sums: dict[str, float] = {}
        replays = state.method.num_replays
        share = len(part) / len(index)
        for replay in range(replays):
            for name, value in self._take_step(whole, len(index)).items():
                sums[name] = sums.get(name, 0.0) + share * value / replays
            if state.average is not None:
                state.average.update(state.model, step * replays + replay)
        return sums

    def _take_step(self, whole: Batch, batch_size: int) -> dict[str, float]:
        """Take one step of the optimiser, on gradients gathered over pieces and processes.

        Args:
            whole: what this process has of the batch.
            batch_size: images of all processes together.
        """
        state, bfloat16 = self.state, self.state.arrangement.bfloat16
        state.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        smallest_part = batch_size // self.group.size  # so that every process makes as many pieces
        num_pieces = max(1, min(self.config.accumulate, smallest_part // SMALLEST_PART))
        for batch in whole.split(num_pieces):
            weight = len(batch.x) / len(whole.x)
            with torch.autocast(self.x.device.type, dtype=torch.bfloat16, enabled=bfloat16):
                output = state.method.training_loss(state.model, batch)
            if not bool(torch.isfinite(output.loss)):
                raise InputError(diverged(self.config, state.epoch))
            (output.loss if num_pieces == 1 else weight * output.loss).backward()
            state.method.after_backward(state.model)
            for name, value in output.terms.items():
                sums[name] = sums.get(name, 0.0) + weight * value
        average_gradients(state.model.parameters(), len(whole.x) / batch_size)
        state.optimiser.step()
        state.method.after_step(state.model)
        return sums


def diverged(config: RunConfig, epoch: int) -> str:
    """Return the sentence for training whose numbers have run away."""
    return (
        f"training diverged in epoch {epoch + 1}: loss or weights are no longer finite numbers; "
        f"expected a learning rate that keeps them so, got {config.optimiser.learning_rate:g}"
    )
