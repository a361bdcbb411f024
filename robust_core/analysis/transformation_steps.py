"""Accuracy against the step size of the manifold transformation (IMT) of an ATLD checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust_core.analysis.inference_modes import PASSES, OnStage
from robust_core.attacks.apgd import APGD
from robust_core.data import ImageSet
from robust_core.evaluation.batch import check_budget, watched
from robust_core.evaluation.lowest import wilson_interval
from robust_core.gradients import predict_logits
from robust_core.inference.manifold_transformation import ManifoldTransformed
from robust_core.losses import is_correct
from robust_core.threat_model import Norm

SHARES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)  # of the step size that the checkpoint came with


@dataclass(frozen=True)
class StepCurve:
    """Which images are correct behind the transformation, for each of its V step sizes.

    Attributes:
        attack: APGD with its parameters.
        norm: of the step.
        default: the step size that the checkpoint came with, in pixel units.
        limited: whether it is ATLD+, with half a step where the discriminator is undecided.
        step_sizes: V values in pixel units, ascending, the first 0 (ATLD-).
        right: kind -> bool [V,N]: "clean"; "static", adversarial images of the base network;
            "adaptive", those of each transformation; "worst", all of these.
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
        """Return the share of images that are correct at each step size, in [0, 1]."""
        return self.right[kind].double().mean(dim=1).tolist()

    def intervals(self, kind: str) -> list[tuple[float, float]]:
        """Return the 95 % interval of each of `accuracies`."""
        counts: list[int] = self.right[kind].sum(dim=1).tolist()
        return [wilson_interval(count, self.num_images) for count in counts]

    def rows(self) -> list[dict[str, float | str]]:
        """Return the curve as rows of a table: kind, step size, accuracy and its interval."""
        return [
            {"kind": kind, "step_size": size, "accuracy": share, "low": low, "high": high}
            for kind in self.right
            for size, share, (low, high) in zip(
                self.step_sizes, self.accuracies(kind), self.intervals(kind), strict=True
            )
        ]


def step_sizes(own: ManifoldTransformed) -> tuple[float, ...]:
    """Return the step sizes of the curve: 0, the checkpoint's own, and some below and above it."""
    return tuple(sorted(set(own.threat_model.multiples(SHARES))))


def curve_passes(own: ManifoldTransformed, attack: APGD) -> int:
    """Return the passes of the base network that the curve of one image takes."""
    return (1 + PASSES["imt"] * sum(size > 0 for size in step_sizes(own))) * attack.passes()


def step_size_curve(
    own: ManifoldTransformed,
    images: ImageSet,
    attack: APGD,
    *,
    limited: bool = False,
    on_pass: Callable[[], None] | None = None,
    on_stage: OnStage | None = None,
) -> StepCurve:
    """Attack an ATLD checkpoint at every step size and return what it withstands.

    Args:
        own: the checkpoint's transformation.
        images: N of them.
        attack: made by `inference_modes.strong_attack`.
        limited: measure ATLD+ in place of ATLD.
        on_pass: called at every pass; an exception it raises ends the work.
        on_stage: told in words what begins, and the share of the work that is done.
    """
    sizes, threat_model = step_sizes(own), own.threat_model
    right: dict[str, list[Tensor]] = {"clean": [], "static": [], "adaptive": []}
    static = images.x
    for place, size in enumerate(sizes):
        if on_stage is not None:
            on_stage(f"Step size {place + 1} of {len(sizes)}", place / len(sizes))
        through = watched(_with_step(own, size, limited=limited) if size else own.model, on_pass)
        adaptive = attack(through, images.x, images.y)
        check_budget(adaptive, images.x, attack)
        if place == 0:
            static = adaptive
        for kind, x in (("clean", images.x), ("static", static), ("adaptive", adaptive)):
            right[kind].append(is_correct(predict_logits(through, x), images.y))
    rows = {kind: torch.stack(kinds) for kind, kinds in right.items()}
    rows["worst"] = torch.stack(list(rows.values())).all(dim=0)
    return StepCurve(attack, threat_model.norm, threat_model.epsilon, limited, sizes, rows)


def _with_step(own: ManifoldTransformed, size: float, *, limited: bool) -> ManifoldTransformed:
    """Return the same transformation with another step size."""
    norm = own.threat_model.norm
    other = ManifoldTransformed(
        own.model, own.discriminator, epsilon=size, norm=norm, limited=limited
    )
    return other.eval()
