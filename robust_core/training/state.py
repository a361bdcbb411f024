"""What a run carries from one epoch to the next, and the file that a resume starts from."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust_core.acceleration.compilation import MOST_VARIANTS
from robust_core.config.run import OptimiserConfig, RunConfig
from robust_core.errors import InputError
from robust_core.files import parse_json_object, reason_words, write_atomically
from robust_core.methods.base import TrainingMethod, create_method
from robust_core.models.base import Classifier, create_model
from robust_core.training.arrangement import Arrangement, as_configured, refuse_corruption
from robust_core.training.averaging import WeightAverage
from robust_core.training.metrics import EpochMetrics


@dataclass
class TrainingState:
    """Everything that changes while a run goes on.

    Randomness is not part of it: the trainer seeds every epoch again. The place in the learning
    rate schedule follows from `epoch`.

    Attributes:
        model: the network whose weights the optimiser moves.
        method: with its auxiliary networks.
        optimiser: with its momentum.
        average: the moving average, or None.
        arrangement: how the passes are computed.
        epoch: complete epochs.
        best: the record of the best epoch so far, or None.
        metrics: one record an epoch.
        own: the method's `own_state` in each process of the group, by rank.
    """

    model: Classifier
    method: TrainingMethod
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None
    arrangement: Arrangement
    epoch: int = 0
    best: EpochMetrics | None = None
    metrics: list[EpochMetrics] = field(default_factory=list)
    own: list[Tensor | None] = field(default_factory=list)

    @property
    def evaluated_model(self) -> Classifier:
        """The network that is evaluated and saved: the average where there is one."""
        return self.model if self.average is None else self.average.model

    def is_finite(self) -> bool:
        """Return whether all weights and running statistics are finite numbers."""
        return all(
            bool(torch.isfinite(value).all())
            for value in self.model.state_dict().values()
            if value.is_floating_point()
        )


def create_state(
    config: RunConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    device: torch.device,
    arrangement: Arrangement | None = None,
) -> TrainingState:
    """Return the state before the first epoch; depends on nothing but the arguments.

    Args:
        config: of the run.
        image_shape: (C, H, W).
        num_classes: K.
        device: to train on.
        arrangement: how passes are computed; None: `as_configured`.

    Raises:
        InputError: a parameter of the network or the method is wrong; channels last would corrupt
            memory.
    """
    model = create_model(
        config.model.name, image_shape, num_classes, config.model.parameters, seed=config.seed
    )
    model = model.to(device)
    arrangement = arrangement or as_configured(config, device)
    if arrangement.channels_last:
        if device.type == "cpu" and not arrangement.bfloat16:
            refuse_corruption(model)
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        method = create_method(config.method.name, config.method.parameters)
        method.attach(model)
        method.to(device)
    average = None if config.ema_decay is None else WeightAverage(model, config.ema_decay)
    optimiser = create_optimiser(config.optimiser, model)
    return TrainingState(model, method, optimiser, average, arrangement)


def create_optimiser(config: OptimiserConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of all of the model's parameters."""
    if config.name == "adam":
        return torch.optim.Adam(
            model.parameters(),
            lr=config.learning_rate,
            betas=(config.momentum, 0.999),
            weight_decay=config.weight_decay,
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def compile_network(
    model: nn.Module, method: TrainingMethod, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Let torch.compile replace the passes of `model`, in place; its weights keep their names.

    Of a stochastic network only the parts with weights are compiled: what draws random numbers,
    and what an attack looks for by name, such as the pixel step of retinotopic views, stays as it
    is. What cannot be compiled, for want of a compiler for instance, runs as it is.

    Args:
        model: the network in training.
        method: what trains it.
        backend: of torch.compile.

    Raises:
        InputError: the method differentiates gradients, which compiled code does not allow.
    """
    if method.differentiates_twice:
        raise InputError("compile should be off for a method that differentiates input gradients")
    limits = torch._dynamo.config
    limits.suppress_errors = True
    limits.recompile_limit = max(limits.recompile_limit, MOST_VARIANTS)
    # a method may go back twice through one pass (ATLD's ratio of gradients)
    torch._functorch.config.donated_buffer = False  # pyright: ignore[reportAttributeAccessIssue]
    stochastic = isinstance(model, Classifier) and model.stochastic
    for part in _parts_with_weights(model) if stochastic else (model,):
        part.compile(backend=backend)


def _parts_with_weights(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the children that have weights, those of a network within in place of itself.

    A network within may be used through `features` and `head`, past its own `forward`.
    """
    for child in model.children():
        if isinstance(child, Classifier):
            yield from _parts_with_weights(child)
        elif next(child.parameters(), None) is not None:
            yield child


def save_state(path: Path, config: RunConfig, state: TrainingState) -> None:
    """Write everything a resume needs to `path`, atomically."""
    content = {
        "config": config.to_json(),
        "model": state.model.state_dict(),
        "method": state.method.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "average": None if state.average is None else state.average.model.state_dict(),
        "epoch": state.epoch,
        "best": None if state.best is None else state.best.model_dump(),
        "metrics": [record.model_dump() for record in state.metrics],
        "own": state.own,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def read_state(path: Path) -> bytes | None:
    """Return the bytes that `save_state` wrote; None where there are none.

    Raises:
        InputError: they cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"{path} should be the saved state of a run, but {reason_words(error)}; start the run "
            "again"
        ) from None


def load_state(saved: bytes, path: str, config: RunConfig, state: TrainingState) -> None:
    """Bring a fresh `state` to where the bytes of `path` say; nothing in them is executed.

    Raises:
        InputError: the file is damaged, or belongs to another configuration.
    """
    device = next(state.model.parameters()).device
    try:
        content = torch.load(io.BytesIO(saved), map_location=device, weights_only=True)
        # read as a configuration: fields may have been renamed since
        same = RunConfig.create(parse_json_object(content["config"], "its configuration")) == config
    except Exception as error:
        # A damaged file raises whatever the bytes lead to: EOFError, RuntimeError, KeyError, ...
        raise InputError(
            f"{path} should be the saved state of a run, but it is damaged "
            f"({type(error).__name__}); start the run again"
        ) from None
    if not same:
        raise InputError(f"{path} should belong to the run's config.json, but was saved by another")
    try:
        state.model.load_state_dict(content["model"])
        state.method.load_state_dict(content["method"])
        state.optimiser.load_state_dict(content["optimiser"])
        if state.average is not None:
            state.average.model.load_state_dict(content["average"])
        best = content["best"]
        state.epoch = int(content["epoch"])
        state.best = None if best is None else EpochMetrics.model_validate(best)
        state.metrics = [EpochMetrics.model_validate(record) for record in content["metrics"]]
        state.own = list(content["own"])
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path} does not fit the run's configuration: {first}") from None
