"""ATLD: adversarial training with the latent distribution, and inference through its manifold."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.pgd import PGD
from robust_core.distributed import average_gradients
from robust_core.gradients import predict_logits
from robust_core.inference.manifold_transformation import UNDECIDED, ManifoldTransformed
from robust_core.methods.base import METHODS, Batch, MethodOutput, Onset, TrainingMethod
from robust_core.methods.parts.inner_attack import EpsilonWarmup, WarmupEpochs
from robust_core.methods.parts.label_smoothing import (
    LabelSmoothing,
    smooth_labels,
    soft_cross_entropy,
)
from robust_core.methods.parts.one_step import one_step_attack
from robust_core.methods.recipe import UNCHANGED, WIDE_28, Departure, QuickRun, Recipe
from robust_core.models.base import Classifier
from robust_core.models.discriminator import Discriminator, DiscriminatorOutput, detection_auroc
from robust_core.models.modes import evaluation_mode
from robust_core.threat_model import ThreatModelParameters
from robust_core.units import percent

INFERENCES = ("imt", "imt_plus", "imt_smooth")
MOMENTUM, WEIGHT_DECAY = 0.9, 2e-4  # of the discriminator's SGD, as released
LEAST_AUROC = 0.7  # of a discriminator that is said to discriminate
SMALLEST_PULL = 1e-8  # guards the ratio of gradients where both batches have the same logits


class ATLDParameters(ThreatModelParameters):
    """Parameters of ATLD; defaults: CIFAR-10, the version named v7 (see `ATLD`)."""

    label_smoothing: LabelSmoothing = 0.5
    pairing_weight: Annotated[
        float,
        Field(
            ge=0.0,
            le=10.0,
            description="Weight w of the pairing of clean and adversarial logits: 0.5; 0.1 for "
            "CIFAR-100.",
        ),
    ] = 0.5
    nat_branch: Annotated[
        Literal["live", "frozen"],
        Field(
            description="Clean logits in the pairing: in train mode with gradient (live), or in "
            "eval mode without gradient (frozen, as in the released code)."
        ),
    ] = "live"
    cls_in_attack: Annotated[
        bool,
        Field(
            description="Use the discriminator's class head in the training attack; off in the "
            "released code."
        ),
    ] = True
    discriminator_learning_rate: Annotated[
        float, Field(gt=0.0, le=1.0, description="Learning rate of the discriminator (SGD).")
    ] = 1e-3
    discriminator_steps: Annotated[
        int, Field(ge=1, le=20, description="Discriminator steps per batch.")
    ] = 2
    discriminator_blocks: Annotated[
        int,
        Field(
            ge=1,
            le=6,
            description="Residual blocks in each of the three groups of the discriminator.",
        ),
    ] = 4
    discriminator_width: Annotated[
        int,
        Field(
            ge=1,
            le=10,
            description="Width of the discriminator: its groups have 16, 32 "
            "and 64 times this many features.",
        ),
    ] = 5
    warmup_epochs: WarmupEpochs = 0


@METHODS.register("atld")
class ATLD(TrainingMethod):
    """Minimise soft CE(f(x_adv), y_s) + w * s * MSE(f(x_adv), f(x)) at latent manifold examples.

    A discriminator D of logits learns to tell clean from attacked batches and to classify both,

        L_D = BCE(D0(f(x)), 1) + BCE(D0(f(x_adv)), 0) + CE(D_K(f(x)), y_s) + CE(D_K(f(x_adv)), y_s)

    and x_adv makes its work easiest: one step of length epsilon from a uniform start that LOWERS
    L_D (with `cls_in_attack` all of it, otherwise the two manifold terms). y_s holds 1 - delta for
    the label; s = max(gradient of CE) / max(gradient of MSE) at x_adv, signed maxima over all
    pixels of the batch, a constant. There is no clean cross-entropy, and D is not in the
    network's loss. D sees clean and attacked batches one after the other, so that its batch norm
    takes away what all images of a batch have in common, as in the released code.

    The trained network is used in three ways: as it is (ATLD-), and behind a test-time step
    towards what D finds natural, "imt" (ATLD) and "imt_plus" (ATLD+): see `ManifoldTransformed`.
    "imt_smooth" answers as "imt" does and shows an attack the smooth backward pass. Published
    numbers of ATLD and ATLD+ were computed on the base network, so they are transfer.

    Source: Qian, Zhang, Huang, Wang, Zhang and Yi, "Improving Model Robustness with Latent
    Distribution Locally and Globally", arXiv:2107.04401, and the released code with its supplement
    (eq. B.1 to B.19). The code exists in two versions: `nat_branch` "frozen" without
    `cls_in_attack` is the released source, the defaults are the one that the checkpoints of its
    evaluation scripts are named after (v7). The printed constraint on x_adv has the manifold term
    only; the class term of the attack is v7's, and so is its sign, while the supplement wants D to
    misclassify. Differences: "1 - log D" of the supplement is log(1 - D), as the code has it; the
    denominator of s is at least 1e-8; with "live" the clean batch goes through batch norm before
    the attack, whose running statistics then contain it, where the code copies the network first.

    With gradient accumulation every piece counts as a batch: D takes its steps on each, 4 pieces
    make 4 times as many, and s is the ratio of a piece (as in Feature Scattering the transport plan
    is that of a piece).
    Option: an epsilon that grows over the first epochs.
    """

    Parameters = ATLDParameters
    recipe = Recipe(
        {**WIDE_28, "epochs": 400, "batch_size": 50},
        published=("cifar10", "cifar100", "svhn"),
        elsewhere={
            "cifar100": Departure(parameters={"pairing_weight": 0.1}),
            "svhn": Departure(
                {"optimiser": {**WIDE_28["optimiser"], "learning_rate": 0.01}, **UNCHANGED}
            ),
        },
        quick=QuickRun({"discriminator_blocks": 2, "discriminator_width": 2}),
    )
    shipped_parts = ("discriminator",)
    discriminator: Discriminator

    def __init__(self, parameters: ATLDParameters) -> None:
        """Start at full epsilon."""
        super().__init__(parameters)
        self.warmup = EpsilonWarmup(parameters.threat_model, None, parameters.warmup_epochs)

    def attach(self, model: Classifier) -> None:
        """Check that the network has a linear head; build the discriminator."""
        super().attach(model)
        settings: ATLDParameters = self.settings
        self.discriminator = Discriminator(
            model.num_classes,
            num_blocks=settings.discriminator_blocks,
            widen_factor=settings.discriminator_width,
        )

    @classmethod
    def onsets(cls, settings: ATLDParameters) -> tuple[Onset, ...]:
        """Return when epsilon is full."""
        return EpsilonWarmup.onset(settings.warmup_epochs)

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set epsilon of this epoch."""
        self.warmup.on_epoch_start(epoch)

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean soft CE(f(x_adv), y_s) + w * s * MSE, after the discriminator's steps."""
        settings: ATLDParameters = self.settings
        clean_logits = self._clean_logits(model, batch.x)
        target = smooth_labels(batch.y, clean_logits.shape[1], settings.label_smoothing)
        x_adv = self._attack(model, batch.x, clean_logits.detach(), target)
        x_adv = x_adv.detach().requires_grad_()  # without an epsilon it is batch.x itself
        logits = model(x_adv).float()
        terms = self._train_discriminator(clean_logits.detach(), logits.detach(), target)
        classification = soft_cross_entropy(logits, target).mean()
        pairing = F.mse_loss(logits, clean_logits)
        weight = settings.pairing_weight * gradient_ratio(classification, pairing, x_adv)
        terms = {
            "adversarial_cross_entropy": classification.item(),
            "pairing": pairing.item(),
            "pairing_weight": weight.item(),
            **terms,
        }
        return MethodOutput(classification + weight * pairing, terms)

    def _clean_logits(self, model: nn.Module, x: Tensor) -> Tensor:
        if self.settings.nat_branch == "live":
            return model(x).float()
        with evaluation_mode(model):
            return predict_logits(model, x)

    def _attack(self, model: nn.Module, x: Tensor, clean_logits: Tensor, target: Tensor) -> Tensor:
        """Return latent manifold adversarial examples [B,C,H,W]."""
        settings: ATLDParameters = self.settings
        # The clean half is constant in x_adv, but moves the running statistics of the discriminator
        clean = self.discriminator(clean_logits)

        def ease_of_separation(logits: Tensor) -> Tensor:
            loss = discriminator_losses(clean, self.discriminator(logits), target)
            return -(loss.manifold + loss.classes) if settings.cls_in_attack else -loss.manifold

        return one_step_attack(model, x, ease_of_separation, self.warmup.threat_model)

    def _train_discriminator(
        self, clean_logits: Tensor, logits: Tensor, target: Tensor
    ) -> dict[str, float]:
        """Let the discriminator learn from both batches; return its losses before the last step."""
        losses = None
        for _ in range(self.settings.discriminator_steps):
            attacked, clean = self.discriminator(logits), self.discriminator(clean_logits)
            losses = discriminator_losses(clean, attacked, target)
            self.step_discriminator((losses.manifold + losses.classes).mean())
        assert losses is not None, "there is at least one step"
        return {
            "discriminator_manifold": losses.manifold.mean().item(),
            "discriminator_class": losses.classes.mean().item(),
        }

    @cached_property
    def discriminator_optimiser(self) -> torch.optim.Optimizer:
        """SGD as released; built when a training asks for it: who only looks need not wait."""
        settings: ATLDParameters = self.settings
        return torch.optim.SGD(
            self.discriminator.parameters(),
            lr=settings.discriminator_learning_rate,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
        )

    def step_discriminator(self, loss: Tensor) -> None:
        """Take one step of the discriminator's optimiser down `loss`, a scalar with a graph.

        The only place that moves its weights; processes that train together share the gradient.
        """
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.discriminator.parameters())
        self.discriminator_optimiser.step()

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the discriminator's optimiser: dicts, numbers and tensors."""
        return self.discriminator_optimiser.state_dict()

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take over the state of the discriminator's optimiser."""
        self.discriminator_optimiser.load_state_dict(dict(state))

    def card_notes(self, model: Classifier, x: Tensor, y: Tensor, data: str) -> tuple[str, ...]:
        """Return how well the discriminator tells clean images from those of PGD-20.

        It decides how far ATLD+ moves an image, so where it cannot tell them apart, that is chance.
        """
        attack = PGD(norm=self.settings.norm, epsilon=self.settings.epsilon, num_steps=20)
        with evaluation_mode(self.discriminator):
            clean, attacked = (
                self.discriminator(predict_logits(model, images)).manifold.sigmoid()
                for images in (x, attack(model, x, y))
            )
        area = detection_auroc(clean.detach().cpu(), attacked.detach().cpu())
        fact = f"AUROC {area:.2f} between {len(x)} clean test images and the same under PGD-20"
        if area >= LEAST_AUROC:
            return (f"The discriminator separates clean from adversarial images: {fact}.",)
        undecided = (clean > UNDECIDED[0]) & (clean < UNDECIDED[1])
        share = float(undecided.float().mean())
        return (
            f"The discriminator does not tell clean from attacked images: {fact} (0.5 is chance). "
            f"ATLD+ takes its half step at {percent(share)} of the clean images.",
        )

    def inferences(self, model: Classifier) -> tuple[str, ...]:
        """Return the network's own ways, "imt" (ATLD), "imt_plus" (ATLD+) and "imt_smooth"."""
        return (*model.inferences, *INFERENCES)

    def inference(self, name: str, model: Classifier) -> Classifier:
        """Return the network behind the transformation at the training epsilon."""
        if name not in INFERENCES:
            return model.inference(name)
        return ManifoldTransformed(
            model,
            self.discriminator,
            epsilon=self.settings.epsilon,
            norm=self.settings.norm,
            limited=name == "imt_plus",
            backward="smooth" if name == "imt_smooth" else "identity",
        )


class DiscriminatorLosses(NamedTuple):
    """Losses [B] of a discriminator: of its manifold head and of its class head."""

    manifold: Tensor
    classes: Tensor


def discriminator_losses(
    clean: DiscriminatorOutput, attacked: DiscriminatorOutput, target: Tensor
) -> DiscriminatorLosses:
    """Return BCE(D0(clean), 1) + BCE(D0(attacked), 0), and the sum of both class losses, each [B].

    Manifold loss of a discriminator that knows nothing: 2 ln 2 = 1.386 an image.

    Args:
        clean: output for clean logits.
        attacked: output for attacked logits.
        target: smoothed labels [B,K].
    """
    manifold = F.softplus(-clean.manifold) + F.softplus(attacked.manifold)
    classes = soft_cross_entropy(clean.classes, target)
    classes = classes + soft_cross_entropy(attacked.classes, target)
    return DiscriminatorLosses(manifold, classes)


def gradient_ratio(numerator: Tensor, denominator: Tensor, x: Tensor) -> Tensor:
    """Return max(d numerator / dx) / max(d denominator / dx), signed maxima, as a constant.

    The denominator is at least 1e-8: it is 0 where the logits of both batches are the same.
    """
    (up,) = torch.autograd.grad(numerator, x, retain_graph=True)
    (down,) = torch.autograd.grad(denominator, x, retain_graph=True)
    return up.max() / down.max().clamp_min(SMALLEST_PULL)
