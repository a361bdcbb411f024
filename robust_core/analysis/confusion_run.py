"""One attack on many images, and everything that confusion and hard pairs are read from.

Every image is attacked from itself, without a random start, so that an image takes the same way
alone as among others.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from robust_core.analysis.confusion import Confusion, ConfusionPath, confusion, count_pairs
from robust_core.analysis.hard_classes import class_feature_similarity, class_weight_similarity
from robust_core.analysis.self_paced import class_cosines
from robust_core.attacks.base import Attack, AttackStep, LossName, OnStep, create_attack
from robust_core.data import ImageSet
from robust_core.evaluation.batch import check_budget
from robust_core.evaluation.trace import default_eot_samples
from robust_core.gradients import predict_logits
from robust_core.models.base import Classifier
from robust_core.threat_model import ThreatModelParameters

EOT_SAMPLES = 4  # passes a gradient, for models that draw random numbers


class ConfusionPlan(ThreatModelParameters):
    """Which attack every image meets, and how many images there are."""

    num_steps: Annotated[int, Field(ge=1, le=200, description="PGD steps.")] = 20
    num_images: Annotated[
        int, Field(ge=10, le=1000, description="Test images: the first ones of the split.")
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

    def images_of(self, images: ImageSet) -> ImageSet:
        """Return the images of a split that the plan attacks."""
        return images.in_sample_order().subset(slice(self.num_images))


@dataclass(frozen=True, eq=False)
class ConfusionRun:
    """One attack on N images, everything on the CPU.

    Attributes:
        plan: what was asked for. attack: the exact attack. images: what was attacked.
        x_adv: attacked images [N,C,H,W]. logits: of the images without an attack [N,K].
        prediction: classes predicted without an attack [N]. attacked: under attack [N].
        steps: classes predicted at every step, [T+1,N]; row 0 is before the first step.
        cosines: between features and class weights, plus the bias of a cosine head, [N,K]; None
            where the network has no class weights. cosines_adv: the same under attack.
        feature_similarity: of the classes' mean features [K,K]; None for a network without any.
        weight_similarity: of the classes' weights [K,K]; None as above.
    """

    plan: ConfusionPlan
    attack: Attack
    images: ImageSet
    x_adv: Tensor
    logits: Tensor
    prediction: Tensor
    attacked: Tensor
    steps: Tensor
    cosines: Tensor | None
    cosines_adv: Tensor | None
    feature_similarity: Tensor | None
    weight_similarity: Tensor | None

    @property
    def correct(self) -> Tensor:
        """Which images are predicted as labelled without an attack: bool [N]."""
        return self.prediction == self.images.y

    @property
    def robust(self) -> Tensor:
        """Which images are predicted as labelled without and with the attack: bool [N]."""
        return self.correct & (self.attacked == self.images.y)

    def confusion(self) -> Confusion:
        """Return the confusion without and with the attack."""
        images = self.images
        return confusion(images.y, self.prediction, self.attacked, images.num_classes)

    def path(self) -> ConfusionPath:
        """Return the confusion at every step of the attack."""
        y, num_classes = self.images.y, self.images.num_classes
        counts = torch.stack([count_pairs(y, row, num_classes) for row in self.steps])
        return ConfusionPath(tuple(map(float, range(len(counts)))), counts)

    def among_occurring(self, most: int) -> tuple["ConfusionRun", Tensor]:
        """Return the run as if there were only the classes that occur in it, and which these are.

        A class occurs that is a label or is predicted, with or without the attack. All that has a
        place for each class loses the others, and labels and predictions are counted anew; the
        logits are those of the classes that are left, and of the steps only the two ends are.

        Args:
            most: classes; of more the most frequent ones are taken, and images of the others are
                left out.

        Returns:
            The run of K' classes, and their numbers among the K, ascending: int64 [K'].
        """
        told = torch.stack([self.images.y, self.prediction, self.attacked])  # [3, N]
        count = torch.bincount(told.flatten(), minlength=self.images.num_classes)
        classes = count.argsort(descending=True, stable=True)[:most]
        classes = classes[count[classes] > 0].sort().values
        place = torch.full((self.images.num_classes,), -1)
        place[classes] = torch.arange(len(classes))
        kept = (place[told] >= 0).all(dim=0)
        images = self.images.subset(kept)
        names = tuple(images.class_names[k] for k in classes.tolist())

        def columns(of_all: Tensor | None) -> Tensor | None:
            return None if of_all is None else of_all[kept][:, classes]

        def both(of_all: Tensor | None) -> Tensor | None:
            return None if of_all is None else of_all[classes][:, classes]

        fewer = replace(
            self,
            images=replace(images, y=place[images.y], class_names=names),
            x_adv=self.x_adv[kept],
            logits=self.logits[kept][:, classes],
            prediction=place[self.prediction[kept]],
            attacked=place[self.attacked[kept]],
            steps=place[told[1:, kept]],
            cosines=columns(self.cosines),
            cosines_adv=columns(self.cosines_adv),
            feature_similarity=both(self.feature_similarity),
            weight_similarity=both(self.weight_similarity),
        )
        return fewer, classes

    def cell(self, label: int, predicted: int) -> Tensor:
        """Return the positions of the images of a class that end as another: int64 [M]."""
        return torch.where((self.images.y == label) & (self.attacked == predicted))[0]


def run_confusion(
    model: Classifier,
    images: ImageSet,
    plan: ConfusionPlan,
    *,
    batch_size: int = 60,
    on_step: OnStep | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConfusionRun:
    """Attack every image once and return who is taken for whom.

    Args:
        model: in eval mode; left unchanged.
        images: what is attacked, such as `plan.images_of` a test split.
        plan: the attack.
        batch_size: images a batch.
        on_step: called with every iterate; an exception it raises ends the run.
        on_progress: called after each batch with the images done and in all.

    Raises:
        RuntimeError: the attack left its threat model or [0, 1].
    """
    attack = plan.attack(model.stochastic)
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, len(images), batch_size):
        part = images.subset(slice(start, start + batch_size))
        parts.append(_attacked(model, part, attack, on_step))
        if on_progress is not None:
            on_progress(start + len(part), len(images))
    x_adv, logits, logits_adv = (torch.cat(column) for column in list(zip(*parts, strict=True))[:3])
    cosines, cosines_adv = (
        class_cosines(model, x, batch_size=batch_size) for x in (images.x, x_adv)
    )
    return ConfusionRun(
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
        feature_similarity=(
            class_feature_similarity(model, images.x, images.y, batch_size=batch_size)
            if model.has_features
            else None
        ),
        weight_similarity=None if cosines is None else class_weight_similarity(model),
    )


def _attacked(
    model: Classifier, images: ImageSet, attack: Attack, on_step: OnStep | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return attacked images, logits before and after, and the classes of every step [T+1,N]."""
    steps: list[Tensor] = []

    def observe(step: AttackStep) -> None:
        if on_step is not None:
            on_step(step)
        steps.append(step.logits.argmax(dim=1).cpu())

    x_adv = attack(model, images.x, images.y, on_step=observe)
    check_budget(x_adv, images.x, attack)
    samples = default_eot_samples(model)
    before, after = (predict_logits(model, x, eot_samples=samples) for x in (images.x, x_adv))
    return x_adv, before, after, torch.stack(steps)
