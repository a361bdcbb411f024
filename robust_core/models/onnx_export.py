"""A classifier as an ONNX graph, for what is code and should be kept as data."""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from robust_core.errors import InputError, brief
from robust_core.files import write_atomically
from robust_core.models.base import Classifier
from robust_core.models.onnx_graph import OnnxNetwork, open_graph

NEEDED = ("onnx", "onnxscript")


class NoGraphError(InputError):
    """A network that no ONNX graph can say."""


def export_onnx(classifier: Classifier, path: Path) -> None:
    """Write the network as a graph that maps images [N,C,H,W] in [0, 1] to logits [N,K].

    N is free. Normalisation, size and whatever else happens inside is part of the graph; it has all
    weights in it, at most 2 GiB.

    Args:
        classifier: in eval mode; left unchanged.
        path: the file to write, ends in .onnx.

    Raises:
        InputError: a library is not installed.
        NoGraphError: the network cannot be exported.
    """
    write_atomically(path, exported(classifier))


def exported(classifier: Classifier) -> bytes:
    """Return what `export_onnx` writes."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise InputError(
            f"exporting to ONNX needs {' and '.join(absent)}, which is not installed: pip install "
            f"{' '.join(absent)}"
        )
    if classifier.stochastic:
        raise NoGraphError("a stochastic network cannot be exported: a graph draws nothing")
    x = torch.rand((2, *classifier.image_shape), generator=torch.Generator().manual_seed(0))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            file = Path(folder) / "model.onnx"
            torch.onnx.export(
                classifier,
                (x,),
                file,
                dynamo=True,
                external_data=False,
                dynamic_shapes=({0: torch.export.Dim("num_images")},),
                verbose=False,
            )
            return file.read_bytes()
    except Exception as error:  # whatever a person's code meets when it is traced
        said = brief(str(error).strip().partition("\n")[0])
        raise NoGraphError(f"the network cannot be exported to ONNX: {said}") from error
    finally:
        logger.setLevel(level)


def as_graph(classifier: Classifier) -> tuple[OnnxNetwork, dict[str, object], bytes]:
    """Return a network of a person's own code as one that is data, its parameters and the graph.

    It takes pixels in [0, 1], for the normalisation is in the graph.

    Raises:
        InputError: a library is not installed.
        NoGraphError: it cannot be exported, or not be converted back.
    """
    shape, num_classes = classifier.image_shape, classifier.num_classes
    data = exported(classifier)
    try:
        return *open_graph(data, shape, num_classes, mean=(0.0,), std=(1.0,)), data
    except InputError as error:
        raise NoGraphError(str(error)) from error
