"""The bytes of a checkpoint: a safetensors file whose header says what its network is.

The header carries one JSON document: configuration, shapes, class names, epoch and the measured
card. Nothing in such a file can be executed, and nothing else is ever opened.
"""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torch.overrides import TorchFunctionMode

from robust_core.checkpoints.card import Card, Name
from robust_core.checkpoints.folders import SUFFIX
from robust_core.config.imported import ImportConfig, described_by
from robust_core.config.run import DATA_MAY_BE_ELSEWHERE, RunConfig
from robust_core.errors import InputError
from robust_core.files import parse_json_object
from robust_core.methods.base import TrainingMethod, create_method
from robust_core.models.base import Classifier, create_model
from robust_core.parameters import Parameters, validation_sentence

METADATA_KEY = "robust_core"
METHOD_PREFIX = "method:"  # no name of a network's tensor has a colon
FORMAT = 1
LARGEST_FILE = 3 << 29  # bytes; the largest published robust network (WRN-94-16) has 0.91 of it
LARGEST_HEADER = 1 << 20  # bytes


class Description(Parameters):
    """The JSON document in the header of a checkpoint.

    `config` is the run that made it, or what is known of a model from elsewhere; only the latter
    may come without a card, before anything has attacked it.
    """

    format: int
    config: Annotated[
        Annotated[RunConfig, Tag("run")] | Annotated[ImportConfig, Tag("import")],
        Discriminator(described_by),
    ]
    image_shape: Annotated[
        tuple[
            Annotated[int, Field(ge=1, le=16)],
            Annotated[int, Field(ge=1, le=1024)],
            Annotated[int, Field(ge=1, le=1024)],
        ],
        Field(description="(C, H, W)"),
    ]
    class_names: Annotated[tuple[Name, ...], Field(min_length=2, max_length=1000)]
    epoch: Annotated[int, Field(ge=0)]
    card: Card | None = None
    inferences: Annotated[tuple[Name, ...], Field(max_length=20)] = ()

    @model_validator(mode="after")
    def _check_card(self) -> Self:
        if self.card is None and isinstance(self.config, RunConfig):
            raise ValueError("card is missing")
        return self


def check_size(size: int, what: str) -> None:
    """Raise `InputError` if a file of `size` bytes, called `what`, is too large to open."""
    if size > LARGEST_FILE:
        raise InputError(
            f"{what} should be at most {LARGEST_FILE >> 20} MiB, got {size / (1 << 20):.0f} MiB"
        )


def parse_header(beginning: bytes, size: int, what: str) -> tuple[dict[str, Any], Description]:
    """Return the table of tensors and our document from the first bytes of a file of `size`."""
    check_size(size, what)
    if Path(what).suffix.lower() in (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin") or (
        beginning.startswith((b"PK\x03\x04", b"\x80"))
        and not beginning[8:9] == b"{"  # a header of that length would begin like a pickle
    ):
        raise InputError(
            f"{what} is a pickle, which could run code when opened; expected a {SUFFIX} checkpoint"
        )
    length = struct.unpack("<Q", beginning[:8])[0] if len(beginning) >= 8 else 0
    if beginning[8:9] != b"{" or length > LARGEST_HEADER or 8 + length > size:
        raise InputError(
            f"{what} should be a {SUFFIX} checkpoint of this laboratory, but it is damaged, cut "
            f"short or something else"
        )
    table = parse_json_object(beginning[8 : 8 + length], f"the header of {what}")
    metadata = table.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(METADATA_KEY), str):
        raise InputError(
            f"{what} holds weights but does not say of which network; expected a checkpoint that "
            f"this laboratory has written"
        )
    document = parse_json_object(metadata[METADATA_KEY], f"the description in {what}")
    return table, parse_description(document, what)


def parse_description(document: dict[str, Any], what: str) -> Description:
    """Return a JSON document as a description; raise `InputError` if it is none of ours."""
    if document.get("format") != FORMAT:
        raise InputError(f"{what} should have format {FORMAT}, got {document.get('format')!r}")
    try:
        # a model is of use where the data set that it was trained on is not
        return Description.model_validate(document, context=DATA_MAY_BE_ELSEWHERE)
    except ValidationError as error:
        sentence = validation_sentence(error, list(Description.model_fields))
        raise InputError(f"the description in {what} cannot be used: {sentence}") from None


def shipped_tensors(model: Classifier, method: TrainingMethod | None) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint: those of the network and of the method's parts."""
    tensors = dict(model.state_dict())
    if method is not None:
        for part in method.shipped_parts:
            state = method.get_submodule(part).state_dict()
            tensors |= {f"{METHOD_PREFIX}{part}.{key}": value for key, value in state.items()}
    return tensors


def rounded_to_half(tensor: Tensor) -> Tensor:
    """Return weights at the nearest values that half precision has, in their own type.

    Vectors (biases, statistics of norms) are left alone: they are small and may be out of range.
    """
    return tensor.half().to(tensor.dtype) if _may_be_half(tensor) else tensor


def stored_forms(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as they are stored: contiguous, on the CPU, apart from each other.

    In half precision where that changes no value. Only what needs it is copied.
    """
    stored, places = {}, set()
    for key, tensor in tensors.items():
        value = tensor.detach().cpu()
        exact = _may_be_half(value) and torch.equal(rounded_to_half(value), value)
        value = value.to(torch.float16 if exact else value.dtype).contiguous()
        place = value.untyped_storage().data_ptr()
        stored[key] = value.clone() if place in places else value
        places.add(place)
    return stored


def _may_be_half(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.dim() >= 2


class _Shapes(TorchFunctionMode):
    """On the device "meta", without the initial values that a tensor there cannot have.

    torch imports its compiler, for more than a second, to compute such values of nothing.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" and kwargs["tensor"].is_meta:
            return kwargs["tensor"]
        return func(*args, **kwargs)


def build(data: bytes, what: str) -> tuple[Classifier, TrainingMethod | None]:
    """Check a whole file and return its network and method, in eval mode and frozen.

    A model that was not trained here has no method.
    """
    table, description = parse_header(data[: 8 + LARGEST_HEADER], len(data), what)
    with torch.device("meta"), _Shapes():
        expected = shipped_tensors(*_create(description, what))
    _check_table(table, expected, what)
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise InputError(f"{what} is damaged or cut short: {error}") from None
    return filled(description, tensors, what)


def filled(
    description: Description, tensors: Mapping[str, Tensor], what: str
) -> tuple[Classifier, TrainingMethod | None]:
    """Return network and method with these tensors, which fit them, in eval mode and frozen.

    Raises:
        InputError: a weight is not finite, or a tensor is missing, unknown or of another shape.
    """
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"{what} should have finite weights, but {key} has NaN or infinity")
    with torch.device("cpu"):
        model, method = _create(description, what)
    _check_shapes(tensors, shipped_tensors(model, method), what)
    model.load_state_dict({key: tensors[key] for key in model.state_dict()})
    model.requires_grad_(False).eval()
    if method is None:
        return model, None
    for part in method.shipped_parts:
        module, prefix = method.get_submodule(part), f"{METHOD_PREFIX}{part}."
        module.load_state_dict({key: tensors[prefix + key] for key in module.state_dict()})
    return model, method.requires_grad_(False).eval()


def _create(description: Description, what: str) -> tuple[Classifier, TrainingMethod | None]:
    """Build network and method; on the device "meta" this takes neither memory nor time."""
    config = description.config
    try:
        with torch.random.fork_rng():
            model = create_model(
                config.model.name,
                description.image_shape,
                len(description.class_names),
                config.model.parameters,
            )
            if isinstance(config, ImportConfig):
                return model, None
            method = create_method(config.method.name, config.method.parameters)
            method.attach(model)
            return model, method
    except InputError as error:
        raise InputError(f"the network of {what} cannot be built: {error}") from None


def _check_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """Raise unless the tensors are those of the networks by name and shape."""
    found, wanted = (
        {key: list(value.shape) for key, value in one.items()} for one in (tensors, expected)
    )
    if found != wanted:
        key = min(key for key in found | wanted if found.get(key) != wanted.get(key))
        raise InputError(
            f"{what} does not fit the network it names: {key} should be {wanted.get(key, 'absent')}"
            f", got {found.get(key, 'none')}"
        )


def _check_table(table: dict[str, Any], expected: Mapping[str, Tensor], what: str) -> None:
    """Raise unless the file's tensors fit the architecture by name, shape and type."""
    missing, extra = expected.keys() - table.keys(), table.keys() - expected.keys()
    if missing or extra:
        word, key = ("lacks", min(missing)) if missing else ("has an unknown tensor", min(extra))
        raise InputError(f"{what} does not fit the network it names: it {word} {key!r}")
    for key, tensor in expected.items():
        entry = table[key] if isinstance(table[key], dict) else {}
        wanted = (_TYPES.get(tensor.dtype), list(tensor.shape))
        found = (entry.get("dtype"), entry.get("shape"))
        if found not in (wanted, ("F16", list(tensor.shape)) if _may_be_half(tensor) else wanted):
            raise InputError(
                f"{what} does not fit the network it names: {key} should be {wanted[0]} "
                f"{wanted[1]}, got {found[0]} {found[1]}"
            )


_TYPES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL", torch.int32: "I32"}
