"""What a checkpoint says about itself, and what that supports."""

from dataclasses import dataclass
from pathlib import Path

from robust_core.checkpoints.card import Card, RobustResult
from robust_core.checkpoints.folders import IMPORTED, Kind, kind_of
from robust_core.config.imported import CleanAccuracy, ImportConfig
from robust_core.config.run import RunConfig
from robust_core.errors import InputError
from robust_core.models.base import MODELS

ROBUST_ABOVE = 0.5  # robust accuracy
STATED = "stated by its file, not measured here"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself.

    Attributes:
        name: its name in the catalogue, or its path.
        path: the file.
        digest: SHA-256 of the file, in hexadecimal.
        config: the run that made it, or what is known of a model that was not trained here.
        image_shape: (C, H, W) of its images.
        num_classes: K. class_names: K names.
        epoch: complete epochs of training behind its weights; 0 for a model that was not trained
            here.
        measured: what was measured; accuracies in [0, 1], 95 % intervals. None: nothing yet, which
            only a model that was not trained here can say.
        inferences: names of the ways to use the network other than calling it; the reference
            "<name>:<inference>" stands for each.
        inference: the one that this reference names; empty for the network itself.
    """

    name: str
    path: Path
    digest: str
    config: RunConfig | ImportConfig
    image_shape: tuple[int, int, int]
    num_classes: int
    class_names: tuple[str, ...]
    epoch: int
    measured: Card | None
    inferences: tuple[str, ...] = ()
    inference: str = ""

    @property
    def imported(self) -> bool:
        """Whether the file came from elsewhere: its card says what nobody here has measured."""
        return self.name.startswith(f"{IMPORTED}/")

    @property
    def kind(self) -> Kind:
        """Whose it is: shipped, of a run, imported, or a person's own file."""
        return kind_of(self.name, self.path)

    @property
    def masks_gradients(self) -> bool:
        """Whether the network has a part that is known to hide its gradient."""
        return bool(MODELS.get(self.config.model.name).masking_parts)

    @property
    def stochastic(self) -> bool:
        """Whether two passes of one image can differ, as the network's kind says."""
        return MODELS.get(self.config.model.name).stochastic is True

    @property
    def shown_robust(self) -> bool:
        """Whether the card supports calling the model robust.

        The 95 % interval of the lowest robust accuracy of this inference mode must lie above one
        half, gradients must not be masked, and the card must have been measured here. The name
        of the training method does not count.
        """
        results = self.results
        if self.imported or not results or self.masks_gradients:
            return False
        lowest = min(results, key=lambda one: one.accuracy)
        return lowest.interval[0] > ROBUST_ABOVE

    @property
    def clean_result(self) -> tuple[int, int] | None:
        """Number of correctly classified clean images on the card, and of all images.

        None if the card has no clean accuracy for this inference mode. Before anything has attacked
        a model from elsewhere: as it was measured on arrival, if it was.
        """
        card = self.measured
        if card is None:
            clean = self.arrival
            return None if clean is None else (clean.num_correct, clean.num_images)
        if not self.inference:
            return round(card.clean_accuracy * card.num_images), card.num_images
        own = card.results_of(self.inference)
        if not own or own[0].clean_accuracy is None:
            return None
        return round(own[0].clean_accuracy * own[0].num_images), own[0].num_images

    @property
    def card(self) -> Card:
        """What was measured, of a model that something has attacked.

        Raises:
            InputError: nothing has.
        """
        if self.measured is None:
            raise InputError(f"no robust accuracy of {self.name} has been measured yet")
        return self.measured

    @property
    def arrival(self) -> CleanAccuracy | None:
        """The clean accuracy that a model from elsewhere had on arrival; None: not measured."""
        return self.config.origin.clean if isinstance(self.config, ImportConfig) else None

    @property
    def reported(self) -> RobustResult | None:
        """The result of this inference mode as its paper would report it, or its first; if any."""
        claims = (one for one in self.results if one.attack.role == "claim")
        return next(claims, next(iter(self.results), None))

    @property
    def results(self) -> tuple[RobustResult, ...]:
        """What was measured under attack in this inference mode; () before anything was."""
        return self.measured.results_of(self.inference) if self.measured else ()
