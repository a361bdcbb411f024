"""What the page Hard pairs measures: one attack on many images, and what it costs.

Every image is attacked from itself, without a random start, so that one image alone takes the same
way on the page Attack as it took among the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import streamlit as st
import torch
from pydantic import Field
from torch import Tensor

from app.ui import cached
from robust_core.analysis.confusion import (
    Confusion,
    ConfusionPath,
    confusion,
    confusion_over_epsilons,
    count_pairs,
)
from robust_core.analysis.hard_classes import (
    TargetedOutcome,
    class_feature_similarity,
    class_weight_similarity,
    perturbation_alignment,
    targeted_outcome,
)
from robust_core.analysis.self_paced import class_cosines
from robust_core.attacks.base import Attack, AttackStep, LossName, create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import ImageSet
from robust_core.evaluation.batch import check_budget
from robust_core.evaluation.trace import STOCHASTIC_SAMPLES
from robust_core.gradients import predict_logits
from robust_core.models.base import Classifier
from robust_core.threat_model import BallParameters

BATCH = 60  # images that go through the network together: the gate is free for others in between
MOST_RESULTS = 16
RADII = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # times the radius of the attack
MOST_TARGETED = 120  # images of the targeted attacks
MOST_ALIGNED = 120  # images whose perturbations are compared with the gradients of every class
EOT_SAMPLES = 4  # passes a gradient, for models that draw random numbers

NO_CLASS_WEIGHTS = (
    "This network has no linear final layer with weights for every class, so there are no cosines "
    "between features and class weights."
)

OnShare = Callable[[float], None]  # share of the work done, in [0, 1]


class StudyPlan(BallParameters):
    """Which attack every image meets, and how many images there are."""

    num_steps: Annotated[int, Field(ge=1, le=200, description="Gradient steps of PGD.")] = 20
    num_images: Annotated[
        int, Field(ge=10, le=1000, description="Test images, the first ones of the split.")
    ] = 360
    loss: LossName = "cross_entropy"

    def attack(self, stochastic: bool) -> Attack:
        """Return PGD from the image itself; gradients of a stochastic model are averaged."""
        return create_attack(
            "pgd",
            norm=self.norm,
            epsilon=self.epsilon,
            num_steps=self.num_steps,
            loss=self.loss,
            random_start=False,
            eot_samples=EOT_SAMPLES if stochastic else 1,
        )


@dataclass(frozen=True, eq=False)
class Study:
    """One attack on N images, everything on the CPU.

    Attributes:
        plan: what was asked for. attack: the exact attack. images: what was attacked.
        x_adv: attacked images [N,C,H,W]. logits: of the images without an attack [N,K].
        prediction: classes predicted without an attack [N]. attacked: under attack [N].
        steps: classes predicted at every step, [T+1,N]; row 0 is before the first step.
        cosines: between features and class weights, plus the bias of a cosine head, [N,K]; None
            where the network has no class weights. cosines_adv: the same under attack.
        feature_similarity: of the classes' mean features [K,K].
        weight_similarity: of the classes' weights [K,K]; None as above.
    """

    plan: StudyPlan
    attack: Attack
    images: ImageSet
    x_adv: Tensor
    logits: Tensor
    prediction: Tensor
    attacked: Tensor
    steps: Tensor
    cosines: Tensor | None
    cosines_adv: Tensor | None
    feature_similarity: Tensor
    weight_similarity: Tensor | None

    def confusion(self) -> Confusion:
        """Return the confusion without and with the attack."""
        images = self.images
        return confusion(images.y, self.prediction, self.attacked, images.num_classes)

    def path(self) -> ConfusionPath:
        """Return the confusion at every step of the attack."""
        y, num_classes = self.images.y, self.images.num_classes
        counts = torch.stack([count_pairs(y, row, num_classes) for row in self.steps])
        return ConfusionPath(tuple(map(float, range(len(counts)))), counts)

    def cell(self, label: int, predicted: int) -> Tensor:
        """Return the positions of the images of a class that end as another."""
        return torch.where((self.images.y == label) & (self.attacked == predicted))[0]


def images_of(info: CheckpointInfo, plan: StudyPlan) -> ImageSet:
    """Return the test images that a plan attacks."""
    return cached.load_images(info).in_sample_order().subset(slice(plan.num_images))


def seconds(info: CheckpointInfo, attack: Attack, num_attacks: int) -> float:
    """Return about how long it takes to attack `num_attacks` images on this machine."""
    return num_attacks * attack.passes() * seconds_per_pass(info)


def seconds_per_pass(info: CheckpointInfo) -> float:
    """Return the time of a forward-backward pass of one image among many, as measured here."""
    return cached.seconds_per_pass(info, BATCH)


def known_study(info: CheckpointInfo, plan: StudyPlan) -> Study | None:
    """Return the study of exactly this plan if it was run lately."""
    return _results().get(_key("study", info, plan))


def run_study(
    info: CheckpointInfo, plan: StudyPlan, *, check: Callable[[], None], on_share: OnShare
) -> Study:
    """Attack all images of the plan once.

    Args:
        info: the attacked checkpoint.
        plan: the attack and the images.
        check: called at every step; ends the study by raising `cached.Superseded`.
        on_share: told how far it is.

    Raises:
        Superseded: as `check` says.
        InputError: the checkpoint cannot be loaded.
    """
    model, images = cached.load_model(info), images_of(info, plan)
    attack = plan.attack(model.stochastic)
    parts: list[tuple[Tensor, ...]] = []
    done, total = 0, -(-len(images) // BATCH) * (plan.num_steps + 1)

    def count() -> None:
        nonlocal done
        check()
        done += 1
        on_share(min(done / total, 1.0))

    for start in range(0, len(images), BATCH):
        with cached.heavy_work(check):
            parts.append(
                _attacked(model, images.subset(slice(start, start + BATCH)), attack, count)
            )
    x_adv, logits, logits_adv = (torch.cat(column) for column in list(zip(*parts, strict=True))[:3])
    with cached.heavy_work(check):
        similarity = class_feature_similarity(model, images.x, images.y, batch_size=BATCH)
        cosines, cosines_adv = (
            class_cosines(model, x, batch_size=BATCH) for x in (images.x, x_adv)
        )
    study = Study(
        plan=plan,
        attack=attack,
        images=images,
        x_adv=x_adv,
        logits=logits,
        prediction=logits.argmax(dim=1),
        attacked=logits_adv.argmax(dim=1),
        steps=torch.cat([part[3] for part in parts], dim=1),
        cosines=cosines,
        cosines_adv=cosines_adv,
        feature_similarity=similarity,
        weight_similarity=None if cosines is None else class_weight_similarity(model),
    )
    _results().put(_key("study", info, plan), study)
    return study


def known_radii(info: CheckpointInfo, plan: StudyPlan) -> ConfusionPath | None:
    """Return the confusion over radii if it was measured lately."""
    return _results().get(_key("radii", info, plan))


def run_radii(
    info: CheckpointInfo, plan: StudyPlan, *, check: Callable[[], None], on_share: OnShare
) -> ConfusionPath:
    """Return the confusion at `RADII` times the radius; arguments as of `run_study`."""
    model, images = cached.load_model(info), images_of(info, plan)
    attack = plan.attack(model.stochastic)
    counts: list[Tensor] = []
    radii = [min(factor * plan.epsilon, _largest_epsilon(plan)) for factor in RADII]
    starts = range(0, len(images), BATCH)
    for number, radius in enumerate(radii):
        parts = []
        for place, start in enumerate(starts):
            chosen = slice(start, start + BATCH)
            with cached.heavy_work(check):
                path = confusion_over_epsilons(
                    model,
                    images.x[chosen],
                    images.y[chosen],
                    attack,
                    [radius],
                    eot_samples=STOCHASTIC_SAMPLES if model.stochastic else 1,
                )
            parts.append(path.counts[0])
            on_share((number + (place + 1) / len(starts)) / len(radii))
        counts.append(torch.stack(parts).sum(dim=0))
    found = ConfusionPath(tuple(radii), torch.stack(counts))
    _results().put(_key("radii", info, plan), found)
    return found


def known_targeted(info: CheckpointInfo, plan: StudyPlan) -> TargetedOutcome | None:
    """Return what targeted attacks reached if they were run lately."""
    return _results().get(_key("targeted", info, plan))


def run_targeted(
    info: CheckpointInfo, plan: StudyPlan, *, check: Callable[[], None], on_share: OnShare
) -> TargetedOutcome:
    """Attack the first `MOST_TARGETED` images towards every class; arguments as of `run_study`."""
    model = cached.load_model(info)
    images = images_of(info, plan).subset(slice(0, MOST_TARGETED))
    attack = plan.attack(model.stochastic)
    parts: list[TargetedOutcome] = []
    starts = range(0, len(images), BATCH // 2)
    for number, start in enumerate(starts):
        chosen = slice(start, start + BATCH // 2)

        def report(target: int, num_classes: int, number: int = number) -> None:
            check()
            on_share((number + target / num_classes) / len(starts))

        with cached.heavy_work(check):
            parts.append(
                targeted_outcome(
                    model,
                    images.x[chosen],
                    images.y[chosen],
                    attack,
                    eot_samples=STOCHASTIC_SAMPLES if model.stochastic else 1,
                    on_progress=report,
                )
            )
    found = TargetedOutcome(
        torch.cat([part.success for part in parts]), torch.cat([part.lead for part in parts])
    )
    _results().put(_key("targeted", info, plan), found)
    return found


def known_alignment(info: CheckpointInfo, plan: StudyPlan) -> Tensor | None:
    """Return what perturbations follow if it was measured lately."""
    return _results().get(_key("alignment", info, plan))


def run_alignment(
    info: CheckpointInfo, study: Study, *, check: Callable[[], None], on_share: OnShare
) -> Tensor:
    """Return `perturbation_alignment` [K,K] of the first `MOST_ALIGNED` images of a study."""
    model, chosen = cached.load_model(info), slice(0, MOST_ALIGNED)

    def report(done: int, total: int) -> None:
        check()
        on_share(done / total)

    with cached.heavy_work(check):
        found = perturbation_alignment(
            model,
            study.images.x[chosen],
            study.images.y[chosen],
            study.x_adv[chosen],
            batch_size=BATCH // 2,
            on_progress=report,
        )
    _results().put(_key("alignment", info, study.plan), found)
    return found


def _attacked(
    model: Classifier, images: ImageSet, attack: Attack, count: Callable[[], None]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return attacked images, logits before and after, and the classes of every step [T+1,N]."""
    steps: list[Tensor] = []

    def observe(step: AttackStep) -> None:
        count()
        steps.append(step.logits.argmax(dim=1).cpu())

    x_adv = attack(model, images.x, images.y, on_step=observe)
    check_budget(x_adv, images.x, attack)
    samples = STOCHASTIC_SAMPLES if model.stochastic else 1
    before, after = (predict_logits(model, x, eot_samples=samples) for x in (images.x, x_adv))
    return x_adv, before, after, torch.stack(steps)


def _largest_epsilon(plan: StudyPlan) -> float:
    return 1.0 if plan.norm == "Linf" else 100.0


@st.cache_resource
def _results() -> cached.Recent:
    return cached.Recent(MOST_RESULTS)


def _key(kind: str, info: CheckpointInfo, plan: StudyPlan) -> tuple:
    return kind, info.name, info.digest, plan
