"""ATLD-, ATLD and ATLD+ under attacks that know less or more of the transformation.

Static, transfer and adaptive attacks, and the worst case of all: what Croce, Gowal, Brunner,
Shelhamer, Hein and Cemgil, "Evaluating the Adversarial Robustness of Adaptive Test-time Defenses",
ICML 2022, arXiv:2202.13711, ask of defences that act at test time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust_core.attacks.apgd import APGD
from robust_core.data import ImageSet
from robust_core.evaluation.batch import check_budget, watched
from robust_core.gradients import predict_logits
from robust_core.losses import is_correct
from robust_core.threat_model import ThreatModel

MODES = {"": "ATLD-", "imt": "ATLD", "imt_plus": "ATLD+"}  # -> what the paper calls it
SMOOTH = "imt_smooth"  # predicts as ATLD does, and shows an attack how the step reacts
PASSES = {"": 1, "imt": 3, "imt_plus": 3, SMOOTH: 6}  # of the base network for one of the mode
FEWEST_CLASSES = 3  # that the difference of logits ratio needs

OnStage = Callable[[str, float], object]  # what begins, and the share of the work done in [0, 1]


@dataclass(frozen=True)
class ModeResult:
    """Accuracies of one inference mode, in [0, 1].

    Attributes:
        name: what the paper calls it.
        clean: without an attack.
        static: adversarial images of the base network.
        transfer: those of another model; None without one.
        adaptive: those of the mode itself.
        smooth: those of ATLD with its smooth backward pass; None for the base network.
        worst: correct on the clean image and under each of the attacks.
    """

    name: str
    clean: float
    static: float
    transfer: float | None
    adaptive: float
    smooth: float | None
    worst: float


@dataclass(frozen=True)
class ModeComparison:
    """The three inference modes, and what they were measured with.

    Attributes:
        results: ATLD-, ATLD, ATLD+.
        attack: APGD with its parameters.
        num_images: N.
        surrogate: name of the other model, or None.
    """

    results: tuple[ModeResult, ...]
    attack: APGD
    num_images: int
    surrogate: str | None


def strong_attack(num_classes: int, threat_model: ThreatModel, num_steps: int, seed: int) -> APGD:
    """Return APGD on the difference of logits ratio, which label smoothing does not flatten.

    It keeps its best iterate, so it sees through a transformation whose sign flips at every step.
    With two classes, on the cross-entropy.
    """
    return APGD(
        norm=threat_model.norm,
        epsilon=threat_model.epsilon,
        num_steps=num_steps,
        loss="dlr" if num_classes >= FEWEST_CLASSES else "cross_entropy",
        seed=seed,
    )


def comparison_passes(attack: APGD) -> int:
    """Return the passes of the base network that comparing the modes on one image takes."""
    return (sum(PASSES.values()) + PASSES[""]) * attack.passes()  # adaptive ones, the surrogate's


def compare_modes(
    models: Mapping[str, nn.Module],
    images: ImageSet,
    attack: APGD,
    *,
    surrogate: tuple[str, nn.Module] | None = None,
    on_pass: Callable[[], None] | None = None,
    on_stage: OnStage | None = None,
) -> ModeComparison:
    """Attack the inference modes of an ATLD checkpoint and return what each of them withstands.

    Args:
        models: inference mode -> network, for all of `MODES`; and for `SMOOTH` where there is one.
        images: N of them.
        attack: made by `strong_attack`.
        surrogate: name and network of another model for the same images and classes.
        on_pass: called at every pass of an attack; an exception it raises ends the work.
        on_stage: told in words what begins, and the share of the work that is done.
    """
    adversarial: dict[str, Tensor] = {}
    order = [*MODES, *([SMOOTH] if SMOOTH in models else [])]
    done, total = 0, sum(PASSES.values()) + (surrogate is not None)
    attacked = {name: (MODES.get(name, "ATLD, smoothly"), models[name]) for name in order}
    for name, (title, model) in (
        attacked if surrogate is None else attacked | {"transfer": surrogate}
    ).items():
        if on_stage is not None:
            on_stage(f"Attacking {title}", done / total)
        adversarial[name] = attack(watched(model, on_pass), images.x, images.y)
        check_budget(adversarial[name], images.x, attack)
        done += PASSES.get(name, 1)
    results = tuple(_result(name, models[name], images, adversarial) for name in MODES)
    return ModeComparison(results, attack, len(images), None if surrogate is None else surrogate[0])


def _result(
    name: str, model: nn.Module, images: ImageSet, adversarial: Mapping[str, Tensor]
) -> ModeResult:
    """Return what one mode makes of the images of all attacks that concern it."""
    correct = {
        made: is_correct(predict_logits(model, x), images.y)
        for made, x in {"clean": images.x, **adversarial}.items()
        if made in ("clean", "", "transfer", name) or (made == SMOOTH and name)
    }
    share = {made: float(row.double().mean()) for made, row in correct.items()}
    return ModeResult(
        MODES[name],
        clean=share["clean"],
        static=share[""],
        transfer=share.get("transfer"),
        adaptive=share[name],
        smooth=share.get(SMOOTH),
        worst=float(torch.stack(list(correct.values())).all(dim=0).double().mean()),
    )
