"""The common benchmark sets, downloaded by torchvision or read from a person's npz file."""

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_core.data.augmentation import Augmentation
from robust_core.data.base import CUSTOMARY, DATA, DataSource, StoredImages
from robust_core.data.cifar_batches import batches_of
from robust_core.data.npz import read_npz
from robust_core.data.samples import NUM_SAMPLES, read_samples, samples_are_here
from robust_core.errors import InputError
from robust_core.paths import data_folder
from robust_core.threat_model import Norm, ThreatModel

logger = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds that a server may be silent

DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
CIFAR10_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
CIFAR100_WORDS = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
    "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch "
    "crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo "
    "keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse "
    "mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy "
    "porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television "
    "tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
STL10_NAMES = (
    *("airplane", "bird", "car", "cat", "deer"),
    *("dog", "horse", "monkey", "ship", "truck"),
)

UNPICKLED = ("CIFAR10", "CIFAR100")  # by torchvision, so they are read here

BY_FLAG = {"train": {"train": True}, "test": {"train": False}}
BY_SPLIT = {"train": {"split": "train"}, "test": {"split": "test"}}


@dataclass(frozen=True, eq=False)
class Benchmark(DataSource):
    """A set that torchvision knows, in its native size.

    `<name>.npz` in the data folder (see `npz.read_npz`) comes first, then torchvision's own files
    there, then a download into it. torchvision checks every download against a known digest.
    CIFAR's files are pickles: `cifar_batches` reads their arrays without running anything.

    As long as none of these files is here, the first 20 test images, which ship with Foolbox, stand
    in for the test split: nothing is downloaded for it, and the notes say so. Training asks for the
    real set.

    Attributes:
        image_shape: (C, H, W).
        class_names: K names.
        dataset: name of the class in torchvision.datasets.
        choices: what that class wants for the train and the test file.
        traces: files in the data folder, any of which shows that torchvision was there before.
        samples: what Foolbox calls its pictures of this set; "": it has none.
    """

    name: str
    title: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    dataset: str
    choices: dict[str, dict[str, Any]]
    traces: tuple[str, ...]
    threat_model: ThreatModel = CUSTOMARY
    augmentation: Augmentation = "crop_flip"
    samples: str = ""

    @property
    def known_content(self) -> tuple[tuple[int, int, int], tuple[str, ...]]:
        """Image shape (C, H, W) and class names."""
        return self.image_shape, self.class_names

    def is_available(self, root: Path | None = None) -> bool:
        """Return whether the npz file or torchvision's files are in the data folder."""
        root = root or data_folder()
        return any((root / trace).exists() for trace in (f"{self.name}.npz", *self.traces))

    def has_stand_in(self, root: Path | None = None) -> bool:
        """Return whether Foolbox's pictures stand in for the test split."""
        return bool(self.samples) and not self.is_available(root) and samples_are_here()

    def present_splits(self, root: Path | None = None) -> tuple[str, ...]:
        """Return the splits that can be loaded without a network: of a stand-in, its one."""
        return ("test",) if self.has_stand_in(root) else super().present_splits(root)

    def presence(self, root: Path | None = None) -> str:
        """Return what a list says behind the title."""
        stand_in = f"not on this machine: {NUM_SAMPLES} pictures that ship with Foolbox stand in"
        return stand_in if self.has_stand_in(root) else super().presence(root)

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the train or the test images; downloads them if they are nowhere.

        Test images of a set that is not here are its stand-in, where it has one.

        Raises:
            InputError: the set is missing and cannot be downloaded, or its files do not fit.
        """
        archive = root / f"{self.name}.npz"
        if archive.is_file():
            stored = read_npz(archive, file, self.class_names)
        elif file == "test" and self.has_stand_in(root):
            x, y = read_samples(self.samples)
            stored = StoredImages(x, y, self.class_names, (self._stand_in_note(root),))
        else:
            stored = self._from_torchvision(file, root)
        if stored.x.shape[1:] != self.image_shape:
            raise InputError(
                f"{self.name} has images of shape {list(self.image_shape)} (C,H,W), "
                f"{archive.name} holds {list(stored.x.shape[1:])}"
            )
        return stored

    def _stand_in_note(self, root: Path) -> str:
        return (
            f"{self.name} is not in {root}: the first {NUM_SAMPLES} of its test images, which ship "
            "with Foolbox, stand in; they show effects and support no claim"
        )

    def _from_torchvision(self, file: str, root: Path) -> StoredImages:
        import torchvision.datasets  # noqa: PLC0415 - takes seconds to import

        make: Any = getattr(torchvision.datasets, self.dataset)
        if self.dataset in UNPICKLED:
            make = batches_of(make)
        try:
            images = make(root, **self.choices[file], download=False)
        except InputError:
            raise
        except Exception as error:  # torchvision says "not there" in many ways
            logger.info("downloading %s into %s (%s)", self.name, root, error)
            images = self._download(make, file, root)
        x = np.asarray(images.data)
        if x.ndim == 3:
            x = x[:, None]
        elif x.shape[1] != self.image_shape[0]:
            x = x.transpose(0, 3, 1, 2)
        y = images.targets if hasattr(images, "targets") else images.labels
        return StoredImages(x, np.asarray(y).astype(np.int64), self.class_names)

    def _download(self, make: Any, file: str, root: Path) -> Any:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with _timeout(PATIENCE):
                return make(root, **self.choices[file], download=True)
        except Exception as error:  # network, disk, archive: all mean that it is not there
            reason = re.sub(r"<urlopen error (.*?)>", r"\1", " ".join(str(error).split()))[:200]
            raise InputError(
                f"{self.name} is not in {root} and could not be downloaded ({reason}); "
                f"put {self.name}.npz there with x_train, x_test (uint8 [N,H,W,C]) and "
                f"y_train, y_test (integers [N]), or torchvision's files of the set"
            ) from error


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Let no new socket wait longer than this; torchvision itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


BENCHMARKS = (
    Benchmark(
        name="mnist",
        title="MNIST (handwriting, 1×28×28)",
        image_shape=(1, 28, 28),
        class_names=DIGIT_NAMES,
        dataset="MNIST",
        choices=BY_FLAG,
        traces=("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-images-idx3-ubyte.gz"),
        threat_model=ThreatModel(Norm.LINF, 0.3),
        augmentation="shift",
        samples="mnist",
    ),
    Benchmark(
        name="fashion_mnist",
        title="Fashion-MNIST (clothes, 1×28×28)",
        image_shape=(1, 28, 28),
        class_names=FASHION_NAMES,
        dataset="FashionMNIST",
        choices=BY_FLAG,
        traces=(
            "FashionMNIST/raw/train-images-idx3-ubyte",
            "FashionMNIST/raw/train-images-idx3-ubyte.gz",
        ),
        threat_model=ThreatModel(Norm.LINF, 0.1),
        augmentation="shift",
        samples="fashionMNIST",
    ),
    Benchmark(
        name="cifar10",
        title="CIFAR-10 (things and animals, 3×32×32)",
        image_shape=(3, 32, 32),
        class_names=CIFAR10_NAMES,
        dataset="CIFAR10",
        choices=BY_FLAG,
        traces=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
        samples="cifar10",
    ),
    Benchmark(
        name="cifar100",
        title="CIFAR-100 (a hundred things, 3×32×32)",
        image_shape=(3, 32, 32),
        class_names=tuple(CIFAR100_WORDS.split()),
        dataset="CIFAR100",
        choices=BY_FLAG,
        traces=("cifar-100-python", "cifar-100-python.tar.gz"),
        samples="cifar100",
    ),
    Benchmark(
        name="svhn",
        title="SVHN (house numbers, 3×32×32)",
        image_shape=(3, 32, 32),
        class_names=DIGIT_NAMES,
        dataset="SVHN",
        choices=BY_SPLIT,
        traces=("train_32x32.mat",),
        augmentation="shift",
    ),
    Benchmark(
        name="stl10",
        title="STL-10 (things and animals, 3×96×96)",
        image_shape=(3, 96, 96),
        class_names=STL10_NAMES,
        dataset="STL10",
        choices=BY_SPLIT,
        traces=("stl10_binary", "stl10_binary.tar.gz"),
    ),
)
for _benchmark in BENCHMARKS:
    DATA.register(_benchmark.name)(_benchmark)
