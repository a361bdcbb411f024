"""The contract of a training method and the registry."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from robust_core.data.augmentation import Change
from robust_core.methods.parts.angular_margin import AngularMargin, EmbeddingChoice
from robust_core.methods.recipe import Recipe
from robust_core.models.base import Classifier
from robust_core.models.heads import retract_weights
from robust_core.parameters import Parameters
from robust_core.registry import Registry

METHODS: Registry["type[TrainingMethod]"] = Registry("method", "robust_core.methods")


@dataclass(frozen=True)
class Batch:
    """Training images x [B,C,H,W] in [0, 1], labels y [B] int64, positions in the data set [B].

    Attributes:
        change: what augmentation has done to the images; None: nothing.
        before: the images before it, so that x = change(before); None: x itself.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    change: Change | None = None
    before: Tensor | None = None

    def split(self, number: int) -> "list[Batch]":
        """Return the batch in `number` pieces of nearly equal size."""
        nothing = [None] * number
        pieces = zip(
            self.x.tensor_split(number),
            self.y.tensor_split(number),
            self.index.tensor_split(number),
            nothing if self.change is None else self.change.tensor_split(number),
            nothing if self.before is None else self.before.tensor_split(number),
            strict=True,
        )
        return [Batch(*piece) for piece in pieces]


@dataclass(frozen=True)
class MethodOutput:
    """The loss to minimise (a scalar with a graph) and its named parts for the curves."""

    loss: Tensor
    terms: dict[str, float]


@dataclass(frozen=True)
class Onset:
    """Something of a method that sets in only after some epochs.

    Attributes:
        what: the sentence that becomes true, e.g. "the attack has its full epsilon".
        setting: what delays it, e.g. "warmup_epochs 5".
        epoch: the first, from 0, in which it is true.
        needed: whether a run without such an epoch is refused, and its best epoch is one of them;
            otherwise the log of a shorter run says that it never comes.
    """

    what: str
    setting: str
    epoch: int
    needed: bool = True


class TrainingMethod(nn.Module, ABC):
    """Turns a batch into a loss; the trainer owns everything else.

    The life of a method in a run: `attach` (the fresh network), `prepare` (the training images),
    its state dict loaded where a run resumes; then every epoch `on_epoch_start`, for every batch
    and replay `training_loss`, backward, `after_backward`, the optimiser's step, `after_step`, and
    at the end `reason_to_stop`.

    The method may own auxiliary networks and their optimisers (they travel in its state dict; an
    optimiser's state through `get_extra_state`). The state of each single process travels through
    `own_state`. Randomness comes from torch's default generator,
    which the trainer seeds for every epoch, so a resumed run repeats an uninterrupted one bit for
    bit.

    Attributes:
        recipe: what it is trained with; every method declares its own.
        num_replays: optimiser steps taken on every batch, each with a `training_loss` of its own.
        shipped_parts: names of the submodules that a checkpoint carries beside the network's
            weights, because `inference` needs them.
        differentiates_twice: whether the loss contains an input gradient with a graph.
        needs_stored_images: whether the loss needs to know what each image was before it was
            changed, and to differentiate the change; RandAugment is out of the question then.
    """

    Parameters: ClassVar[type[Parameters]]
    recipe: ClassVar[Recipe]
    shipped_parts: ClassVar[tuple[str, ...]] = ()
    differentiates_twice: ClassVar[bool] = False
    needs_stored_images: ClassVar[bool] = False
    num_replays: int = 1

    def __init__(self, parameters: Any) -> None:
        """Keep the frozen parameters as `settings` (`parameters` is taken by nn.Module).

        A method offers hypersphere embedding by naming the parameters of `EmbeddingChoice` and by
        passing its logits through `angular_margin`.
        """
        super().__init__()
        self.settings = parameters
        self.angular_margin = AngularMargin.of(parameters)

    @classmethod
    def onsets(cls, settings: Any) -> tuple[Onset, ...]:
        """Return what these parameters put off to a later epoch; nothing by default."""
        return ()

    def attach(self, model: Classifier) -> None:
        """Build what depends on the network, such as a discriminator of its logits.

        Called once, before training and when a checkpoint is loaded for inference; the trainer
        moves the method to the network's device afterwards. Here it checks the head: with
        hypersphere embedding it must be a cosine one, without the logits must be no bare cosines;
        methods that scale cosines in another way have an `attach` of their own.

        Raises:
            InputError: the network lacks what the method needs.
        """
        offered = isinstance(self.settings, EmbeddingChoice)
        without = "training without hypersphere embedding" if offered else type(self).__name__
        self.angular_margin.attach(model, without)

    def reference(self) -> str | None:
        """Return the name of a checkpoint whose network training consults; None: there is none."""
        return None

    def consult(self, model: Classifier) -> None:
        """Take the network that `reference` names: in eval mode, frozen, on the training device.

        Called between `attach` and `prepare`, for training only; it is no part of the state.

        Raises:
            InputError: the network does not fit.
        """

    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Look at the training images x [N,C,H,W] in [0, 1] and labels y [N] before training.

        Called on a new and on a resumed run alike, on the device of training; must not depend on
        the default generator's state.
        """

    @abstractmethod
    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return the loss of one batch; `model` is in train mode and is left in train mode."""

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Do what the method needs before epoch `epoch` (from 0)."""

    def after_backward(self, model: nn.Module) -> None:
        """Do what the method needs between a backward pass and the optimiser's step."""

    def after_step(self, model: nn.Module) -> None:
        """Do what the method needs after the optimiser's step; put cosine heads on the sphere."""
        retract_weights(model)

    def reason_to_stop(self, model: nn.Module) -> str | None:
        """Return why training must end after this epoch, whose weights are then discarded.

        None (the default) goes on.
        """
        return None

    def loss_floors(self, num_classes: int) -> dict[str, float]:
        """Return the least values of those terms that cannot get near zero, by their names.

        A term that ends a little above its floor is no sign of failure.
        """
        return {}

    def own_state(self) -> Tensor | None:
        """Return what this process has learnt that the other processes have not; None: nothing.

        It is kept beside the state dict, which is the same in all processes.
        """
        return None

    def set_own_state(self, state: Tensor | None) -> None:
        """Go on with what `own_state` returned in this process, on the device of training.

        None: nothing was kept for it, for instance because there are more processes now.
        """

    def card_notes(self, model: Classifier, x: Tensor, y: Tensor, data: str) -> tuple[str, ...]:
        """Return what a card must say of the trained network that its accuracies do not show.

        Args:
            model: the trained network, in eval mode.
            x: test images [N,C,H,W] in [0, 1].
            y: their labels [N].
            data: name of the data set.
        """
        return ()

    def inferences(self, model: Classifier) -> tuple[str, ...]:
        """Return the names of the ways to use the trained network other than calling it.

        The network's own, and "scaled" with hypersphere embedding.
        """
        return self.angular_margin.inferences(model)

    def inference(self, name: str, model: Classifier) -> Classifier:
        """Return the classifier that uses the trained `model` the way that `name` says.

        Args:
            name: one of `inferences(model)`.
            model: the trained network, in eval mode; shared, not changed.
        """
        return self.angular_margin.inference(name, model)


def create_method(name: str, parameters: Mapping[str, Any] | None = None) -> TrainingMethod:
    """Return the training method registered as `name`.

    Raises:
        InputError: unknown name or parameter, or a value out of its range.
    """
    method: Any = METHODS.get(name)
    return method(method.Parameters.create(parameters or {}))
