"""The faster twins of a model, kept as long as the model lives and does not change."""

import copy
import threading
from weakref import WeakKeyDictionary

import torch
from torch import nn

from robust_core.acceleration.compilation import CompiledStep
from robust_core.acceleration.fusion import FoldedResNetTrunk, FoldedTrunk, InPrecision
from robust_core.acceleration.mode import Engine, current_engine
from robust_core.models.base import Classifier, Normalize
from robust_core.models.guard import ModelWrapper
from robust_core.models.heads import CosineHead
from robust_core.models.preact_resnet import PreActResNet18
from robust_core.models.preact_trunk import PreActBlock, PreActTrunk
from robust_core.models.resnet import ResNet18, ResNetBlock, ResNetTrunk, Shortcut
from robust_core.models.small_cnn import SmallCNN
from robust_core.models.wide_resnet import WideResNet

BODIES: dict[type[nn.Module], str] = {  # where the convolutions of a network are
    PreActResNet18: "trunk",
    ResNet18: "trunk",
    WideResNet: "trunk",
    SmallCNN: "layers",
}
PARTS = {
    Normalize,
    PreActTrunk,
    PreActBlock,
    ResNetTrunk,
    ResNetBlock,
    Shortcut,
    nn.Sequential,
    nn.Conv2d,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Linear,
    CosineHead,
}


def prepared(model: nn.Module) -> nn.Module:
    """Return `model` made ready for an attack as `current_engine` says: the same predictions.

    Only networks are prepared whose every part is known, exactly as this package made it, in eval
    mode and with no parameter that requires a gradient: a model in training, a stochastic or
    masked one, one with hooks, or anything unknown comes back as it is. Twins are made once and
    kept while the model lives; a model whose tensors were replaced or written to since (by
    `load_state_dict`, or any other operation that torch counts as a change) gets new ones.
    """
    engine = current_engine()
    if engine.precision == "reference" or not _is_known(model):
        return model
    versions = _versions(model)
    if versions is None:
        return model
    with _LOCK:
        kept = _TWINS.get(model)
        if kept is None or kept.versions != versions:
            kept = _TWINS[model] = _Twins(model, versions)
    return kept.get(model, engine)


def search_model(model: nn.Module) -> nn.Module:
    """Return the model whose gradients steer a search: `model` itself, or its bfloat16 twin."""
    return getattr(model, "search_model", model)


def is_prepared(model: nn.Module) -> bool:
    """Return whether `model` is, or wraps, a network that `prepared` has made."""
    return any(isinstance(part, InPrecision) for part in model.modules())


def exact_model(model: nn.Module) -> nn.Module:
    """Return the float32 model that decides: `model` itself, or what it was prepared with."""
    return getattr(model, "exact_model", model)


class Prepared(ModelWrapper):
    """A twin in float32 that decides, and what is searched: one in bfloat16, a compiled step.

    Called, or wrapped, it is its float32 twin; a wrapper that wants more of it (to count passes,
    say) offers `exact_model`, `search_model` and `search_step` again.

    Attributes:
        exact_model: the float32 twin that decides.
        search_model: the twin whose gradients are followed.
        search_step: compiled gradient of the search model, or None.
    """

    def __init__(
        self, exact_model: Classifier, search_model: nn.Module, search_step: CompiledStep | None
    ) -> None:
        super().__init__(exact_model)
        self.exact_model = exact_model
        self.search_model = search_model
        self.search_step = search_step
        self.eval()


class _Twins:
    """The twins of one state of a model, each made when it is first asked for."""

    def __init__(self, model: nn.Module, versions: tuple[tuple[int, int], ...]) -> None:
        self.versions = versions
        self._lock = threading.Lock()
        self._exact = _twin(model, torch.float32)
        self._low: Classifier | None = None
        self._ready: dict[Engine, nn.Module] = {Engine("float32"): self._exact}

    def get(self, model: nn.Module, engine: Engine) -> nn.Module:
        """Return what `engine` asks for."""
        with self._lock:
            if engine not in self._ready:
                self._ready[engine] = self._make(model, engine)
            return self._ready[engine]

    def _make(self, model: nn.Module, engine: Engine) -> Prepared:
        search = self._exact
        if engine.precision == "bfloat16":
            self._low = self._low or _twin(model, torch.bfloat16)
            search = self._low
        step = None
        if engine.compiled != "no":
            step = CompiledStep(search, in_background=engine.compiled == "background")
        return Prepared(self._exact, search, step)


_TWINS: WeakKeyDictionary[nn.Module, _Twins] = WeakKeyDictionary()
_LOCK = threading.Lock()


def _is_known(model: nn.Module) -> bool:
    return type(model) in BODIES and all(
        (part is model or type(part) in PARTS)
        and not part.training
        and "forward" not in vars(part)
        and not (part._forward_hooks or part._forward_pre_hooks)
        and not (part._backward_hooks or part._backward_pre_hooks)
        and not (isinstance(part, nn.BatchNorm2d) and part.running_var is None)
        for part in model.modules()
    )


def _versions(model: nn.Module) -> tuple[tuple[int, int], ...] | None:
    """Return what changes when a tensor is replaced or written to; None: it cannot be told."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.requires_grad or tensor.is_inference() for tensor in tensors):
        return None
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in tensors):
        return None
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)


def _twin(model: nn.Module, dtype: torch.dtype) -> Classifier:
    twin = copy.deepcopy(model)
    assert isinstance(twin, Classifier)
    name = BODIES[type(model)]
    body = twin.get_submodule(name)
    if isinstance(body, PreActTrunk):
        body = FoldedTrunk(body, shift_sums=dtype is torch.float32)
    elif isinstance(body, ResNetTrunk):
        body = FoldedResNetTrunk(body)
    twin.set_submodule(name, InPrecision(body, dtype))
    return twin.eval().requires_grad_(False)
