"""How published code names the weights of networks that we have, too."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from robust_core.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]

ACTIVATIONS = ("relu", "silu", "gelu", "softplus")
SWISH_FIRST = ("silu", "relu", "gelu", "softplus")
SHORTCUTS = ("activated", "raw")
RESNETS: dict[tuple[int, ...], str] = {(2, 2, 2, 2): "resnet18", (3, 4, 6, 3): "resnet34"}
EFFICIENTNET_BLOCKS = 16
NUMBER = r"([0-9]{1,3})"
BATCH_NORM = {"norm1": "bn1", "norm2": "bn2"}


@dataclass(frozen=True)
class Reading:
    """What the names and shapes of a file tell.

    Attributes:
        architecture: a name of `MODELS`.
        parameters: those that the shapes fix.
        group_sizes: how many blocks each group has.
        usual: of parameters that no shape shows, the value that such a file has most often, where
            that is another than for the naming in general.
        side: height and width of the images if a layer fixes them, else None.
    """

    architecture: str
    parameters: dict[str, Any]
    group_sizes: tuple[int, ...] = ()
    usual: dict[str, Any] = field(default_factory=dict)
    side: int | None = None


@dataclass(frozen=True)
class Naming:
    """The names of one code base for the layers of a network of ours.

    Attributes:
        name: what it is and where it comes from.
        marks: beginnings of keys; a file that has them all may be of this code.
        read: sizes of the network, of the file's names and shapes in this naming.
        outside: their name of each layer of ours outside the blocks.
        block: their name of a block, with {index} and, unless all are in one group, {group} before
            it; "" without blocks.
        first: number of the first group.
        inside: their name of each layer of ours in a block.
        fixed: parameters that the code fixes and no shape shows.
        absent: beginning of keys that such a file does not have, where others with the marks do.
        twins: parameters that no name or shape shows, with the possible values, the usual first.
    """

    name: str
    marks: tuple[str, ...]
    read: Callable[["Seen"], Reading]
    outside: Mapping[str, str]
    block: str = ""
    first: int = 1
    inside: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    twins: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    absent: str | None = None

    def may_be(self, keys: Collection[str]) -> bool:
        """Return whether a file with these keys may be of this code."""
        found = all(any(key.startswith(mark) for key in keys) for mark in self.marks)
        return found and not (self.absent and any(key.startswith(self.absent) for key in keys))

    def theirs(self, ours: str, group_sizes: tuple[int, ...]) -> str:
        """Return their key of a key of our network, whose groups have so many blocks."""
        layer, _, leaf = ours.rpartition(".")
        found = re.fullmatch(r"trunk\.blocks\.(\d+)\.(.+)", layer)
        if found is None:
            return f"{self.outside.get(layer, layer)}.{leaf}"
        index, group = int(found[1]), 0
        while index >= group_sizes[group]:
            index, group = index - group_sizes[group], group + 1
        block = self.block.format(group=self.first + group, index=index)
        return f"{block}.{self.inside.get(found[2], found[2])}.{leaf}"


@dataclass(frozen=True)
class Seen:
    """A file as one naming sees it."""

    naming: Naming
    shapes: Shapes

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """How many blocks each group has."""
        if not self.naming.block:
            return ()
        pattern = re.escape(self.naming.block.format(group="GROUP", index="INDEX"))
        pattern = pattern.replace("GROUP", NUMBER).replace("INDEX", NUMBER) + r"\."
        found = {f.groups() for key in self.shapes if (f := re.match(pattern, key))}
        groups = [tuple(map(int, numbers[:-1])) for numbers in found]
        return tuple(groups.count(group) for group in sorted(set(groups)))

    def has(self, ours: str) -> bool:
        """Return whether the file has a key of our network."""
        return self.naming.theirs(ours, self.group_sizes) in self.shapes

    def shape(self, ours: str, dimensions: int) -> tuple[int, ...]:
        """Return the shape of a tensor that tells a size.

        Raises:
            InputError: it is not there, is empty, or has another number of dimensions.
        """
        theirs = self.naming.theirs(ours, self.group_sizes)
        if theirs not in self.shapes:
            raise InputError(f"lacks {theirs}, which tells the size of a {self.naming.name}")
        if len(self.shapes[theirs]) != dimensions:
            raise InputError(
                f"has {theirs} with {len(self.shapes[theirs])} dimensions, where a "
                f"{self.naming.name} has {dimensions}"
            )
        if 0 in self.shapes[theirs]:
            raise InputError(f"has an empty {theirs}")
        return self.shapes[theirs]


def _wide_resnet(seen: Seen) -> Reading:
    width = seen.shape("trunk.blocks.0.conv1.weight", 4)[0]
    if width % 16:
        raise InputError(f"has {width} channels in its first group, a wide_resnet multiples of 16")
    blocks = seen.group_sizes[0]
    values = {"depth": 6 * blocks + 4, "widen_factor": width // 16, **_head(seen)}
    return Reading("wide_resnet", values, (blocks,) * 3)


def _preact_resnet(seen: Seen) -> Reading:
    if seen.group_sizes != (2, 2, 2, 2):
        raise InputError(
            f"has groups of {_listed(seen.group_sizes)} blocks, a preact_resnet18 of 2, 2, 2, 2"
        )
    kernel = seen.shape("trunk.blocks.2.shortcut.weight", 4)[-1]
    values = {
        "width": seen.shape("trunk.stem.weight", 4)[0],
        "shortcut_kernel": kernel,
        "last_norm": seen.has("trunk.norm.weight"),
        **_head(seen),
    }
    usual = {} if values["last_norm"] else {"shortcut_input": "raw"}
    return Reading("preact_resnet18", values, seen.group_sizes, usual)


def _resnet(seen: Seen) -> Reading:
    theirs = next((key for key in seen.shapes if ".downsample." in key), None)
    if theirs is not None:
        raise InputError(f"has the names of torchvision's ResNets, such as {theirs}")
    name = RESNETS.get(seen.group_sizes)
    bottleneck = seen.has("trunk.blocks.0.conv3.weight")
    if name is None or (bottleneck and name == "resnet18"):
        kind = " of three convolutions" if bottleneck else ""
        raise InputError(
            f"has groups of {_listed(seen.group_sizes)} blocks{kind}, which is none of resnet18, "
            "resnet34 and resnet50"
        )
    values = {"width": seen.shape("trunk.stem.weight", 4)[0], **_head(seen)}
    return Reading("resnet50" if bottleneck else name, values, seen.group_sizes)


def _trades_cnn(seen: Seen) -> Reading:
    width = seen.shape("layers.0.weight", 4)[0]
    hidden, inputs = seen.shape("layers.11.weight", 2)
    last = round((inputs / (2 * width)) ** 0.5)
    return Reading("trades_cnn", {"width": width, "hidden": hidden}, side=4 * last + 12)


def _fast_at_cnn(seen: Seen) -> Reading:
    width = seen.shape("layers.0.weight", 4)[0]
    hidden, inputs = seen.shape("layers.5.weight", 2)
    last = round((inputs / (2 * width)) ** 0.5)
    return Reading("fast_at_cnn", {"width": width, "hidden": hidden}, side=4 * last)


def _efficientnet_lite(seen: Seen) -> Reading:
    if seen.group_sizes != (EFFICIENTNET_BLOCKS,):
        raise InputError(
            f"has {_listed(seen.group_sizes)} blocks, an efficientnet_lite0 {EFFICIENTNET_BLOCKS}"
        )
    return Reading("efficientnet_lite0", {}, seen.group_sizes)


def _head(seen: Seen) -> dict[str, Any]:
    return {} if seen.has("classifier.bias") else {"head": "cosine", "head_bias": False}


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "no"


HEADS = ("linear", "cosine")
NAMINGS = (
    Naming(
        "wide_resnet (TRADES)",
        ("block1.layer.0.",),
        _wide_resnet,
        {"trunk.stem": "conv1", "trunk.norm": "bn1", "classifier": "fc"},
        "block{group}.layer.{index}",
        inside={**BATCH_NORM, "shortcut": "convShortcut"},
        twins={"activation": ACTIVATIONS, "head": HEADS},
    ),
    Naming(
        "wide_resnet (DeepMind)",
        ("layer.0.block.0.",),
        _wide_resnet,
        {"trunk.stem": "init_conv", "trunk.norm": "batchnorm", "classifier": "logits"},
        "layer.{group}.block.{index}",
        first=0,
        inside={
            **{"norm1": "batchnorm_0", "norm2": "batchnorm_1"},
            **{"conv1": "conv_0", "conv2": "conv_1"},
        },
        fixed={"padding": "same"},
        twins={"activation": SWISH_FIRST},
    ),
    Naming(
        "preact_resnet18 (pytorch-cifar)",
        ("layer1.0.",),
        _preact_resnet,
        {"trunk.stem": "conv1", "trunk.norm": "bn", "classifier": "linear"},
        "layer{group}.{index}",
        inside={**BATCH_NORM, "shortcut": "shortcut.0"},
        twins={"shortcut_input": SHORTCUTS, "activation": ACTIVATIONS, "head": HEADS},
        absent="bn1.",
    ),
    Naming(
        "preact_resnet18 (DeepMind)",
        ("layer_0.0.",),
        _preact_resnet,
        {"trunk.stem": "conv_2d", "trunk.norm": "batchnorm", "classifier": "logits"},
        "layer_{group}.{index}",
        first=0,
        inside={
            **{"norm1": "batchnorm_0", "norm2": "batchnorm_1"},
            **{"conv1": "conv_2d_1", "conv2": "conv_2d_2"},
        },
        fixed={"padding": "same", "shortcut_input": "raw"},
        twins={"activation": SWISH_FIRST},
    ),
    Naming(
        "resnet (pytorch-cifar)",
        ("layer1.0.", "bn1."),
        _resnet,
        {"trunk.stem": "conv1", "trunk.norm": "bn1", "classifier": "linear"},
        "layer{group}.{index}",
        inside={
            **BATCH_NORM,
            **{"norm3": "bn3", "shortcut.conv": "shortcut.0", "shortcut.norm": "shortcut.1"},
        },
        twins={"activation": ACTIVATIONS, "head": HEADS},
    ),
    Naming(
        "trades_cnn (TRADES)",
        ("feature_extractor.conv1.",),
        _trades_cnn,
        {
            **{"layers.0": "feature_extractor.conv1", "layers.2": "feature_extractor.conv2"},
            **{"layers.5": "feature_extractor.conv3", "layers.7": "feature_extractor.conv4"},
            **{"layers.11": "classifier.fc1", "layers.14": "classifier.fc2"},
            "classifier": "classifier.fc3",
        },
    ),
    Naming(
        "fast_at_cnn (Fast-AT)",
        ("0.", "7."),
        _fast_at_cnn,
        {"layers.0": "0", "layers.2": "2", "layers.5": "5", "classifier": "7"},
    ),
    Naming(
        "efficientnet_lite0 (EfficientNet-PyTorch)",
        ("_conv_stem.", "_blocks.0."),
        _efficientnet_lite,
        {
            **{"trunk.stem.conv": "_conv_stem", "trunk.stem.norm": "_bn0"},
            **{"trunk.last.conv": "_conv_head", "trunk.last.norm": "_bn1"},
            "classifier": "_fc",
        },
        "_blocks.{index}",
        inside={
            **{"expand.conv": "_expand_conv", "expand.norm": "_bn0"},
            **{"depthwise.conv": "_depthwise_conv", "depthwise.norm": "_bn1"},
            **{"project.conv": "_project_conv", "project.norm": "_bn2"},
        },
    ),
)
