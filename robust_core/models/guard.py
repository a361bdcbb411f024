"""The one door through which somebody else's model, and their images, come in."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust_core.errors import InputError, brief
from robust_core.models.base import Classifier
from robust_core.models.modes import evaluation_mode


class ModelWrapper(nn.Module):
    """A model around a model that returns the same kind of logits.

    What the inner model says of itself is passed on: `masking_parts` under the names that they
    have from outside, `stochastic`, `features` where there are any (`features_of`).

    Attributes:
        model: the inner model.
    """

    def __init__(self, model: nn.Module) -> None:
        """Wrap a model, which is left as it is."""
        super().__init__()
        self.model = model
        self.training = model.training

    @property
    def num_classes(self) -> int | None:
        """K, where the inner model is known to return as many logits."""
        return known_classes(self.model)

    @property
    def masking_parts(self) -> tuple[str, ...]:
        """Names of the parts that hide the gradient, as seen from outside."""
        return tuple(f"model.{name}" for name in masking_parts(self.model))

    @property
    def stochastic(self) -> bool:
        """Whether the inner model says that two passes of one image can differ."""
        return is_stochastic(self.model)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W), where the inner model is known to take images of that shape."""
        return known_shape(self.model)

    @property
    def features(self) -> Callable[[Tensor], Tensor]:
        """The inner model's own; see `features_of` for whether it has any."""
        return features_of(self.model)

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        """Return those of the inner model; wrappers that change or count passes wrap them, too."""
        return attack_surrogates(self.model)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits: [N,C,H,W] in [0, 1] -> [N,K]."""
        return self.model(x)


class GuardedModel(ModelWrapper):
    """Somebody else's model, which may write to its input and raise whatever it likes.

    It is called with a copy of the images where it was seen to write to them. What it raises
    becomes one sentence that says what it was given and what it said.

    Attributes:
        is_finite: whether all logits of the image that it was tried on were finite numbers.
    """

    def __init__(self, model: nn.Module, logits: Tensor, *, writes_to_input: bool) -> None:
        """Wrap a model that has returned `logits` [1,K] for an image."""
        super().__init__(model)
        self._num_classes = logits.shape[1]
        self.is_finite = bool(torch.isfinite(logits).all())
        self.writes_to_input = writes_to_input

    @property
    def num_classes(self) -> int:
        """K, as many logits as the model has returned."""
        return self._num_classes

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits: [N,C,H,W] in [0, 1] -> [N,K].

        Raises:
            InputError: the model has raised something.
        """
        return call_foreign(self.model, x.clone() if self.writes_to_input else x)


@torch.inference_mode(False)
def guarded(model: nn.Module, x: Tensor) -> nn.Module:
    """Return a model that can be called safely on images like `x`: itself, if it is one of ours.

    Anybody else's is tried on the first image in eval mode: it shows how many classes it knows
    (attributes such as `num_classes` may be stale), and whether it writes to its input.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W], N at least 1.

    Raises:
        InputError: it is no module, cannot take such images, or returns no logits of two classes
            or more.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, got a {type(model).__name__}")
    model = _outside_inference_mode(model)
    if known_classes(model) is not None and known_shape(model) in (None, tuple(x.shape[1:])):
        return model
    trial = x[:1].detach().clone()
    before = trial.clone()
    with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluation_mode(model):
        torch.default_generator.manual_seed(0)
        logits = call_foreign(model, trial)
    if not isinstance(logits, Tensor):
        raise InputError(f"the model must return logits [N,K], got a {type(logits).__name__}")
    if logits.dim() != 2 or len(logits) != 1:
        raise InputError(f"the model must return logits [1,K], got shape {list(logits.shape)}")
    if logits.shape[1] < 2:
        raise InputError(f"the model must tell two classes at least, got {logits.shape[1]} logits")
    return GuardedModel(model, logits, writes_to_input=not torch.equal(trial, before))


def _outside_inference_mode(model: nn.Module) -> nn.Module:
    """Return the model, or a copy whose tensors were not made inside `torch.inference_mode`.

    No gradient goes through a model with such tensors.
    """
    tensors = [*model.parameters(), *model.buffers()]
    if not any(one.is_inference() for one in tensors):
        return model
    memo: dict[int, object] = {}
    for one in tensors:
        fresh = one.clone()
        is_weight = isinstance(one, nn.Parameter)
        memo[id(one)] = nn.Parameter(fresh, one.requires_grad) if is_weight else fresh
    return copy.deepcopy(model, memo)


def call_foreign(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return model(x), or say in one sentence what it was given and what it raised.

    Raises:
        InputError: the model has raised any exception.
    """
    try:
        return model(x)
    except InputError:
        raise
    except Exception as error:  # somebody else's code may raise anything
        said = brief(str(error).partition("\n")[0] or type(error).__name__)
        raise InputError(
            f"the model cannot take float32 images {list(x.shape[1:])} in [0, 1]: it raised "
            f"{type(error).__name__}: {said}"
        ) from error


def why_no_features(model: nn.Module) -> str:
    """Return why a model has no `features` to show, in half a sentence; "" where it has.

    Only a `Classifier` is known to have any: an attribute of that name may be anything in anybody's
    model, such as the convolutions of torchvision's VGG.
    """
    while isinstance(model, ModelWrapper):
        model = model.model
    if not isinstance(model, Classifier):
        return f"a {type(model).__name__} does not say what its features are"
    return model.why_no_features


def features_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return `features` of a model, [N,C,H,W] in [0, 1] -> [N,D].

    Raises:
        InputError: it has none.
    """
    reason = why_no_features(model)
    if reason:
        raise InputError(f"this needs a network with features, and this one has none: {reason}")
    assert isinstance(model, Classifier | ModelWrapper)
    return model.features


def known_classes(model: nn.Module) -> int | None:
    """Return K of a model of our own; None of anybody else's, whatever attributes it has."""
    return model.num_classes if isinstance(model, Classifier | ModelWrapper) else None


def known_shape(model: nn.Module) -> tuple[int, int, int] | None:
    """Return the (C, H, W) that a model of our own was made for; None where it is not known."""
    return model.image_shape if isinstance(model, Classifier | ModelWrapper) else None


def innermost(model: nn.Module) -> nn.Module:
    """Return the network within wrappers, for a look at its layers."""
    while isinstance(model, ModelWrapper):
        model = model.model
    return model


def masking_parts(model: nn.Module) -> tuple[str, ...]:
    """Return the parts that a model says hide its gradient: dotted names of submodules.

    The attribute of that name counts where it is a list of such names; it may be something else in
    anybody's model.
    """
    named = getattr(model, "masking_parts", ())
    if not isinstance(named, tuple | list) or not all(isinstance(one, str) for one in named):
        return ()
    known = {name for name, _ in model.named_modules(remove_duplicate=False)} if named else set()
    return tuple(name for name in named if name in known)


def attack_surrogates(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the models that a model offers to attacks (see `Classifier`), if it offers any."""
    offer = getattr(model, "attack_surrogates", None)
    offered = offer() if callable(offer) else ()
    if not isinstance(offered, tuple):
        return ()
    return tuple(one for one in offered if isinstance(one, nn.Module))


def is_stochastic(model: nn.Module) -> bool:
    """Return whether a model says that two passes of one image can differ."""
    return getattr(model, "stochastic", False) is True


@torch.inference_mode(False)
def clean_tensor(value: Tensor) -> Tensor:
    """Return a person's tensor without graph or inference mode; the memory may be shared."""
    value = value.detach()
    return value.clone() if value.is_inference() else value
