"""From what was brought to a network with its weights, and to what is known of it."""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robust_core.config.imported import Origin, PixelScale
from robust_core.errors import InputError, brief
from robust_core.importing import arrival
from robust_core.importing.choosing import LIBRARIES, Network, Wish, choose_network, own_names
from robust_core.importing.layout import state_of
from robust_core.importing.opening import open_tensors
from robust_core.importing.target import Target
from robust_core.importing.unwrapping import unwrap
from robust_core.models.base import MODELS, Classifier, create_model
from robust_core.models.modes import evaluation_mode
from robust_core.models.wrapping import WrappedModel

MOST_NAMED = 50  # surplus tensors on the card
SAME_OUTPUTS = 1e-4  # of logits, for a network that was built again
BUILDERS = {  # architecture -> the library that builds it
    **{"torchvision": "torchvision", "timm": "timm"},
    **{"onnx": "onnx2pytorch", "hugging_face": "transformers"},
}


@dataclass(frozen=True)
class Arrived:
    """A network that has been built from what was brought, and what is known of it so far.

    Attributes:
        model: frozen, in eval mode. network: how `create_model` builds it. origin: where from.
        kept: content and suffix of the file that it is built from besides its parameters, to be
            kept once all checks have passed; None: there is none.
    """

    model: Classifier
    network: Network
    origin: Origin
    kept: tuple[bytes, str] | None = None


def from_file(path: Path, wish: Wish, target: Target, key: str | None) -> Arrived:
    """Return the network that a file of weights is of.

    Raises:
        InputError: the file cannot be opened, does not tell enough, or fits no network.
    """
    what = path.name
    opened = open_tensors(path)
    unwrapped = unwrap(opened.values, key, what=what)
    tensors = unwrapped.tensors
    network = choose_network(unwrapped, wish, what)
    candidate = network.candidate
    if candidate is not None:
        check_extent(candidate.num_classes, candidate.image_channels, target, what)
    model = _build(network, target)
    state = own_names(model, tensors) if candidate is None else state_of(candidate, tensors)
    if network.fault is not None and not state.keys() & {*dict(model.named_parameters())}:
        raise network.fault
    _fill(model, state, network.architecture, what)
    surplus = (*unwrapped.surplus, *(candidate.surplus if candidate else ()))
    origin = Origin(
        format=opened.format,
        file=brief(what),
        size=path.stat().st_size,
        sha256=sha256_of(path),
        path=unwrapped.path,
        prefixes=unwrapped.prefixes,
        layout=_layout(network),
        num_tensors=len(state),
        surplus=surplus[:MOST_NAMED],
        stand_ins=opened.stand_ins,
        types=types_of(tensors),
        pixels=network.pixels,
        notes=(*opened.notes, *network.notes),
        versions=versions_of(network.architecture),
    )
    return Arrived(model, network, origin)


def from_module(source: Classifier, wish: Wish, target: Target) -> Arrived:
    """Return a copy of a network that `create_model` can build, built from its parameters.

    It is of a registered architecture, or a wrapped module of the architecture that the person
    names: one of ours, or of a library under the library's names.
    """
    architecture = MODELS.name_of(type(source)) or wish.architecture
    assert architecture is not None, "without one it is stored as a graph"
    if wish.architecture not in (None, architecture) or wish.preset is not None:
        raise InputError(f"the model is a {architecture}: leave out preset and architecture")
    said = _said_when_wrapped(source, wish, architecture)
    values: Any = MODELS.get(architecture).Parameters.create({**wish.parameters, **said})
    scale = {name: getattr(values, name, None) for name in ("mean", "std")}
    pixels = PixelScale.create({**scale, "said_by": "person"}) if all(scale.values()) else None
    network = Network(architecture, values.model_dump(mode="json"), pixels, None)
    check_extent(source.num_classes, source.image_shape[0], target, "the model")
    model = _build(network, target)
    tensors = {key: value.detach().cpu().clone() for key, value in source.state_dict().items()}
    state = tensors
    if isinstance(source, WrappedModel):
        bare = {source.bare_key(key): value for key, value in tensors.items()}
        state = own_names(model, bare)
    _fill(model, state, architecture, "the model")
    if not same_answers(model, source):
        raise InputError(
            f"the model answers differently when {architecture} is built again with these "
            "parameters: give those that it was made with"
        )
    origin = Origin(
        format="module",
        layout=_layout(network),
        pixels=pixels,
        sha256=digest_of_state(tensors),
        num_tensors=len(state),
        types=types_of(state),
        versions=versions_of(architecture),
    )
    return Arrived(model, network, origin)


def _said_when_wrapped(source: Classifier, wish: Wish, architecture: str) -> dict[str, Any]:
    """Return mean, std and size as parameters: the person's word, now or when it was wrapped."""
    said: dict[str, Any] = dict(zip(("mean", "std"), wish.scale or (), strict=False))
    if not isinstance(source, WrappedModel):
        return said
    form = source.form
    if said and form.mean is not None:
        raise InputError("mean and std were said when the model was wrapped: leave them out")
    if form.mean is not None and form.std is not None:
        said |= {"mean": form.mean, "std": form.std}
    elif not said and architecture in LIBRARIES:  # wrapped without: it takes [0, 1] as it is
        said |= {"mean": (0.0,), "std": (1.0,)}
    return said if form.size is None else {"input_size": form.size, **said}


def same_answers(model: Classifier, source: Classifier) -> bool:
    """Return whether a network answers as the one that it was made from, in eval mode.

    Two images of noise are tried; the source is left as it was. A stochastic one passes.
    """
    x = arrival.noise_images(source.image_shape)
    with torch.no_grad(), evaluation_mode(source):
        same = torch.allclose(model(x), source(x).cpu(), rtol=SAME_OUTPUTS, atol=SAME_OUTPUTS)
    return same or source.stochastic


def digest_of_state(state: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 of names and values, in hexadecimal."""
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(key.encode() + value.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_extent(num_classes: int, channels: int, target: Target, what: str) -> None:
    """Raise `InputError` unless a network has the outputs and channels of what it classifies."""
    if num_classes != len(target.class_names):
        raise InputError(
            f"{what} has {num_classes} outputs, the data {len(target.class_names)} classes."
        )
    if channels != target.image_shape[0]:
        raise InputError(
            f"{what} takes images of {channels} channels, the data has {target.image_shape[0]}."
        )


def _build(network: Network, target: Target) -> Classifier:
    return create_model(
        network.architecture, target.image_shape, len(target.class_names), network.parameters
    )


def _fill(model: Classifier, state: Mapping[str, Tensor], architecture: str, what: str) -> None:
    """Put the weights in the place of the initial ones; they are not copied.

    Raises:
        InputError: a tensor is missing, too much, of another shape, or not finite.
    """
    expected = model.state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing:
        raise InputError(
            f"{what} lacks {len(missing)} tensors of {architecture}, first {missing[0]}; is it "
            "another depth or width?"
        )
    if extra:
        raise InputError(
            f"{what} has {len(extra)} tensors that {architecture} does not use, first {extra[0]}; "
            "nothing was imported."
        )
    for key, value in expected.items():
        if value.shape != state[key].shape:
            raise InputError(
                f"{what} does not fit {architecture}: {key} should be {list(value.shape)}, got "
                f"{list(state[key].shape)}; is it another depth, width or number of classes?"
            )
    typed = {key: state[key].to(value.dtype) for key, value in expected.items()}
    del expected  # the initial weights go before those of the file are read
    model.load_state_dict(typed, assign=True)
    model.requires_grad_(False).eval()
    arrival.check_weights(typed, what)


def reorder(
    model: Classifier, order: tuple[str, ...], class_names: tuple[str, ...], what: str
) -> None:
    """Put the outputs, whose names are `order`, into the order of `class_names`."""
    layer = model.class_layer
    if layer is None:
        raise InputError(
            f"the outputs of {what} cannot be put into another order: no layer has a row a class"
        )
    rows = torch.tensor([order.index(name) for name in class_names])
    layer.weight = torch.nn.Parameter(layer.weight[rows].clone(), requires_grad=False)
    if layer.bias is not None:
        layer.bias = torch.nn.Parameter(layer.bias[rows].clone(), requires_grad=False)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def types_of(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the types of tensors, such as "float32", sorted."""
    return tuple(sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()}))


def _layout(network: Network) -> str:
    """Return whose names the tensors have: other people's, a library's, or else ours, ""."""
    if network.candidate is not None:
        return network.candidate.layout
    if factory := network.parameters.get("factory"):
        return f"what code of its owner returns, {factory}"
    library_name = network.parameters.get("architecture")
    return f"{network.architecture} {library_name}" if library_name else ""


def versions_of(architecture: str) -> dict[str, str]:
    """Return the versions of what has built the network."""
    found = {"torch": torch.__version__}
    library = BUILDERS.get(architecture)
    return found | ({library: importlib.metadata.version(library)} if library else {})
