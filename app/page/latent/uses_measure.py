"""ATLD-, ATLD and ATLD+ under attacks that know less or more of the transformation."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

from app.page.latent.survey import base_name
from app.ui import cached
from app.ui.honesty import Interruptible
from robust_core.attacks.apgd import APGD
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.batch import check_budget
from robust_core.evaluation_runs.subjects import undefended_model
from robust_core.gradients import predict_logits
from robust_core.losses import is_correct
from robust_core.models.base import Classifier
from robust_core.threat_model import ThreatModel

USES = {"": "ATLD-", "imt": "ATLD", "imt_plus": "ATLD+"}  # inference -> what the paper calls it
SMOOTH = "imt_smooth"  # answers as ATLD does, and shows an attack how the step reacts
COST = {"": 1, "imt": 3, "imt_plus": 3, SMOOTH: 6}  # passes of the network for one of the use
FEWEST_CLASSES = 3  # that the difference of logits ratio needs


@dataclass(frozen=True)
class UseResult:
    """Accuracies of one way to use the network, in [0, 1].

    clean: without an attack. static: crafted on the bare network. transfer: crafted on another
    model; None without one. adaptive: crafted through the use itself. smooth: crafted through ATLD
    with its smooth backward pass; None for the bare network. worst: right on the clean image and
    under each of the attacks.
    """

    name: str
    clean: float
    static: float
    transfer: float | None
    adaptive: float
    smooth: float | None
    worst: float


@dataclass(frozen=True)
class UsesReport:
    """The three uses, and what they were measured with.

    attack: APGD with its parameters. num_images: of the sample of test images. surrogate: name of
    the other model, or None.
    """

    results: tuple[UseResult, ...]
    attack: APGD
    num_images: int
    surrogate: str | None


def strong_attack(info: CheckpointInfo, threat_model: ThreatModel, steps: int, seed: int) -> APGD:
    """Return APGD on the difference of logits ratio, which label smoothing does not flatten.

    It keeps its best iterate, so it sees through a transformation whose sign flips at every step.
    """
    loss = "dlr" if info.num_classes >= FEWEST_CLASSES else "cross_entropy"
    return APGD(
        norm=threat_model.norm, epsilon=threat_model.epsilon, num_steps=steps, loss=loss, seed=seed
    )


def expected_seconds(info: CheckpointInfo, attack: APGD, num_images: int) -> float:
    """Return about how long `compare_uses` takes on this machine."""
    rounds = sum(COST.values()) + COST[""]  # adaptive ones, and the surrogate's
    return rounds * attack.passes() * num_images * cached.seconds_per_pass(_use(info, ""), 64)


def known_uses(info: CheckpointInfo, attack: APGD, num_images: int) -> UsesReport | None:
    """Return exactly this comparison if it was made lately."""
    return _reports().get((info.digest, attack, num_images))


def compare_uses(
    info: CheckpointInfo,
    attack: APGD,
    num_images: int,
    *,
    check: Callable[[], None],
    on_stage: Callable[[str, float], object],
) -> UsesReport:
    """Attack the three uses of an ATLD checkpoint and return what each of them withstands.

    Args:
        info: any use of the checkpoint.
        attack: made by `strong_attack`.
        num_images: of the sample of the test split.
        check: asked at every pass; ends the work by raising `cached.Superseded`.
        on_stage: told in words what begins, and the share of the work that is done.

    Raises:
        InputError: the checkpoint or its images cannot be loaded.
    """
    found = known_uses(info, attack, num_images)
    if found is not None:
        return found
    images = cached.load_images(info).sample(num_images)
    smooth = [SMOOTH] if SMOOTH in info.inferences else []  # not of models of long ago
    models = {name: cached.load_model(_use(info, name)) for name in (*USES, *smooth)}
    surrogate = undefended_model(info)

    def craft(model: Classifier) -> Tensor:
        with cached.heavy_work(check):
            x_adv = attack(Interruptible(model, check), images.x, images.y)
        check_budget(x_adv, images.x, attack)
        return x_adv

    crafted: dict[str, Tensor] = {}
    done, total = 0, sum(COST.values()) + (surrogate is not None)
    for name, model in models.items():
        on_stage(f"Attacking {USES.get(name, 'ATLD, smoothly')}", done / total)
        crafted[name] = craft(model)
        done += COST[name]
    if surrogate is not None:
        on_stage(f"Attacking {surrogate.name}", done / total)
        crafted["transfer"] = craft(cached.load_model(surrogate))
    results = []
    for name, title in USES.items():
        with cached.heavy_work(check):
            right = {
                made: is_correct(predict_logits(models[name], x), images.y)
                for made, x in {"clean": images.x, **crafted}.items()
                if made in ("clean", "", "transfer", name) or (made == SMOOTH and name)
            }
        share = {made: float(row.double().mean()) for made, row in right.items()}
        worst = float(torch.stack(list(right.values())).all(dim=0).double().mean())
        results.append(
            UseResult(
                title,
                clean=share["clean"],
                static=share[""],
                transfer=share.get("transfer"),
                adaptive=share[name],
                smooth=share.get(SMOOTH),
                worst=worst,
            )
        )
    report = UsesReport(
        tuple(results), attack, len(images), None if surrogate is None else surrogate.name
    )
    _reports().put((info.digest, attack, num_images), report)
    return report


def _use(info: CheckpointInfo, inference: str) -> CheckpointInfo:
    name = base_name(info)
    wanted = f"{name}:{inference}" if inference else name
    return next(other for other in cached.checkpoints() if other.name == wanted)


@st.cache_resource
def _reports() -> cached.Recent[UsesReport]:
    return cached.Recent(16)
