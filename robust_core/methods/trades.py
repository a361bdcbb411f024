"""TRADES: clean cross-entropy plus the divergence between clean and attacked output."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import StepSize
from robust_core.gradients import predict_logits
from robust_core.losses import cross_entropy, kl_divergence
from robust_core.methods.base import METHODS, Batch, MethodOutput
from robust_core.methods.parts.adversarial_training import (
    AdversarialTraining,
    AdversarialTrainingParameters,
)
from robust_core.methods.parts.angular_margin import PLAIN, AngularMargin
from robust_core.methods.parts.inner_attack import attack_mode, gaussian_start, inner_maximisation
from robust_core.methods.recipe import (
    EMBEDDING,
    QUICK_AWP_WARMUP,
    SGD,
    STEP,
    WIDE_34,
    Option,
    QuickRun,
    Recipe,
)
from robust_core.threat_model import Epsilon


class TRADESParameters(AdversarialTrainingParameters):
    """Parameters of TRADES; defaults: CIFAR-10 of the released code."""

    epsilon: Epsilon = 0.031
    step_size: StepSize = 0.007
    beta: Annotated[
        float,
        Field(ge=0.0, le=100.0, description="Weight of the KL term (1/lambda in the paper)."),
    ] = 6.0


@METHODS.register("trades")
class TRADES(AdversarialTraining):
    """Minimise CE(f(x), y) + beta * KL(f(x) || f(x_adv)), where x_adv maximises that KL.

    The attack uses no label and starts at x + 0.001 N(0, 1), because the KL has no gradient at x.

    Source: Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML
    2019, arXiv:1901.08573, eq. 5 and algorithm 1. Difference: the released code sends the clean
    batch forward a second time in train mode; here it goes forward once, together with the
    attacked batch's own pass, so batch norm sees each batch once. Options: an epsilon that
    grows over the first epochs; the loss taken at adversarially perturbed weights (TRADES-AWP:
    `awp_gamma` 0.005 after 10 warm-up epochs, epsilon 8/255, step size 2/255), see
    `WeightPerturbation`; hypersphere embedding, see `AngularMargin`, with the KL between the scaled
    cosines.
    """

    Parameters = TRADESParameters
    recipe = Recipe(
        {
            **WIDE_34,
            "schedule": {"name": "step", "milestones": [74, 89, 99], "factor": 0.1},
            "epochs": 76,
        },
        options={
            "awp": Option(
                {"awp_gamma": 0.005, "awp_warmup_epochs": 10},
                {"optimiser": SGD, "schedule": STEP, "epochs": 200},
                published=True,
                colour_parameters={"epsilon": 8 / 255, "step_size": 2 / 255},  # TRADES itself: .031
                quick_parameters={"awp_gamma": 0.005, "awp_warmup_epochs": QUICK_AWP_WARMUP},
            ),
            "he": replace(EMBEDDING, published=True),
        },
        quick=QuickRun(colour_epochs=3),
    )

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE(f(x), y) + beta * mean KL(f(x) || f(x_adv))."""
        settings: TRADESParameters = self.settings
        with attack_mode(model, settings.batch_norm):
            clean_logits = self.angular_margin.scaled(predict_logits(model, batch.x))
        x_adv = inner_maximisation(
            model,
            batch.x,
            lambda logits: kl_divergence(clean_logits, self.angular_margin.scaled(logits)),
            self.warmup.threat_model,
            x_start=gaussian_start(batch.x),
            step_size=self.warmup.step_size,
            num_steps=settings.num_steps,
            batch_norm=settings.batch_norm,
        )

        def outer_loss() -> MethodOutput:
            logits, logits_adv = model(batch.x), model(x_adv)
            return trades_loss(logits, logits_adv, batch.y, settings.beta, self.angular_margin)

        return self.weight_perturbation.outer_loss(model, outer_loss)


def trades_loss(
    logits: Tensor,
    logits_adv: Tensor,
    y: Tensor,
    beta: float,
    angular_margin: AngularMargin = PLAIN,
) -> MethodOutput:
    """Return mean CE(logits, y) + beta * mean KL(logits || logits_adv): [B,K], [B,K], [B].

    With hypersphere embedding the cross-entropy has the margin, and both have the scale.
    """
    natural = cross_entropy(angular_margin.with_margin(logits, y), y).mean()
    scaled, scaled_adv = angular_margin.scaled(logits), angular_margin.scaled(logits_adv)
    divergence = kl_divergence(scaled, scaled_adv).mean()
    terms = {"cross_entropy": natural.item(), "kl_divergence": divergence.item()}
    return MethodOutput(natural + beta * divergence, terms)
