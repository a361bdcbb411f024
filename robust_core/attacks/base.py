"""The contract of an attack, the checks around it and the registry."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.acceleration.optimised import exact_model, optimised, search_model
from robust_core.attacks.preset import AttackPreset
from robust_core.errors import InputError
from robust_core.gradients import is_approximate, predict_logits, repeatable_noise
from robust_core.losses import is_correct
from robust_core.models.guard import GuardedModel, clean_tensor, guarded, known_classes
from robust_core.models.modes import evaluation_mode
from robust_core.parameters import PIXEL_UNIT
from robust_core.registry import Registry
from robust_core.threat_model import ThreatModelParameters

ATTACKS: Registry["type[Attack]"] = Registry("attack", "robust_core.attacks")

LossName = Annotated[
    Literal["cross_entropy", "margin", "dlr"],
    Field(
        description="Loss to maximise: cross-entropy, the margin between logits (CW loss), or the "
        "difference of logits ratio (DLR, a margin that does not depend on the scale of the "
        "logits)."
    ),
]
NumSteps = Annotated[int, Field(ge=1, le=10_000, description="Number of gradient steps.")]
StepSize = Annotated[
    float | None,
    Field(
        ge=0.0,
        le=100.0,
        description="Step size in pixel units ([0, 1]); automatic: 2.5 * epsilon / num_steps.",
        json_schema_extra=PIXEL_UNIT,
    ),
]
RandomStart = Annotated[
    bool,
    Field(
        description="Start from a uniformly random perturbation within epsilon instead of "
        "the clean image."
    ),
]
NumRestarts = Annotated[
    int,
    Field(
        ge=1,
        le=100,
        description="Independent random restarts; an image is fooled if any of them succeeds.",
    ),
]
EotSamples = Annotated[
    int,
    Field(
        ge=1,
        le=1000,
        description="Forward passes averaged per gradient (EOT); use more than 1 "
        "for stochastic models.",
    ),
]
TRAIN_MODE = "the model, or a layer of it, is in train mode: it is "
Seed = Annotated[int, Field(ge=0, le=2**31 - 1, description="Random seed of the attack.")]


@dataclass(frozen=True)
class AttackStep:
    """One iterate of an attack, as `on_step` receives it.

    index: gradient steps taken so far, 0 is the start. restart: which start this is, from 0.
    x_adv [N,C,H,W] in [0, 1]; loss [N], what the attack ascends; logits [N,K]. N counts the images
    still attacked: later restarts leave out the images that are fooled.
    """

    index: int
    x_adv: Tensor
    loss: Tensor
    logits: Tensor
    restart: int = 0


OnStep = Callable[[AttackStep], None]


class Attack(ThreatModelParameters, ABC):
    """Parameters plus a function: perturbs images within a threat model.

    An attack owns no model and decides nothing: the evaluator evaluates the images it returns.
    Budget attacks stay within epsilon; minimum-norm attacks (`minimum_norm`) look for the nearest
    adversarial image and are evaluated by distance <= epsilon. Attacks that ask for outputs only
    (`gradient_free`) are not stopped by masked gradients. Those that take no image for fooled
    without a float32 confirmation may follow a model in low precision (`searches_low_precision`);
    the others are given the float32 one.

    Attributes:
        title: what papers call it, as it stands within a sentence.
        presets: what evaluations offer of exactly this class; a subclass has its own or none.
        advanced: those parameters that a form shows only if it is asked to.
        for_stochastic_models: parameters that a preset takes besides where a model answers at
            random.
    """

    title: ClassVar[str] = ""
    minimum_norm: ClassVar[bool] = False
    gradient_free: ClassVar[bool] = False
    searches_low_precision: ClassVar[bool] = False
    presets: ClassVar[tuple[AttackPreset, ...]] = ()
    advanced: ClassVar[tuple[str, ...]] = (
        *("num_restarts", "step_size", "random_start", "loss", "eot_samples", "seed"),
    )
    for_stochastic_models: ClassVar[Mapping[str, Any]] = {}

    seed: Seed = 0

    @property
    def name(self) -> str:
        """The name under which the attack is registered; its class name if it is not."""
        return ATTACKS.name_of(type(self)) or type(self).__name__

    @property
    def averaged_passes(self) -> int:
        """Passes whose mean each gradient is (EOT); 1 where there is no such choice."""
        return getattr(self, "eot_samples", 1)

    @torch.inference_mode(False)
    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return adversarial images [N,C,H,W] in [0, 1], detached.

        Called inside `torch.inference_mode`, it leaves that mode meanwhile, for no gradient would
        be there. The seed decides what a stochastic model draws meanwhile, too. An image whose
        search ends in pixels that are no numbers comes back as it was.

        Args:
            model: maps [N,C,H,W] in [0, 1] to logits [N,K]; attacked in eval mode, left unchanged.
            x: clean images [N,C,H,W], float in [0, 1].
            y: true labels [N], int64.
            target: labels to reach [N], int64; None attacks untargeted.
            on_step: called with every iterate.

        Raises:
            InputError: images outside [0, 1] or not [N,C,H,W], or that the model cannot take;
                labels of the wrong shape, type or range; somebody else's model whose outputs for
                the first image are no finite logits of two classes or more, or that raises.
        """
        guarded_model = check_images(model, x, y, target)
        x, y = clean_tensor(x), clean_tensor(y)
        target = None if target is None else clean_tensor(target)
        if len(x) == 0:
            return x.clone()
        if isinstance(guarded_model, GuardedModel) and not guarded_model.is_finite:
            raise InputError("the model should return finite logits, got NaN or infinity")
        if any(part.training for part in model.modules()):
            warnings.warn(TRAIN_MODE + "attacked in eval mode", stacklevel=2)
        noise = repeatable_noise(self.seed, x.device, stream="attack")
        with evaluation_mode(guarded_model), noise:
            searched = self.searched_model(optimised(guarded_model))
            x_adv = self.perturb(searched, x, y, target, on_step).detach()
            if is_approximate(searched):
                x_adv = self._settle(searched, x, y, target, x_adv)
        lost = ~torch.isfinite(x_adv).flatten(1).all(dim=1)  # its search met such outputs
        return torch.where(lost.view(-1, 1, 1, 1), x, x_adv).contiguous()

    def searched_model(self, model: nn.Module) -> nn.Module:
        """Return what `perturb` may attack of an optimised model: all of it or its float32 part."""
        return model if self.searches_low_precision else exact_model(model)

    def _settle(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, x_adv: Tensor
    ) -> Tensor:
        """Attack in float32 the images that are fooled for the low precision only."""
        wanted, reverse = (y, True) if target is None else (target, False)
        found, exact = (
            is_correct(predict_logits(network, x_adv), wanted) ^ reverse
            for network in (search_model(model), exact_model(model))
        )
        doubtful = found & ~exact
        if bool(doubtful.any()):
            steered = None if target is None else target[doubtful]
            again = self.perturb(exact_model(model), x[doubtful], y[doubtful], steered, None)
            x_adv[doubtful] = again.detach()
        return x_adv

    @abstractmethod
    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Do the work of `__call__` on checked input, with the model in eval mode."""

    @abstractmethod
    def passes(self) -> int:
        """Return an upper bound on the forward-backward passes per image (the cost shown)."""


def create_attack(name: str, **parameters: Any) -> Attack:
    """Return the attack registered as `name` with `parameters`.

    Raises:
        InputError: unknown name or parameter, or a value out of its range.
    """
    return attack_from(name, parameters)


def attack_from(name: str, parameters: Mapping[str, Any]) -> Attack:
    """Return the attack registered as `name` with `parameters` (a mapping from JSON or a form)."""
    return ATTACKS.get(name).create(parameters)


def attack_presets() -> dict[str, tuple[str, AttackPreset]]:
    """Return all presets by their titles, each with the name of its attack, in their places."""
    found = [
        (name, preset)
        for name in ATTACKS.names()
        for preset in vars(ATTACKS.get(name)).get("presets", ())
    ]
    return {one.title: (name, one) for name, one in sorted(found, key=lambda pair: pair[1].place)}


def automatic_step_size(step_size: float | None, epsilon: float, num_steps: int) -> float:
    """Return `step_size`, or 2.5 * epsilon / num_steps where it is None (pixel units)."""
    return 2.5 * epsilon / num_steps if step_size is None else step_size


def check_images(model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> nn.Module:
    """Return the model, guarded, if images and labels fit each other and it.

    Raises:
        InputError: they do not, in one sentence.
    """
    for word, value in (("images", x), ("labels", y), ("targets", target)):
        if value is not None and not isinstance(value, Tensor):
            raise InputError(f"{word} must be a torch.Tensor, got a {type(value).__name__}")
    if x.dim() != 4 or x.dtype != torch.float32:
        raise InputError(f"images must be float32 [N,C,H,W], got {x.dtype} {list(x.shape)}")
    if len(x) and not bool(((x >= 0) & (x <= 1)).all()):
        raise InputError(
            f"images must lie in [0, 1], got values from {x.min():.3g} to {x.max():.3g}"
        )
    for word, labels in (("labels", y), ("targets", target)):
        if labels is not None and (labels.dtype != torch.int64 or labels.shape != x.shape[:1]):
            raise InputError(
                f"{word} must be int64 [{len(x)}], got {labels.dtype} {list(labels.shape)}"
            )
    if len(x) == 0:
        return model
    searched = guarded(model, x)
    num_classes = known_classes(searched)
    assert num_classes is not None, "a guarded model knows how many logits it returns"
    for word, labels in (("labels", y), ("targets", target)):
        if labels is not None and not (0 <= int(labels.min()) <= int(labels.max()) < num_classes):
            raise InputError(
                f"{word} must be in [0, {num_classes - 1}], got {labels.min()} to {labels.max()}"
            )
    return searched
