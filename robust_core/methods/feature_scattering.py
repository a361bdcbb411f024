"""Feature Scattering: a batch is perturbed as a whole, by optimal transport and without labels."""

import torch
from torch import Tensor, nn

from robust_core.gradients import predict_logits
from robust_core.methods.base import METHODS, Batch, MethodOutput, Onset, TrainingMethod
from robust_core.methods.parts.angular_margin import HEMargin, HEScale, HypersphereEmbedding
from robust_core.methods.parts.inner_attack import EpsilonWarmup, WarmupEpochs
from robust_core.methods.parts.label_smoothing import (
    LabelSmoothing,
    smooth_labels,
    soft_cross_entropy,
)
from robust_core.methods.parts.one_step import one_step_attack
from robust_core.methods.parts.optimal_transport import cosine_cost, sinkhorn
from robust_core.methods.recipe import EMBEDDING, UNCHANGED, WIDE_28, Departure, Recipe
from robust_core.models.modes import evaluation_mode
from robust_core.threat_model import ThreatModelParameters


class FeatureScatteringParameters(ThreatModelParameters):
    """Parameters of Feature Scattering; defaults: CIFAR-10 of the released code."""

    label_smoothing: LabelSmoothing = 0.5
    warmup_epochs: WarmupEpochs = 0
    hypersphere_embedding: HypersphereEmbedding
    he_scale: HEScale
    he_margin: HEMargin


@METHODS.register("feature_scattering")
class FeatureScattering(TrainingMethod):
    """Minimise soft CE(f(x_adv), y_s), where x_adv maximises OT(f(x), f(x_adv)) over the batch.

    OT = sum T * C with C_ij = 1 - cos(f(x)_i, f(x_adv)_j) between logits and T the Sinkhorn plan,
    through which the gradient flows, too. One step of length epsilon from a uniform start; y_s
    holds 1 - delta for the label. There is no clean term. Transport runs in float32.

    Known to mask gradients: the loss surface is flat around training images and PGD overstates the
    robustness; AutoAttack and a feature attack do not.

    Source: Zhang and Wang, "Defense Against Adversarial Attacks Using Feature Scattering-based
    Adversarial Training", NeurIPS 2019, arXiv:1907.10764, and its released code. Difference: no
    logging pass of clean images through batch norm. Options: an epsilon that grows over the first
    epochs; hypersphere embedding, see `AngularMargin`, with the margin in the soft CE, whose
    optimum it moves by m; C does not depend on the scale.
    """

    Parameters = FeatureScatteringParameters
    recipe = Recipe(
        {**WIDE_28, "epochs": 200, "batch_size": 60},
        published=("cifar10", "svhn"),
        elsewhere={"svhn": Departure(UNCHANGED)},
        options={"he": EMBEDDING},
    )

    def __init__(self, parameters: FeatureScatteringParameters) -> None:
        """Start at full epsilon."""
        super().__init__(parameters)
        self.warmup = EpsilonWarmup(parameters.threat_model, None, parameters.warmup_epochs)

    @classmethod
    def onsets(cls, settings: FeatureScatteringParameters) -> tuple[Onset, ...]:
        """Return when epsilon is full."""
        return EpsilonWarmup.onset(settings.warmup_epochs)

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set epsilon of this epoch."""
        self.warmup.on_epoch_start(epoch)

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean soft CE(f(x_adv), y_s)."""
        settings: FeatureScatteringParameters = self.settings
        with evaluation_mode(model):
            clean_logits = predict_logits(model, batch.x)
        distance = torch.zeros((), device=batch.x.device)

        def scattering(logits: Tensor) -> Tensor:
            nonlocal distance
            per_image = transport_cost(clean_logits, logits)
            distance = per_image.detach().sum()
            return per_image

        x_adv = one_step_attack(model, batch.x, scattering, self.warmup.threat_model)
        logits = model(x_adv)
        target = smooth_labels(batch.y, logits.shape[1], settings.label_smoothing)
        margined = self.angular_margin.with_margin(logits, batch.y)
        loss = soft_cross_entropy(margined, target).mean()
        terms = {"adversarial_cross_entropy": loss.item(), "transport_distance": distance.item()}
        return MethodOutput(loss, terms)


def transport_cost(clean_logits: Tensor, logits: Tensor) -> Tensor:
    """Return what each perturbed image adds to OT: [B,K], [B,K] -> sum_i T_ij C_ij [B]."""
    with torch.autocast(logits.device.type, enabled=False):
        cost = cosine_cost(clean_logits, logits)
        return (sinkhorn(cost) * cost).sum(dim=0)
