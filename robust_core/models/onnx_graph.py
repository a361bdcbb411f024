"""Networks as ONNX graphs: data that any framework can write, converted layer by layer."""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.errors import InputError, brief
from robust_core.models.adapted import AdaptedClassifier
from robust_core.models.base import MODELS, check_shape
from robust_core.models.kept_files import Digest, digest_of, kept_file
from robust_core.models.normalisation import CENTRE, Mean, Std
from robust_core.models.pixels import InputSize, PixelForm, pixel_layers
from robust_core.parameters import Parameters

SUFFIX = ".onnx"
NEEDED = ("onnx", "onnx2pytorch")
LARGEST_GRAPH = 1 << 30  # bytes
CONVERSION_TOLERANCE = 1e-3  # of the largest logit, or of 1


class OnnxParameters(Parameters):
    """Parameters of `onnx`."""

    graph: Digest
    mean: Mean = CENTRE
    std: Std = CENTRE
    input_size: InputSize = None


@MODELS.register("onnx")
class OnnxNetwork(AdaptedClassifier):
    """A classifier out of an ONNX graph, which is kept as the file that it is.

    Its operators become layers of torch (onnx2pytorch), so that there is a gradient; nothing in the
    graph is executed. Constants that are no weights of a layer come from the graph each time.

    Source: the Open Neural Network Exchange format, onnx.ai; onnx2pytorch (Apache licence 2.0).
    """

    Parameters = OnnxParameters
    fused_form = None
    from_file = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        parameters: OnnxParameters,
        data: bytes | None = None,
    ):
        """Convert the kept file, or `data`, which has its digest."""
        device = torch.get_default_device()
        with torch.device("cpu"):  # its shapes are numbers, which the meta device does not have
            graph = parse_graph(kept_file(parameters.graph, SUFFIX) if data is None else data)
            form = PixelForm.of(parameters, colour=_is_repeated(graph, image_shape[0]))
            module = _converted(graph)
            super().__init__(image_shape, num_classes, module, pixel_layers(form, image_shape))
        self.requires_grad_(False).to(device)


def open_graph(
    data: bytes,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    input_size: int | None = None,
) -> tuple[OnnxNetwork, dict[str, Any]]:
    """Return the network of a graph, checked, with the parameters that build it again.

    The logits of two images are compared with those of ONNX's reference implementation. Nothing is
    stored: to build it again, `kept_files.keep_file` has to have kept the file with `SUFFIX`.

    Args:
        data: the file.
        image_shape: (C, H, W) of the images that the network shall take.
        num_classes: K.
        mean: of the pixels that the graph expects, in [0, 1]; 0 with std 1 for pixels as they are.
        std: likewise.
        input_size: side to which images are resized inside; None: they are not.

    Raises:
        InputError: a library is not installed; the file is no graph, refers to other files, has an
            operator that cannot be converted, or computes something else once converted.
    """
    check_shape(image_shape, num_classes)
    values = OnnxParameters.create(
        {"graph": digest_of(data), "mean": mean, "std": std, "input_size": input_size}
    )
    model = OnnxNetwork(image_shape, num_classes, values, data)
    model.eval()
    _check_against_reference(model, parse_graph(data))
    return model, values.model_dump(mode="json")


def parse_graph(data: bytes) -> Any:
    """Return the graph in a file, an `onnx.ModelProto`.

    Raises:
        InputError: as of `open_graph`.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise InputError(
            f"an ONNX graph needs {' and '.join(absent)}, which is not installed: pip install "
            f"{' '.join(absent)}"
        )
    import onnx  # noqa: PLC0415 - optional

    if len(data) > LARGEST_GRAPH:
        raise InputError(
            f"an ONNX graph should be at most {LARGEST_GRAPH >> 20} MiB, got {len(data) >> 20} MiB"
        )
    try:
        model = onnx.load_model_from_string(data)
        if any(tensor.external_data for tensor in _tensors(model.graph)):
            raise InputError(
                "the ONNX graph has its weights in other files, which are not opened; export it "
                "with external_data=False"
            )
        onnx.checker.check_model(model)
    except InputError:
        raise
    except Exception as error:  # of protobuf and of the checker, which share no base
        said = brief(str(error).partition("\n")[0])
        raise InputError(f"this is no valid ONNX graph: {said}") from None
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in names]
    if len(inputs) != 1 or not model.graph.output:
        raise InputError(
            f"the ONNX graph should take one input, images, and return logits, got {len(inputs)} "
            f"inputs and {len(model.graph.output)} outputs"
        )
    return model


def _tensors(graph: Any) -> Iterable[Any]:
    """Yield every tensor that a graph holds, those of its attributes and subgraphs, too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for part in (attribute.g, *attribute.graphs):
                yield from _tensors(part)


def sides_of(model: Any) -> tuple[int, int, int]:
    """Return (C, H, W) of the images that a graph says that it takes; 0 where it does not say."""
    names = {tensor.name for tensor in model.graph.initializer}
    (images,) = [one for one in model.graph.input if one.name not in names]
    sides = [side.dim_value for side in images.type.tensor_type.shape.dim]
    return (sides[1], sides[2], sides[3]) if len(sides) == 4 else (0, 0, 0)


def _is_repeated(model: Any, channels: int) -> bool:
    """Return whether images of `channels` channels are grey ones for a graph that wants colour.

    Raises:
        InputError: the graph says that it takes images of other channels.
    """
    wanted = sides_of(model)[0]
    if wanted == 3 and channels == 1:
        return True
    if wanted not in (0, channels):
        raise InputError(f"the graph takes images of {wanted} channels, the data has {channels}")
    return False


def _converted(model: Any) -> nn.Module:
    """Return the module that a graph describes, in eval mode."""
    from onnx2pytorch import ConvertModel  # noqa: PLC0415 - optional

    try:
        module = ConvertModel(model, experimental=True)
    except Exception as error:  # operators that it does not know raise whatever they meet
        found = re.search(r"op_type=(\w+)", str(error))
        what = (
            f"uses the ONNX operator {found[1]}, which cannot be converted"
            if found
            else f"cannot be converted ({type(error).__name__}: {brief(str(error))})"
        )
        raise InputError(
            f"the graph {what}; export with torch.onnx.export(dynamo=True) or bring the state dict"
        ) from error
    for name, buffer in list(module.named_buffers(recurse=False)):
        delattr(module, name)
        module.register_buffer(name, buffer, persistent=False)
    return module.eval()


@torch.no_grad()
def _check_against_reference(model: OnnxNetwork, graph: Any) -> None:
    """Raise unless the converted network computes what the graph says, on two images."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - optional

    draws = torch.Generator().manual_seed(0)
    x = torch.rand((2, *model.image_shape), generator=draws)
    session = ReferenceEvaluator(graph)
    expected: list[Tensor] = []
    for image in x:  # a graph may say that it takes one image at a time
        inputs = model.pixels(image[None]).numpy()
        try:
            outputs = session.run(None, {str(session.input_names[0]): inputs})
        except Exception as error:  # the reference evaluator raises whatever its operators do
            raise InputError(
                f"ONNX's reference implementation cannot run the graph on images of "
                f"{list(inputs.shape[1:])}: {brief(str(error).partition(chr(10))[0])}"
            ) from error
        fitting = [out for out in outputs if getattr(out, "shape", ()) == (1, model.num_classes)]
        expected.append(torch.from_numpy(fitting[0]))
    reference = torch.cat(expected)
    error = float((model(x) - reference).abs().max())
    if not error <= CONVERSION_TOLERANCE * max(1.0, float(reference.abs().max())):
        raise InputError(
            f"the graph computes something else once it is converted (logits differ by {error:.2g}"
            "); export with torch.onnx.export(dynamo=True) or bring the state dict"
        )
