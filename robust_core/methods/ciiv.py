"""CiiV: training on several retinotopic views whose features must agree."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import StepSize
from robust_core.errors import InputError
from robust_core.losses import cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput, Onset, TrainingMethod
from robust_core.methods.parts.inner_attack import InnerSteps, inner_maximisation
from robust_core.methods.recipe import Departure, QuickRun, Recipe
from robust_core.models.base import MODELS, Classifier
from robust_core.models.retina.classifier import RetinotopicClassifier, ViewOutputs
from robust_core.models.retina.parameters import STATISTICS
from robust_core.threat_model import ThreatModelParameters

Difference = Callable[[Tensor, Tensor], Tensor]  # [V,N,D], [V,N,D] -> [V,N,D]


class CiiVParameters(ThreatModelParameters):
    """Parameters of CiiV; defaults: v2 on CIFAR-10 of the released code."""

    regulariser: Annotated[
        Literal["smooth_l1", "squared_l2", "neighbour", "none"],
        Field(
            description="Regulariser of the views' features: smooth L1 or squared L2 distance to "
            "the other views, smooth L1 distance to the next view (neighbour; v1 only), or none."
        ),
    ] = "smooth_l1"
    weight: Annotated[
        float, Field(ge=0.0, le=1000.0, description="Initial weight of the regulariser.")
    ] = 0.1
    growth: Annotated[
        float, Field(ge=1.0, le=100.0, description="Factor by which the weight is increased.")
    ] = 10.0
    growth_interval: Annotated[
        int, Field(ge=1, le=10_000, description="Epochs between increases of the weight.")
    ] = 25
    num_growths: Annotated[
        int, Field(ge=0, le=10, description="Number of increases of the weight.")
    ] = 3
    mixup: Annotated[
        bool,
        Field(description="Mixup: mix every image and its label with another one of the batch."),
    ] = False
    adversarial: Annotated[
        bool,
        Field(
            description="Train on adversarial instead of clean images: PGD on one view, from the "
            "clean image, within norm and epsilon."
        ),
    ] = False
    step_size: StepSize = 2 / 255
    num_steps: InnerSteps = 10


def behind_a_sampler(model: dict[str, Any], data: str, budget: str) -> dict[str, Any]:
    """Return a retinotopic network with `model` behind its sampler, unless it is one."""
    if model["name"] == "retinotopic":
        return model
    width = model.get("parameters", {}).get("width")
    norm = Path(data).name if Path(data).name in STATISTICS else "none"
    parameters = {"backbone": model["name"], "backbone_width": width, "normalisation": norm}
    return {"name": "retinotopic", "parameters": parameters}


# the only one with MNIST; there a stem for large images, 32x32 pixels and crops
VERSION_1 = Departure(
    {
        "model": {
            "name": "retinotopic",
            "parameters": {
                **{"backbone": "resnet18", "version": "v1", "num_views": 20, "weight": 0.8},
                "normalisation": "none",  # it samples the pixels as they are
            },
        },
        "schedule": {"name": "step", "milestones": [25, 50, 75], "factor": 0.2},
        "epochs": 100,
        "crop_border": "black",
    }
)


@METHODS.register("ciiv")
class CiiV(TrainingMethod):
    """Minimise the views' cross-entropy plus lambda times the disagreement of their features.

    L = (1/V) sum_v CE(logits_v, y) + lambda * R, with R the linear response (v2) or the consistency
    (v1) of the features, as the network's version says; see `linear_response` and `consistency`.
    lambda grows: in epoch e (from 0) it is weight * growth^min(num_growths, max(0, e - 1) //
    growth_interval), by default 0.1 up to epoch 25, 1 up to 50, 10 up to 75, then 100.

    Options of the released code: on top of adversarial training (the images are replaced by PGD
    images that the network in eval mode finds hard at one view) and of mixup (lam uniform in
    (0, 1), the Beta(1, 1) of the code, one for a batch, after any attack; the cross-entropy is lam
    CE(., y) + (1 - lam) CE(., y'), the regulariser stays).

    Source: Tang, Tao and Zhang, "Adversarial Visual Robustness by Causal Intervention",
    arXiv:2106.09534, versions 1 and 2, and their released code. Differences: v1 can be put on top
    of adversarial training, too; "neighbour" takes the V - 1 pairs of successive views. The run's
    `rand_augment` and `crop_border` ("reflect" in v2, "black" in v1) are options of the code, too.
    """

    Parameters = CiiVParameters
    recipe = Recipe(
        {
            "model": {"name": "preact_resnet18"},
            "schedule": {"name": "step", "milestones": [10, 100, 105], "factor": 0.1},
            "epochs": 110,
            "crop_border": "reflect",
        },
        published=("cifar10", "cifar100", "mnist"),  # version 2 the first two
        elsewhere={"mnist": VERSION_1},
        quick=QuickRun(
            {"growth_interval": 4},
            grey_epochs=3,
            colour_epochs=1,
            short_attack=False,  # it attacks only if it is told to
        ),
        network=behind_a_sampler,
        best_by_clean=True,
        many_passes=True,
    )
    current_weight: float = 0.0  # lambda in the current epoch

    def card_notes(self, model: Classifier, x: Tensor, y: Tensor, data: str) -> tuple[str, ...]:
        """Return whose statistics version 2 normalises with, where they are another data set's."""
        assert isinstance(model, RetinotopicClassifier)
        used = model.settings.normalisation
        if model.settings.version != "v2" or used in (data, "none"):
            return ()
        return (f"Normalises {data} with the channel statistics of {used}.",)

    def attach(self, model: Classifier) -> None:
        """Check that the network looks at images through views that can be compared.

        Raises:
            InputError: the network is not retinotopic, has one view only, or has the other version.
        """
        settings: CiiVParameters = self.settings
        if not isinstance(model, RetinotopicClassifier):
            name = MODELS.name_of(type(model)) or type(model).__name__
            raise InputError(
                f"ciiv trains the model retinotopic (with a backbone of your choice), got {name}"
            )
        if settings.regulariser != "none" and model.settings.num_views < 2:
            raise InputError("ciiv compares views: num_views of the model must be >= 2, got 1")
        if settings.regulariser == "neighbour" and model.settings.version != "v1":
            raise InputError("the regulariser neighbour belongs to version v1 of the model, got v2")

    @classmethod
    def onsets(cls, settings: CiiVParameters) -> tuple[Onset, ...]:
        """Return when the regulariser has its last weight; a shorter run leaves it at less."""
        if settings.num_growths == 0 or settings.growth == 1.0 or settings.regulariser == "none":
            return ()
        last = settings.weight * settings.growth**settings.num_growths
        return (
            Onset(
                f"the regulariser has its last weight, {last:g},",
                f"growth_interval {settings.growth_interval}",
                settings.num_growths * settings.growth_interval + 1,
                needed=False,
            ),
        )

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set the weight of this epoch."""
        settings: CiiVParameters = self.settings
        growths = min(settings.num_growths, max(0, epoch - 1) // settings.growth_interval)
        self.current_weight = settings.weight * settings.growth**growths

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return (1/V) sum_v CE(logits_v, y) + lambda R."""
        settings: CiiVParameters = self.settings
        retinotopic = cast(RetinotopicClassifier, model)
        x, y, other, share = batch.x, batch.y, batch.y, 1.0
        if settings.adversarial:
            x = self._adversarial_images(retinotopic, x, y)
        if settings.mixup:
            share, order = float(torch.rand(())), torch.randperm(len(y))
            x, other = share * x + (1.0 - share) * x[order], y[order]
        outputs = retinotopic.view_outputs(x)
        natural = share * views_cross_entropy(outputs.logits, y)
        if settings.mixup:
            natural = natural + (1.0 - share) * views_cross_entropy(outputs.logits, other)
        disagreement = self._disagreement(retinotopic.settings.version, outputs)
        terms = {
            "cross_entropy": natural.item(),
            "disagreement": disagreement.item(),
            "weight": self.current_weight,
        }
        return MethodOutput(natural + self.current_weight * disagreement, terms)

    def _adversarial_images(self, model: RetinotopicClassifier, x: Tensor, y: Tensor) -> Tensor:
        settings: CiiVParameters = self.settings
        return inner_maximisation(
            model.inference("one_view"),
            x,
            partial(cross_entropy, y=y),
            settings.threat_model,
            x_start=x,
            step_size=settings.step_size,
            num_steps=settings.num_steps,
            batch_norm="eval",
        )

    def _disagreement(self, version: str, outputs: ViewOutputs) -> Tensor:
        settings: CiiVParameters = self.settings
        features = outputs.features.float()
        if settings.regulariser == "none":
            return torch.zeros((), device=features.device)
        if settings.regulariser == "neighbour":
            return _mean_distance(smooth_l1, features[:-1], features[1:])
        difference = smooth_l1 if settings.regulariser == "smooth_l1" else squared_l2
        if version == "v1":
            return consistency(features, difference)
        return linear_response(features, outputs.keep_ratio, difference)


def views_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return (1/V) sum_v mean CE(logits_v, y): [V,N,K], [N] -> a scalar, in nats."""
    return cross_entropy(logits.flatten(0, 1), y.repeat(len(logits))).mean()


def smooth_l1(a: Tensor, b: Tensor) -> Tensor:
    """Return d^2 / 2 where |d| < 1 and |d| - 1/2 elsewhere, d = a - b, entry by entry."""
    return F.smooth_l1_loss(a, b, reduction="none")


def squared_l2(a: Tensor, b: Tensor) -> Tensor:
    """Return (a - b)^2, entry by entry."""
    return (a - b).square()


def linear_response(features: Tensor, keep_ratio: Tensor, difference: Difference) -> Tensor:
    """Return how far the features are from growing in proportion to the share of pixels seen (v2).

    R = (1/V) sum_v mean over images of sum over D of difference(f_v * zbar_-v, fbar_-v * z_v),
    where the bar is the mean over all other views; both sides have a gradient. R = 0 where
    f_v / z_v is the same for all views.

    Args:
        features: [V,N,D], V at least 2.
        keep_ratio: z, [V].
        difference: `smooth_l1` or `squared_l2`.
    """
    others = len(features) - 1
    mean_features = (features.sum(dim=0) - features) / others  # [V, N, D]
    z = keep_ratio[:, None, None].to(features)
    mean_z = (z.sum(dim=0) - z) / others
    return _mean_distance(difference, features * mean_z, mean_features * z)


def consistency(features: Tensor, difference: Difference) -> Tensor:
    """Return (1/V) sum_v mean over images of sum over D of difference(f_v, mean of all f) (v1).

    Args:
        features: [V,N,D]; their mean has a gradient, too.
        difference: `smooth_l1` or `squared_l2`.
    """
    return _mean_distance(difference, features, features.mean(dim=0).expand_as(features))


def _mean_distance(difference: Difference, a: Tensor, b: Tensor) -> Tensor:
    return difference(a, b).sum(dim=2).mean()
