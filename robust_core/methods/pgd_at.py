"""PGD adversarial training."""

from dataclasses import replace

from torch import nn

from robust_core.losses import cross_entropy
from robust_core.methods.base import METHODS, Batch, MethodOutput
from robust_core.methods.parts.adversarial_training import (
    AdversarialTraining,
    AdversarialTrainingParameters,
)
from robust_core.methods.parts.inner_attack import inner_maximisation
from robust_core.methods.recipe import (
    EMBEDDING,
    QUICK_AWP_WARMUP,
    SGD,
    STEP,
    UNCHANGED,
    WIDE_34,
    Departure,
    Option,
    Recipe,
)


class PGDATParameters(AdversarialTrainingParameters):
    """Parameters of PGD adversarial training; defaults: CIFAR-10 of the released code."""


@METHODS.register("pgd_at")
class PGDAT(AdversarialTraining):
    """Minimise CE(f(x_adv), y) at x_adv = PGD(x), started uniformly within the threat model.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
    2018, arXiv:1706.06083, eq. 2.1. Difference: the attack sees batch norm in eval mode unless
    `batch_norm` says otherwise. Options: an epsilon that grows over the first epochs; the loss
    taken at adversarially perturbed weights (AT-AWP: `awp_gamma` 0.01), see `WeightPerturbation`;
    hypersphere embedding, see `AngularMargin`.
    """

    Parameters = PGDATParameters
    recipe = Recipe(
        # published as 80,000 steps, here of 45,000 images: the last tenth of the file is validation
        {**WIDE_34, "schedule": STEP, "epochs": 228},
        options={
            "awp": Option(
                {"awp_gamma": 0.01},
                {"model": {"name": "preact_resnet18"}, "optimiser": SGD, "epochs": 200},
                published=True,
                elsewhere={
                    "svhn": Departure(
                        {"optimiser": {**SGD, "learning_rate": 0.01}, **UNCHANGED},
                        {"step_size": 1 / 255, "awp_warmup_epochs": 5},
                    )
                },
                quick_parameters={"awp_gamma": 0.01, "awp_warmup_epochs": QUICK_AWP_WARMUP},
            ),
            "he": replace(EMBEDDING, published=True),
        },
    )

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x_adv), y)."""
        settings: PGDATParameters = self.settings
        threat_model = self.warmup.threat_model
        x_adv = inner_maximisation(
            model,
            batch.x,
            lambda logits: cross_entropy(self.angular_margin.scaled(logits), batch.y),
            threat_model,
            x_start=threat_model.random_start(batch.x),
            step_size=self.warmup.step_size,
            num_steps=settings.num_steps,
            batch_norm=settings.batch_norm,
        )

        def outer_loss() -> MethodOutput:
            logits = self.angular_margin.with_margin(model(x_adv), batch.y)
            loss = cross_entropy(logits, batch.y).mean()
            return MethodOutput(loss, {"adversarial_cross_entropy": loss.item()})

        return self.weight_perturbation.outer_loss(model, outer_loss)
