"""The feature attack: make an image's features look like those of other images."""

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import (
    ATTACKS,
    Attack,
    AttackStep,
    EotSamples,
    NumSteps,
    OnStep,
    RandomStart,
    StepSize,
    automatic_step_size,
)
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.attacks.projected_ascent import projected_ascent
from robust_core.gradients import predict_logits
from robust_core.models.guard import features_of, why_no_features
from robust_core.threat_model import Norm, ThreatModel

WHOLE_BOX = ThreatModel(Norm.LINF, 1.0)


@ATTACKS.register("feature")
class FeatureAttack(Attack):
    """Feature matching: maximise cos(features(x_adv), features(x_target)), one target at a time.

    Every image is driven towards up to `num_targets` target images of other classes, one after the
    other, with `num_steps` signed steps each, until one of them changes the prediction. The loss
    is flat where cross-entropy is flat only if the features are, so it sees through smoothed
    labels and small margins.

    Where the targets come from: an attack knows no data set, so it takes them from the batch that
    it attacks, in random order: the images that the model puts into another class (with `target`,
    into that class). An image for which the batch holds fewer than `num_targets`, such as a batch
    of one, gets further ones made from itself: it is changed without a budget until the model sees
    another class, one target for each other class, likeliest first. The result for an image
    therefore depends on the batch it is in, and in a small batch the attack is weaker.

    Features are those of `Classifier.features`; where there are none to show (`why_no_features`),
    as in a plain module, the cosine is between logits.

    Source: the FeatureAttack of Line290, released for "Feature Scattering": 100 target images, 20
    steps of 1/255 at epsilon 8/255, cosine distance. Differences: targets from the batch, and an
    image is left alone as soon as it is fooled.
    """

    title: ClassVar[str] = "feature"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("Feature", 150),)

    num_targets: Annotated[
        int, Field(ge=1, le=1000, description="Target images tried per image.")
    ] = 100
    step_size: StepSize = None  # 1/255 at the default epsilon and number of steps
    num_steps: NumSteps = 20
    random_start: RandomStart = True
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Try one target after the other on the images that are not fooled yet."""
        generator = torch.Generator().manual_seed(self.seed)
        feature_model = _FeatureModel(model)
        report = _with_logits(model, self.eot_samples, on_step)
        criterion = Criterion("margin", y, target)
        best, best_loss = x.clone(), torch.full((len(x),), float("-inf"), device=x.device)
        remaining = torch.arange(len(x), device=x.device)

        def follow(current: Tensor, wanted: Tensor, number: int) -> None:
            nonlocal remaining
            x_adv = self._match(feature_model, x[current], wanted, generator, report, number)
            logits = predict_logits(model, x_adv, eot_samples=self.eot_samples)
            loss, fooled = (
                criterion.select(current)(logits),
                criterion.select(current).is_met(logits),
            )
            better = fooled | (loss > best_loss[current])
            best[current[better]], best_loss[current[better]] = x_adv[better], loss[better]
            remaining = remaining[~torch.isin(remaining, current[fooled])]

        logits = predict_logits(model, x, eot_samples=self.eot_samples)
        features = predict_logits(feature_model, x, eot_samples=self.eot_samples)
        choice = self._from_batch(logits.argmax(dim=1), criterion, generator)
        for number, column in enumerate(choice.unbind(dim=1)):
            current = remaining[column[remaining] >= 0]
            if len(current):
                follow(current, features[column[current]], number)
        num_made = self._num_made((choice >= 0).sum(dim=1))
        for number, wanted in enumerate(_classes_to_make(logits, criterion).unbind(dim=1)):
            current = remaining[num_made[remaining] > number]
            if len(current):
                made = self._changed(model, x[current], wanted[current])
                made_features = predict_logits(feature_model, made, eot_samples=self.eot_samples)
                follow(current, made_features, choice.shape[1] + number)
        return best

    def passes(self) -> int:
        """Return (num_steps + 1) * num_targets * eot_samples; a made target counts as two."""
        return (self.num_steps + 1) * max(self.num_targets, 2) * self.eot_samples

    def _match(
        self,
        feature_model: nn.Module,
        x: Tensor,
        wanted: Tensor,
        generator: torch.Generator,
        on_step: OnStep | None,
        restart: int,
    ) -> Tensor:
        """Return x_adv [N,C,H,W] whose features come near to `wanted` [N,D]."""
        threat_model = self.threat_model
        return projected_ascent(
            feature_model,
            x,
            lambda features: F.cosine_similarity(features.float(), wanted, dim=1),
            threat_model,
            x_start=threat_model.random_start(x, generator) if self.random_start else x,
            step_size=automatic_step_size(self.step_size, self.epsilon, self.num_steps),
            num_steps=self.num_steps,
            eot_samples=self.eot_samples,
            on_step=on_step,
            restart=restart,
        )

    def _from_batch(
        self, prediction: Tensor, criterion: Criterion, generator: torch.Generator
    ) -> Tensor:
        """Return each image's targets among the batch in random order, int64 [N,M], -1: none."""
        if criterion.target is None:
            usable = prediction != criterion.y[:, None]  # [N, N]
        else:
            usable = prediction == criterion.target[:, None]
        order = torch.rand(usable.shape, generator=generator).to(usable.device)
        order = order.masked_fill(~usable, 2.0).argsort(dim=1)[:, : self.num_targets]
        choice = torch.where(usable.gather(1, order), order, -1)
        return choice[:, (choice >= 0).any(dim=0)]

    def _num_made(self, num_found: Tensor) -> Tensor:
        """Return how many targets are made for each image: one costs as much as following two."""
        room = (self.num_targets - num_found) // 2
        return torch.where(num_found == 0, room.clamp_min(1), room)

    def _changed(self, model: nn.Module, x: Tensor, wanted: Tensor) -> Tensor:
        """Return x [N,C,H,W] changed without a budget towards the classes `wanted` [N]."""
        return projected_ascent(
            model,
            x,
            Criterion("margin", wanted, target=wanted),
            WHOLE_BOX,
            x_start=x,
            step_size=2.5 / self.num_steps,
            num_steps=self.num_steps,
            eot_samples=self.eot_samples,
        )


def _classes_to_make(logits: Tensor, criterion: Criterion) -> Tensor:
    """Return the classes to make targets of, [N,M]: the likeliest others, or the target alone."""
    if criterion.target is not None:
        return criterion.target[:, None]
    others = logits.scatter(1, criterion.y[:, None], float("-inf")).argsort(dim=1, descending=True)
    return others[:, :-1]


class _FeatureModel(nn.Module):
    """A view of a model that returns features [N,D] in place of logits; without any: logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if why_no_features(self.model) else features_of(self.model)(x)


def _with_logits(model: nn.Module, eot_samples: int, on_step: OnStep | None) -> OnStep | None:
    """Return an `on_step` for the feature model's steps that passes on logits, not features."""
    if on_step is None:
        return None

    def pass_on(step: AttackStep) -> None:
        logits = predict_logits(model, step.x_adv, eot_samples=eot_samples)
        on_step(AttackStep(step.index, step.x_adv, step.loss, logits, step.restart))

    return pass_on
