"""A person's own code as a source: a function that returns a network, or an exported program.

Both run when they are opened, so both need the word of the person whose machine this is; it is
given on the command line, and no page asks for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.errors import InputError, brief
from robust_core.importing.opening import open_tensors
from robust_core.importing.target import find_target
from robust_core.importing.unwrapping import unwrap
from robust_core.models.own_code import build_network, trust
from robust_core.models.wrapping import WrappedModel, wrap_model

PROGRAM = ".pt2"


@dataclass(frozen=True)
class Stated:
    """What a person says of code that is brought; the fields are as of `import_model`.

    Attributes:
        mean, std: must be said. data, class_names, image_shape: what it classifies.
        input_size: as of `wrap_model`.
    """

    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    data: str | None = None
    class_names: Sequence[str] | None = None
    image_shape: tuple[int, int, int] | None = None
    input_size: int | None = None


class Program(nn.Module):
    """A program of `torch.export`, which has no modes: its own `train` and `eval` only raise."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.program = module

    def train(self, mode: bool = True) -> "Program":
        """Note the mode; the program stays what it was when it was exported."""
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Any:
        """Return what the program returns."""
        return self.program(x)


def network_of_program(path: Path, stated: Stated) -> WrappedModel:
    """Return what a program of `torch.export` (.pt2) computes; the file is RUN.

    Args:
        path: the file, exported in evaluation mode, for any number of images.
        stated: what the person says of it.

    Raises:
        InputError: it cannot be opened, takes only so many images as it was exported with, or does
            not work.
    """
    try:
        program = torch.export.load(path)
        module = program.module()
    except Exception as error:  # of a file that may hold anything
        said = brief(str(error).strip().partition("\n")[0])
        raise InputError(f"{path.name} cannot be opened as an exported program: {said}") from error
    names = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.name in names and isinstance(value, Tensor) and isinstance(value.shape[0], int):
            raise InputError(
                f"{path.name} was exported for {value.shape[0]} images at a time; export it again "
                'with dynamic_shapes=({0: torch.export.Dim("n")},)'
            )
    return _wrapped(Program(module), stated, path.stem)


def network_of_factory(
    factory: str, stated: Stated, weights: Path | None = None, key: str | None = None
) -> WrappedModel:
    """Return the network that a function of a person's own returns; the function is RUN.

    Args:
        factory: the function, without arguments, as package.module:function; it is trusted from now
            on, in this process and in those that it starts.
        stated: what the person says of it.
        weights: a file of weights for it; None: it has them already.
        key: which set of weights, where the file holds several.

    Raises:
        InputError: it cannot be found or called, the weights do not fit, or it does not work.
    """
    trust(factory)
    module = build_network(factory)
    if weights is not None:
        _fill(module, weights, key, factory)
    return _wrapped(module, stated, factory.rpartition(":")[2], factory)


def _wrapped(
    module: nn.Module, stated: Stated, name: str, factory: str | None = None
) -> WrappedModel:
    """Return the network as a classifier, its outputs named in their own order."""
    names = None if stated.class_names is None else tuple(stated.class_names)
    target = find_target(stated.data, names, stated.image_shape)
    if stated.mean is None or stated.std is None:
        raise InputError(
            "Say how the code expects its pixels: mean and std; 0 and 1 where it takes pixels in "
            "[0, 1] as they are."
        )
    return wrap_model(
        module,
        mean=stated.mean,
        std=stated.std,
        class_names=target.class_names if names is None else names,
        image_shape=target.image_shape,
        name=name,
        input_size=stated.input_size,
        factory=factory,
    )


def _fill(module: nn.Module, path: Path, key: str | None, factory: str) -> None:
    """Put the weights of a file, all of them, into the network.

    Raises:
        InputError: it cannot be opened, or does not fit.
    """
    state = unwrap(open_tensors(path).values, key, what=path.name).tensors
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = brief(lines[1] if len(lines) > 1 else lines[0])
        raise InputError(f"{path.name} does not fit what {factory} returns: {said}") from error
