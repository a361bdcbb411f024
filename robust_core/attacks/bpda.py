"""BPDA: gradient attack through a part that hides the gradient."""

import warnings
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from robust_core.acceleration.mode import Acceleration, use_acceleration
from robust_core.acceleration.optimised import exact_model, is_optimised
from robust_core.attacks.base import ATTACKS, Attack, OnStep
from robust_core.attacks.pgd import PGD
from robust_core.attacks.preset import AttackPreset
from robust_core.errors import InputError
from robust_core.inference.wrappers import with_substituted_backward
from robust_core.models.guard import masking_parts
from robust_core.registry import unknown_name

SUBSTITUTES: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
MOST_NAMES = 12  # of parts, in the sentence that answers a wrong one
NO_PART = "the model names no part that masks its gradient and none was chosen: this is plain PGD"
REARRANGED = (
    "; batch norm is fused into convolutions for speed, so choose the acceleration 'reference' to "
    "name parts within them"
)


@ATTACKS.register("bpda")
class BPDA(PGD):
    """PGD on a copy of the model whose gradient-masking parts have a differentiable backward pass.

    The parts are those that the model names in `masking_parts` (a quantiser, say), or the one
    chosen as `part`. Forward they act as they are. Backward they are

    - "identity": passed through unchanged, for a part that hardly changes its input (rounding);
    - "tanh": dtanh(v)/dv, for a part that takes the sign of v or something like it;
    - "sigmoid": the derivative of 1 / (1 + exp(-v)), for a part that is a step from 0 to 1 at 0.

    On a model that names none it is PGD, and warns of it.

    Source: Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security:
    Circumventing Defenses to Adversarial Examples", ICML 2018, arXiv:1802.00420, section 4.1.
    """

    title: ClassVar[str] = "BPDA"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("BPDA", 160),)
    advanced: ClassVar[tuple[str, ...]] = (*Attack.advanced, "part", "backward")

    part: Annotated[
        str | None,
        Field(
            max_length=200,
            description="Submodule whose backward pass is replaced, such as quantize; automatic "
            "or empty: the parts that the model declares as gradient-masking.",
        ),
    ] = None
    backward: Annotated[
        Literal["identity", "tanh", "sigmoid"],
        Field(
            description="Differentiable approximation used instead: identity if the part hardly "
            "changes its input, tanh for a sign, sigmoid for a step from 0 to 1 at 0."
        ),
    ] = "identity"

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Attack as every attack does; a chosen part is looked for in the model as it is.

        Raises:
            InputError: as for every attack; the model has no such part, or one whose outputs have
                another shape than its inputs.
        """
        if not self.part:
            return super().__call__(model, x, y, target=target, on_step=on_step)
        with use_acceleration(Acceleration("reference")):
            return super().__call__(model, x, y, target=target, on_step=on_step)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Attack the copy with substituted backward passes."""
        clone = self.substituted(model)
        if clone is model:
            warnings.warn(NO_PART, stacklevel=4)  # for the caller of `__call__`
        return super().perturb(clone, x, y, target, on_step)

    def substituted(self, model: nn.Module) -> nn.Module:
        """Return the model whose gradients the attack follows; the outputs are the same.

        It is `model` itself where nothing masks and no part was chosen.

        Raises:
            InputError: the model has no part of the chosen name.
        """
        parts: tuple[str, ...] = masking_parts(model)
        if self.part:
            model = exact_model(model)
            parts = (place_of(model, self.part),)
        if not parts:
            return model
        return with_substituted_backward(model, parts, SUBSTITUTES[self.backward]())


def place_of(model: nn.Module, part: str) -> str:
    """Return the dotted name of a part in a model that may be wrapped, as `model.model`.

    Raises:
        InputError: there is no such part; some that there are, are named.
    """
    names = {name for name, _ in model.named_modules(remove_duplicate=False)}
    wrappers = list(_wrappers(names))
    found = next((f"{wrapper}{part}" for wrapper in wrappers if f"{wrapper}{part}" in names), None)
    if found is not None:
        return found
    within = wrappers[-1]
    known = sorted(
        (name.removeprefix(within) for name in names if name.startswith(within) and name != within),
        key=lambda name: (name.count("."), name),
    )
    sentence = str(unknown_name("part", part, known))
    if len(known) > MOST_NAMES:
        some, more = ", ".join(known[:MOST_NAMES]), len(known) - MOST_NAMES
        sentence = f"{sentence.partition('; known: ')[0]}; known: {some} and {more} more"
    raise InputError(sentence + (REARRANGED if is_optimised(model) else ""))


def _wrappers(names: set[str]) -> Iterator[str]:
    """Yield "", "model.", "model.model." and so on, as long as there is one to go through."""
    prefix = ""
    yield prefix
    while f"{prefix}model" in names:
        prefix += "model."
        yield prefix
