"""The contract of a data set and the registry."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust_core.data.augmentation import Augmentation
from robust_core.data.splits import stratified_order, stratified_split
from robust_core.errors import InputError
from robust_core.parameters import Parameters as ParameterModel
from robust_core.registry import Registry
from robust_core.threat_model import Norm, ThreatModel

DATA: Registry["DataSource"] = Registry("data set", "robust_core.data")

CUSTOMARY = ThreatModel(Norm.LINF, 8 / 255)
MOST_PREVIEWED = 12  # pictures in a preview
NO_DATA = "no data set"  # the name of the data of a model that was imported without any


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one split.

    Attributes:
        name: the data set, as `load_data` takes it. split: the split.
        x: images, float32 [N,C,H,W] in [0, 1].
        y: labels, int64 [N] in [0, K).
        class_names: K names.
        index: int64 [N], the position of each image in the data set's own train or test file. It
            does not change with the seed that divides training from validation.
        notes: what was done to a person's own files and what was left out, sentences for the log.
    """

    name: str
    split: str
    x: Tensor
    y: Tensor
    class_names: tuple[str, ...]
    index: Tensor
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.x.shape
        return channels, height, width

    def image_id(self, i: int) -> str:
        """Return the stable name of image `i` of this set, e.g. "digits/test/17"."""
        return f"{self.name}/{self.split}/{int(self.index[i])}"

    def subset(self, indices: Sequence[int] | slice | Tensor) -> Self:
        """Return the images at `indices` (positions in this set, or a mask), in that order."""
        chosen = indices if isinstance(indices, slice | Tensor) else torch.as_tensor(indices).long()
        return replace(self, x=self.x[chosen], y=self.y[chosen], index=self.index[chosen])

    def sample(self, num_images: int, seed: int = 0) -> Self:
        """Return `num_images` images in which every class has its share; the same for one seed.

        At least one image of every class is among them where `num_images` allows, however the set
        is sorted, and a smaller sample is the beginning of a larger one: see `stratified_order`.
        The whole set comes back unchanged if it has no more than `num_images` images.

        Raises:
            InputError: `num_images` is below 1 or the seed is negative.
        """
        if num_images < 1:
            raise InputError(f"num_images must be at least 1, got {num_images}")
        if num_images >= len(self):
            return self
        return self.in_sample_order(seed).subset(slice(num_images))

    def in_sample_order(self, seed: int = 0) -> Self:
        """Return all images in the order whose beginnings are the samples of `sample`."""
        return self.subset(torch.from_numpy(stratified_order(self.y.numpy(), len(self), seed)))


@dataclass(frozen=True, eq=False)
class StoredImages:
    """What a file of a data set holds: x uint8 [N,C,H,W], y int64 [N], K class names and notes."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class DataPreview:
    """What a look at a set of a person's own finds, before any of it is loaded.

    Attributes:
        class_names: K names.
        counts: split -> number of images of each class, [K], as a run with this seed divides them.
        x: the first training image of each of the first classes, uint8 [P,C,H,W], at the size used.
        y: their classes, int64 [P].
        notes: what is left out or changed, as `ImageSet.notes` will say.
    """

    class_names: tuple[str, ...]
    counts: Mapping[str, NDArray[np.int64]]
    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    notes: tuple[str, ...]


def first_of_classes(y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of the first image of each of the first classes, ascending."""
    positions = np.unique(y, return_index=True)[1][:MOST_PREVIEWED]
    return np.sort(positions).astype(np.int64)


class Extent(NamedTuple):
    """How large a data set is: images that a run trains on, and classes."""

    num_images: int
    num_classes: int


class NoParameters(ParameterModel):
    """A data set without choices."""


class DataSource(ABC):
    """A data set that `load_data` can load.

    A source stores a train and a test file (and maybe more of them). Validation images are taken
    from the train file unless it stores a validation file, too; the test file is the same for every
    seed, so no run ever trains on an image that another run is tested on.

    Attributes:
        name: what `load_data` takes. title: what a person reads.
        Parameters: the choices of the data set.
        threat_model: the budget that is customary in the field.
        augmentation: what fits these images while training (see `augmentation.draw_change`).
        splits: names of the splits; one without "train" cannot be trained on.
        embedded: whether it works without a network and without any file.
        validation_fraction: share of the train file that becomes the validation split.
    """

    name: str
    title: str
    Parameters: ClassVar[type[ParameterModel]] = NoParameters
    threat_model: ThreatModel = CUSTOMARY
    augmentation: Augmentation = "shift"
    splits: tuple[str, ...] = ("train", "validation", "test")
    embedded: bool = False
    validation_fraction: float = 0.1

    @abstractmethod
    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the images of one stored file: "train", "validation", "test" or an extra split.

        Raises:
            InputError: the file is missing or unusable.
        """

    def is_available(self, root: Path | None = None) -> bool:
        """Return whether the data set can be loaded without a network (a quick look only).

        `root` is the data folder; None takes `paths.data_folder()`.
        """
        return self.embedded

    @property
    def known_content(self) -> tuple[tuple[int, int, int], tuple[str, ...]] | None:
        """Image shape (C, H, W) and class names of a set whose files need not be here for it."""
        return None

    def present_splits(self, root: Path | None = None) -> tuple[str, ...]:
        """Return the splits that can be loaded without a network."""
        return self.splits if self.is_available(root) else ()

    def presence(self, root: Path | None = None) -> str:
        """Return what a list says behind the title; "" of a set that is on this machine."""
        return "" if self.is_available(root) else "not on this machine"

    def stores_validation(self, root: Path) -> bool:
        """Return whether there is a validation file; the train file is not divided then."""
        return False

    def extent(self, root: Path) -> Extent | None:
        """Return how large the set is, by a quick look; None: that takes loading.

        Raises:
            InputError: as `read`.
        """
        return None

    def preview(self, parameters: Any, root: Path, seed: int) -> DataPreview | None:
        """Return what is in a set of a person's own, by a quick look; None of other sets.

        Raises:
            InputError: as `read`.
        """
        return None

    def _counts(
        self,
        labels: Mapping[str, NDArray[np.int64]],
        class_names: tuple[str, ...],
        root: Path,
        seed: int,
    ) -> dict[str, NDArray[np.int64]]:
        """Return the number of images of each class in each split, from the labels of the files."""
        found = dict(labels)
        if not self.stores_validation(root):
            y = found["train"]
            parts = stratified_split(y, self.validation_fraction, seed, class_names)
            found |= {"train": y[parts[0]], "validation": y[parts[1]]}
        return {
            split: np.bincount(found[split], minlength=len(class_names)) for split in self.splits
        }

    def _extent(self, num_images: int, num_classes: int, root: Path) -> Extent:
        """Return the extent of a set with `num_images` images in its train file."""
        share = 0.0 if self.stores_validation(root) else self.validation_fraction
        return Extent(num_images - round(share * num_images), num_classes)

    def load(self, split: str, parameters: Any, root: Path, seed: int) -> ImageSet:
        """Return one split; `load_data` says more."""
        divided = split in ("train", "validation") and not self.stores_validation(root)
        stored = self.read("train" if divided else split, parameters, root)
        index = np.arange(len(stored.y))
        if divided:
            fraction = self.validation_fraction
            parts = stratified_split(stored.y, fraction, seed, stored.class_names)
            index = parts[0] if split == "train" else parts[1]
        return ImageSet(
            name=self.name,
            split=split,
            x=torch.from_numpy(np.ascontiguousarray(stored.x[index])).float().div_(255.0),
            y=torch.from_numpy(stored.y[index]),
            class_names=stored.class_names,
            index=torch.from_numpy(index),
            notes=stored.notes,
        )
