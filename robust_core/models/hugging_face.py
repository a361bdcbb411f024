"""Image classifiers of Hugging Face's transformers, out of the folders that they come in."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.errors import InputError, brief
from robust_core.files import parse_json_object
from robust_core.models.adapted import AdaptedClassifier
from robust_core.models.base import MODELS, check_shape
from robust_core.models.kept_files import Digest, digest_of, kept_file
from robust_core.models.library_networks import LARGEST_NETWORK
from robust_core.models.normalisation import CENTRE, Mean, Std
from robust_core.models.pixels import InputSize, PixelForm, pixel_layers
from robust_core.parameters import Parameters

SUFFIX = ".json"
CONFIG, WEIGHTS, PIXELS = "config.json", "model.safetensors", "preprocessor_config.json"
LEFT_OUT = ("model_type", "auto_map", "attn_implementation", "dtype", "torch_dtype")
FOREIGN = ("quantization_config", "backbone", "use_pretrained_backbone", "use_timm_backbone")
LARGEST_CONFIG = 1 << 20  # bytes


class HuggingFaceParameters(Parameters):
    """Parameters of `hugging_face`."""

    config: Digest
    mean: Mean = CENTRE
    std: Std = CENTRE
    input_size: InputSize = None


@MODELS.register("hugging_face")
class HuggingFaceNetwork(AdaptedClassifier):
    """An image classifier of transformers, as its `config.json` describes it.

    Only classes of the library itself are built (`trust_remote_code` is off), nothing is fetched.
    Attention is written out, because fused kernels have no second derivative.

    Source: Wolf et al., "Transformers: State-of-the-Art Natural Language Processing", EMNLP 2020;
    the library is under the Apache licence 2.0.
    """

    Parameters = HuggingFaceParameters
    fused_form = None
    from_file = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        parameters: HuggingFaceParameters,
        data: bytes | None = None,
    ):
        """Build what the kept configuration describes, or `data`, which has its digest."""
        data = kept_file(parameters.config, SUFFIX) if data is None else data
        values = parse_json_object(data, CONFIG)
        module = _built(values)
        colour = image_shape[0] == 1 and values.get("num_channels", 3) == 3
        form = PixelForm.of(parameters, colour=colour)
        super().__init__(image_shape, num_classes, module, pixel_layers(form, image_shape))


def _configuration(values: Mapping[str, Any]) -> Any:
    """Return the configuration of transformers for the content of a config.json.

    Left out is what names code, other files or kernels; refused is what would have them fetched.

    Raises:
        InputError: it is of no class of the library, or needs something from elsewhere.
    """
    if find_spec("transformers") is None:
        raise InputError(
            "a folder of Hugging Face needs transformers, which is not installed: pip install "
            "transformers"
        )
    from transformers import AutoConfig  # noqa: PLC0415 - optional, and takes seconds

    kind = str(values.get("model_type"))
    if "timm" in kind:
        raise InputError(f"{CONFIG} is of a network of timm ({kind}): import it by its name there")
    foreign = [key for key in FOREIGN if values.get(key)]
    if foreign:
        raise InputError(f"{CONFIG} needs something from elsewhere ({foreign[0]}); nothing is read")
    settings = {
        key: value
        for key, value in values.items()
        if not key.startswith("_") and key not in LEFT_OUT
    }
    try:
        return AutoConfig.for_model(kind, **settings)
    except Exception as error:  # of a library that checks each configuration in its own way
        raise _no_classifier(error) from None


def _built(values: Mapping[str, Any]) -> nn.Module:
    """Return the network of a configuration, with fresh weights."""
    config = _configuration(values)
    from transformers import AutoModelForImageClassification  # noqa: PLC0415 - optional

    options = {"dtype": torch.float32, "attn_implementation": "eager", "trust_remote_code": False}
    try:
        with torch.device("meta"):  # its size, before it takes any memory
            unreal = AutoModelForImageClassification.from_config(config, **options)
        count = sum(parameter.numel() for parameter in unreal.parameters())
        if count <= LARGEST_NETWORK:
            return AutoModelForImageClassification.from_config(config, **options)
    except Exception as error:
        raise _no_classifier(error) from None
    raise InputError(
        f"{CONFIG} describes {count / 1e6:.0f} million weights; at most "
        f"{LARGEST_NETWORK / 1e6:.0f} million are opened here"
    )


def _no_classifier(error: Exception) -> InputError:
    said = brief(str(error).partition("\n")[0])
    return InputError(f"{CONFIG} describes no image classifier of transformers: {said}")


@dataclass(frozen=True)
class Folder:
    """What the small files of a published folder say.

    Attributes:
        config: the content of config.json, which `kept_files.keep_file` keeps with `SUFFIX`.
        class_names: of the outputs; None: it has none but "LABEL_0" and so on.
        channels: of the images. size: side that they are resized to; None: it does not say.
        mean, std: of pixels in [0, 1]; None: it does not say.
    """

    config: bytes
    class_names: tuple[str, ...] | None
    channels: int
    size: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def read_folder(folder: Path) -> Folder:
    """Return what a folder with config.json, model.safetensors and preprocessor_config.json says.

    The last of these may be missing.

    Raises:
        InputError: no such folder, no weights as safetensors, or what it says is no number.
    """
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder} should hold {CONFIG} and {WEIGHTS}; weights in another form are not opened"
        )
    data = _small_file(folder / CONFIG)
    values = parse_json_object(data, CONFIG)
    said: dict[str, Any] = {"config": digest_of(data)}
    if (folder / PIXELS).is_file():
        said |= _pixels(parse_json_object(_small_file(folder / PIXELS), PIXELS))
    checked, channels = HuggingFaceParameters.create(said), values.get("num_channels", 3)
    return Folder(
        config=data,
        class_names=_class_names(values),
        channels=channels if isinstance(channels, int) else 3,
        size=checked.input_size,
        mean=checked.mean if "mean" in said else None,
        std=checked.std if "std" in said else None,
    )


def open_folder(
    folder: Path,
    config: bytes,
    image_shape: tuple[int, int, int],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    input_size: int | None,
) -> tuple[HuggingFaceNetwork, dict[str, Any]]:
    """Return the network of a published folder with its weights, and how to build it again.

    Nothing is stored: to build it again, `kept_files.keep_file` has to have kept `config`.

    Args:
        folder: holds model.safetensors.
        config: the content of its config.json.
        image_shape: (C, H, W) of the images that the network shall take.
        mean: of the pixels that the network expects, in [0, 1].
        std: likewise.
        input_size: side to which images are resized inside; None: they are not.

    Returns:
        The network and its parameters.

    Raises:
        InputError: a configuration of no classifier, or weights that do not fit it.
    """
    values = parse_json_object(config, CONFIG)
    parameters = HuggingFaceParameters.create(
        {"config": digest_of(config), "mean": mean, "std": std, "input_size": input_size}
    )
    num_classes = int(_built(values).config.num_labels)  # pyright: ignore
    check_shape(image_shape, num_classes)
    model = HuggingFaceNetwork(image_shape, num_classes, parameters, config)
    model.load_state_dict(
        {model.own_key(k): value for k, value in _weights(folder, values).items()}
    )
    return model.requires_grad_(False).eval(), parameters.model_dump(mode="json")


def _weights(folder: Path, values: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Return the weights of a folder, under the names that this version of transformers has."""
    from transformers import AutoModelForImageClassification  # noqa: PLC0415 - optional

    try:
        model, report = AutoModelForImageClassification.from_pretrained(
            folder,
            config=_configuration(values),
            attn_implementation="eager",
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # of a library that fails in many ways on a damaged file
        said = brief(str(error).partition("\n")[0])
        raise InputError(f"{WEIGHTS} cannot be loaded: {said}") from None
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            first = sorted(str(key) for key in report[kind])[0]
            raise InputError(
                f"{WEIGHTS} does not fit {CONFIG}: {len(report[kind])} "
                f"{kind.removesuffix('_keys')} tensors, first {first}"
            )
    return model.state_dict()


def _small_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_CONFIG + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_CONFIG:
        raise InputError(f"{path} should have at most {LARGEST_CONFIG >> 10} KiB")
    return data


def _pixels(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return mean, std and size as an image processor states them, those that it does."""
    found: dict[str, Any] = {}
    if said.get("do_rescale", True) is not True or said.get("rescale_factor", 1 / 255) != 1 / 255:
        raise InputError(
            f"{PIXELS} scales pixels by another number than 1/255: give mean and std of pixels in "
            "[0, 1] yourself"
        )
    if said.get("do_normalize") is False:
        found |= {"mean": (0.0,), "std": (1.0,)}
    elif "image_mean" in said and "image_std" in said:
        found |= {"mean": said["image_mean"], "std": said["image_std"]}
    size = said.get("crop_size") if said.get("do_center_crop") else said.get("size")
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    if isinstance(size, int):
        found["input_size"] = size
    return found


def _class_names(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    named = values.get("id2label")
    if not isinstance(named, dict):
        return None
    try:
        names = tuple(str(named[key]) for key in sorted(named, key=int))
    except ValueError:
        return None
    return None if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names
