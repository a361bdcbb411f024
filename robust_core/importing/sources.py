"""The kinds of things that can be brought, and what each says of itself.

A file of weights and a network of ours go to `building`; here are the sources that say themselves
how they are built: a graph, a folder of Hugging Face, and a person's own code, which becomes a
graph.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from robust_core.config.imported import Origin, PixelScale
from robust_core.errors import InputError, brief
from robust_core.importing.building import (
    Arrived,
    check_extent,
    digest_of_state,
    from_file,
    from_module,
    same_answers,
    sha256_of,
    types_of,
    versions_of,
)
from robust_core.importing.choosing import SCALE_FIELDS, Network, Wish, agreed_scale
from robust_core.importing.layout import Normalisation
from robust_core.importing.opening import refuse_other_kinds
from robust_core.importing.target import Target
from robust_core.models import hugging_face, onnx_graph
from robust_core.models.base import MAX_SIDE, MIN_SIDE, MODELS, Classifier
from robust_core.models.onnx_export import NoGraphError, as_graph
from robust_core.models.own_code import trust
from robust_core.models.wrapping import WrappedModel

PIXEL_FIELDS = (*SCALE_FIELDS, "input_size")
OWN_CODE, ONNX, HUGGING_FACE = "own_code", "ONNX", "Hugging Face"
Source = Path | Classifier


@dataclass(frozen=True)
class Told:
    """What a source says of what it classifies; None where it says nothing.

    Attributes:
        class_names: in the order of its outputs. image_shape: (C, H, W) of images that it takes.
        normalisation: mean and std of pixels in [0, 1]. format: of a graph or a folder.
    """

    class_names: tuple[str, ...] | None = None
    image_shape: tuple[int, int, int] | None = None
    normalisation: Normalisation | None = None
    format: str = ""


def checked_source(source: Any) -> Source:
    """Return a path, or a network on the CPU.

    Raises:
        InputError: a module that has not been wrapped.
    """
    if isinstance(source, nn.Module) and not isinstance(source, Classifier):
        raise InputError(
            f"a {type(source).__name__} does not say its classes and pixels: wrap it first, "
            "import_model(wrap_model(module, mean=.., std=.., class_names=.., image_shape=..))"
        )
    if not isinstance(source, Classifier):
        return Path(source)
    on_cpu = all(one.device.type == "cpu" for one in source.state_dict().values())
    return source if on_cpu else copy.deepcopy(source).cpu()


def told_by(source: Source) -> Told:
    """Return what a source says of classes and images.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(source, Classifier):
        names = source.class_names if isinstance(source, WrappedModel) else None
        return Told(names, source.image_shape)
    if source.is_dir():
        folder = hugging_face.read_folder(source)
        shape = _shape(folder.channels, folder.size, folder.size)
        return Told(folder.class_names, shape, _scale_of(folder), HUGGING_FACE)
    if _is_graph(source):
        graph = onnx_graph.parse_graph(_bytes_of(source))
        return Told(None, _shape(*onnx_graph.sides_of(graph)), format=ONNX)
    return Told()


def says_its_network(path: Path) -> bool:
    """Return whether something that was brought says itself how its network is built."""
    return path.is_dir() or _is_graph(path)


def arrived_from(source: Source, wish: Wish, target: Target, key: str | None) -> Arrived:
    """Return the network that was brought, built and filled.

    Args:
        source: what was brought.
        wish: what the person says of it.
        target: what it classifies.
        key: which set of weights of a file is meant.

    Raises:
        InputError: it cannot be opened, does not tell enough, or fits no network.
    """
    is_weights = isinstance(source, Path) and not says_its_network(source)
    if key is not None and not is_weights:
        raise InputError(f"key is for a file with several sets of weights, got {key!r}")
    if isinstance(source, Classifier):
        if MODELS.name_of(type(source)) is None and wish.architecture is None:
            return _from_code(source, wish, target)
        return from_module(source, wish, target)
    if source.is_dir():
        return _from_folder(source, wish, target)
    if _is_graph(source):
        return _from_graph(source, wish, target)
    return from_file(source, wish, target, key)


def _from_graph(path: Path, wish: Wish, target: Target) -> Arrived:
    """Return the network of an ONNX graph; images of another size are resized to the graph's."""
    what, data = path.name, _bytes_of(path)
    said = _said_of_pixels(wish, "onnx", what)
    pixels = agreed_scale({} if wish.scale is None else {"person": wish.scale}, what)
    _, height, width = onnx_graph.sides_of(onnx_graph.parse_graph(data))
    fixed = height if height == width and target.image_shape[1:] != (height, width) else 0
    model, parameters = onnx_graph.open_graph(
        data,
        target.image_shape,
        len(target.class_names),
        mean=pixels.mean,
        std=pixels.std,
        input_size=said.get("input_size", fixed or None),
    )
    origin = Origin(
        format=ONNX,
        file=brief(what),
        size=len(data),
        sha256=parameters["graph"],
        layout="an ONNX graph",
        num_tensors=len(model.state_dict()),
        types=types_of(model.state_dict()),
        pixels=pixels,
        versions=versions_of("onnx"),
    )
    network = Network("onnx", parameters, pixels, None)
    return Arrived(model, network, origin, (data, onnx_graph.SUFFIX))


def _from_folder(path: Path, wish: Wish, target: Target) -> Arrived:
    """Return the network of a folder of Hugging Face, with its size and normalisation."""
    what, folder = path.name, hugging_face.read_folder(path)
    said = _said_of_pixels(wish, "hugging_face", what)
    said_by = {"file": _scale_of(folder), "person": wish.scale}
    pixels = agreed_scale({who: one for who, one in said_by.items() if one is not None}, what)
    model, parameters = hugging_face.open_folder(
        path,
        folder.config,
        target.image_shape,
        mean=pixels.mean,
        std=pixels.std,
        input_size=said.get("input_size", folder.size),
    )
    check_extent(model.num_classes, target.image_shape[0], target, what)
    weights = path / hugging_face.WEIGHTS
    origin = Origin(
        format=HUGGING_FACE,
        file=brief(f"{what}/{weights.name}"),
        size=weights.stat().st_size,
        sha256=sha256_of(weights),
        layout="a network of transformers",
        num_tensors=len(model.state_dict()),
        types=types_of(model.state_dict()),
        pixels=pixels,
        versions=versions_of("hugging_face"),
    )
    network = Network("hugging_face", parameters, pixels, None)
    return Arrived(model, network, origin, (folder.config, hugging_face.SUFFIX))


def _from_code(source: Classifier, wish: Wish, target: Target) -> Arrived:
    """Return a person's own code as a graph, which is data, else as weights and a reference.

    Who names the function that builds it trusts it.

    Raises:
        InputError: pixels are said twice, or the outputs do not fit.
        NoGraphError: it cannot be exported, and no function is named that builds it.
    """
    factory = source.factory if isinstance(source, WrappedModel) else None
    try:
        return _as_graph(source, wish, target)
    except NoGraphError as error:
        if factory is None or not isinstance(source, WrappedModel):
            raise NoGraphError(
                f"the model is code, which is stored as an ONNX graph, but {error}; name its "
                "architecture if it is one of list_models(), or the function that builds it, "
                'wrap_model(.., factory="module:function")'
            ) from error
    trust(factory)
    said = {
        "factory": factory,
        "stochastic": source.stochastic,
        "colour": source.form.colour,
    }
    return from_module(source, Wish(architecture=OWN_CODE, parameters=said), target)


def _as_graph(source: Classifier, wish: Wish, target: Target) -> Arrived:
    """Return a person's own code as a graph.

    Raises:
        InputError: pixels are said twice, or the outputs do not fit.
        NoGraphError: it cannot be exported, or the graph answers differently.
    """
    if wish.preset is not None or wish.parameters or wish.scale is not None:
        raise InputError(
            "the wrapped model says its pixels itself, and it is no preset: leave out preset, "
            "parameters, mean and std, or name its architecture"
        )
    check_extent(source.num_classes, source.image_shape[0], target, "the model")
    model, parameters, data = as_graph(source)
    if not same_answers(model, source):
        raise NoGraphError("it answers differently as an ONNX graph")
    form = source.form if isinstance(source, WrappedModel) else None
    pixels = None
    if form is not None and form.mean is not None and form.std is not None:
        pixels = PixelScale(mean=form.mean, std=form.std, said_by="person")
    origin = Origin(
        format="module",
        sha256=digest_of_state(source.state_dict()),
        layout="an ONNX graph of its code",
        num_tensors=len(source.state_dict()),
        types=types_of(source.state_dict()),
        pixels=pixels,
        notes=("Its normalisation is part of the graph.",) if pixels else (),
        versions=versions_of("onnx"),
    )
    network = Network("onnx", parameters, pixels, None)
    return Arrived(model, network, origin, (data, onnx_graph.SUFFIX))


def _said_of_pixels(wish: Wish, architecture: str, what: str) -> dict[str, Any]:
    """Return the parameters that the person states of a source that says its network itself."""
    if wish.preset is not None or wish.architecture not in (None, architecture):
        raise InputError(f"{what} says its network itself: leave out preset and architecture")
    other = sorted(wish.parameters.keys() - set(PIXEL_FIELDS))
    if other:
        raise InputError(
            f"parameters of {what} are {', '.join(PIXEL_FIELDS)}, for it says the others itself, "
            f"got {other[0]}"
        )
    return dict(wish.parameters)


def _is_graph(path: Path) -> bool:
    return path.suffix.lower() == onnx_graph.SUFFIX


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(onnx_graph.LARGEST_GRAPH + 1)  # one more is refused
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    refuse_other_kinds(data[:512], path.name)
    return data


def _scale_of(folder: hugging_face.Folder) -> Normalisation | None:
    """Return the mean and std that a folder says."""
    return None if folder.mean is None or folder.std is None else (folder.mean, folder.std)


def _shape(channels: int, height: int | None, width: int | None) -> tuple[int, int, int] | None:
    """Return a shape that images here can have; None where it is none."""
    if not height or not width or not all(MIN_SIDE <= s <= MAX_SIDE for s in (height, width)):
        return None
    return (channels, height, width) if channels in (1, 3) else None
