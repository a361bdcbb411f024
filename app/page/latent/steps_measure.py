"""Accuracy against the step size of the transformation (IMT) of an ATLD checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

from app.page.latent.survey import transformation
from app.page.latent.uses_measure import COST
from app.ui import cached
from app.ui.honesty import Interruptible
from robust_core.attacks.apgd import APGD
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.batch import check_budget
from robust_core.evaluation.lowest import wilson_interval
from robust_core.gradients import predict_logits
from robust_core.inference.manifold_transformation import ManifoldTransformed
from robust_core.losses import is_correct
from robust_core.threat_model import LARGEST_EPSILON, Norm

SHARES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)  # of the step size that the checkpoint came with


@dataclass(frozen=True)
class StepCurve:
    """Which images are right behind the transformation, for each of its V step sizes.

    Attributes:
        attack: APGD with its parameters.
        norm: of the step.
        default: the step size that the checkpoint came with, in pixel units.
        limited: whether it is ATLD+, with half a step where the discriminator is undecided.
        step_sizes: V values in pixel units, ascending, the first 0 (ATLD-).
        right: kind -> bool [V,N]: "clean"; "static", attacked images crafted once on the bare
            network; "adaptive", crafted through each transformation; "worst", all of these.
    """

    attack: APGD
    norm: Norm
    default: float
    limited: bool
    step_sizes: tuple[float, ...]
    right: dict[str, Tensor]

    @property
    def num_images(self) -> int:
        """How many images were attacked."""
        return self.right["clean"].shape[1]

    def accuracies(self, kind: str) -> list[float]:
        """Return the share of images that are right at each step size, in [0, 1]."""
        return self.right[kind].double().mean(dim=1).tolist()

    def intervals(self, kind: str) -> list[tuple[float, float]]:
        """Return the 95 % interval of each of `accuracies`."""
        counts: list[int] = self.right[kind].sum(dim=1).tolist()
        return [wilson_interval(count, self.num_images) for count in counts]


def step_sizes(info: CheckpointInfo) -> tuple[float, ...]:
    """Return the step sizes of the curve: 0, the checkpoint's own, and some below and above it."""
    budget = transformation(info).threat_model
    largest = LARGEST_EPSILON[budget.norm]
    return tuple(sorted({min(share * budget.epsilon, largest) for share in SHARES}))


def expected_seconds(info: CheckpointInfo, attack: APGD, num_images: int) -> float:
    """Return about how long `measure` takes on this machine."""
    rounds = 1 + COST["imt"] * sum(size > 0 for size in step_sizes(info))
    return rounds * attack.passes() * num_images * cached.seconds_per_pass(info, 64)


def known_curve(
    info: CheckpointInfo, attack: APGD, num_images: int, *, limited: bool
) -> StepCurve | None:
    """Return exactly this curve if it was measured lately."""
    return _curves().get((info.digest, attack, num_images, limited))


def measure(
    info: CheckpointInfo,
    attack: APGD,
    num_images: int,
    *,
    limited: bool,
    check: Callable[[], None],
    on_stage: Callable[[str, float], object],
) -> StepCurve:
    """Attack an ATLD checkpoint at every step size and return what it withstands.

    Args:
        info: any use of the checkpoint.
        attack: made by `latent_uses.strong_attack`.
        num_images: of a stratified sample of the test split.
        limited: measure ATLD+ in place of ATLD.
        check: asked at every pass; ends the work by raising `cached.Superseded`.
        on_stage: told in words what begins, and the share of the work that is done.

    Raises:
        InputError: the checkpoint or its images cannot be loaded.
    """
    images = cached.load_images(info).sample(num_images)
    own, sizes = transformation(info), step_sizes(info)
    models = [_with_step(own, size, limited=limited) for size in sizes]
    right: dict[str, list[Tensor]] = {"clean": [], "static": [], "adaptive": []}
    static = images.x
    for place, (size, model) in enumerate(zip(sizes, models, strict=True)):
        on_stage(f"Step size {place + 1} of {len(sizes)}", place / len(sizes))
        through = Interruptible(own.model if size == 0 else model, check)
        with cached.heavy_work(check):
            adaptive = attack(through, images.x, images.y)
            check_budget(adaptive, images.x, attack)
            if place == 0:
                static = adaptive
            for kind, x in (("clean", images.x), ("static", static), ("adaptive", adaptive)):
                right[kind].append(is_correct(predict_logits(through, x), images.y))
    rows = {kind: torch.stack(kinds) for kind, kinds in right.items()}
    rows["worst"] = torch.stack(list(rows.values())).all(dim=0)
    budget = own.threat_model
    curve = StepCurve(attack, budget.norm, budget.epsilon, limited, sizes, rows)
    _curves().put((info.digest, attack, num_images, limited), curve)
    return curve


def rows(curve: StepCurve) -> Sequence[dict[str, float | str]]:
    """Return the curve as rows of a table: kind, step size, accuracy and its interval."""
    return [
        {"kind": kind, "step_size": size, "accuracy": share, "low": low, "high": high}
        for kind in curve.right
        for size, share, (low, high) in zip(
            curve.step_sizes, curve.accuracies(kind), curve.intervals(kind), strict=True
        )
    ]


def _with_step(own: ManifoldTransformed, size: float, *, limited: bool) -> ManifoldTransformed:
    """Return the same transformation with another step size."""
    norm = own.threat_model.norm
    other = ManifoldTransformed(
        own.model, own.discriminator, epsilon=size, norm=norm, limited=limited
    )
    return other.eval()


@st.cache_resource
def _curves() -> cached.Recent[StepCurve]:
    return cached.Recent(16)
