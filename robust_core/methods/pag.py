"""PAG: training for perceptually aligned gradients, without an attack."""

from functools import partial
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.gradients import ClassScore, class_gradients, cosine
from robust_core.losses import class_logit, cross_entropy, log_odds
from robust_core.methods.base import METHODS, Batch, MethodOutput, Onset, TrainingMethod
from robust_core.methods.parts.gradient_targets import (
    Augmented,
    KeptByIndex,
    TargetFunction,
    class_means,
    direction_only,
    members_of_classes,
    nearest_of_each_class,
    one_image_of_each_class,
    score_differences,
    towards,
    towards_fixed,
)
from robust_core.methods.parts.inner_attack import InnerSteps, attack_mode, inner_maximisation
from robust_core.methods.recipe import SGD, QuickRun, Recipe
from robust_core.models.base import Classifier
from robust_core.models.denoiser import Denoiser
from robust_core.parameters import PIXEL_UNIT, Parameters
from robust_core.threat_model import Norm, ThreatModel

WARMUP_SHARE = 2 / 3  # of the weight, in the first epochs of the released ViT recipe


class PAGParameters(Parameters):
    """Parameters of PAG; defaults: CIFAR-10 with ResNet-18 of the released code, but for CM."""

    targets: Annotated[
        Literal["OI", "CM", "NN", "SBG"],
        Field(
            description="Target that gradients are aligned with: one image of the class (OI), the "
            "class mean (CM), the nearest image of the class (NN), or score-based gradients of a "
            "denoiser (SBG)."
        ),
    ] = "CM"
    weight: Annotated[
        float, Field(ge=0.0, le=100.0, description="Weight of the alignment term (lambda).")
    ] = 1.5
    reduced_epochs: Annotated[
        int,
        Field(ge=0, le=10_000, description="Warm-up epochs with two thirds of the weight."),
    ] = 0
    num_sampled_classes: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Classes sampled per image and step; automatic: all."),
    ] = None
    true_class: Annotated[bool, Field(description="Also align the gradient of the true class.")] = (
        True
    )
    score: Annotated[
        Literal["log_probability", "logit"],
        Field(description="Class score whose gradient is aligned."),
    ] = "log_probability"
    control: Annotated[
        Literal["none", "shuffled", "random"],
        Field(
            description="Control with meaningless targets at the same cost: shuffled over images "
            "and classes of a batch, or one random direction per class."
        ),
    ] = "none"
    batch_norm: Annotated[
        Literal["train", "eval"],
        Field(
            description="Batch norm in the alignment term: batch statistics (train), or running "
            "statistics (eval), which costs one more forward pass."
        ),
    ] = "train"
    match_length: Annotated[
        bool,
        Field(description="CM: scale the mean image to the typical norm of images of its class."),
    ] = False
    pool_size: Annotated[
        int | None,
        Field(
            ge=2, le=100_000, description="NN: random candidate images per class; automatic: all."
        ),
    ] = None
    target_seed: Annotated[
        int, Field(ge=0, le=2**31 - 1, description="Random seed of target images and noise.")
    ] = 0
    denoiser: Annotated[
        str, Field(max_length=1000, description="SBG: checkpoint of the denoiser.")
    ] = ""
    noise: Annotated[
        float,
        Field(
            ge=0.05,
            le=10.0,
            description="SBG: noise level of the scores, standard deviation for pixels in [-1, 1].",
        ),
    ] = 0.5
    num_draws: Annotated[
        int, Field(ge=1, le=100, description="SBG: noisy copies averaged per target.")
    ] = 1
    adversarial_norm: Annotated[
        Norm, Field(description="Norm of the training attack, if there is one.")
    ] = Norm.LINF
    adversarial_epsilon: Annotated[
        float,
        Field(
            ge=0.0,
            le=100.0,
            description="Epsilon of the PGD attack on the images of the cross-entropy term; 0: no "
            "attack.",
            json_schema_extra=PIXEL_UNIT,
        ),
    ] = 0.0
    adversarial_steps: InnerSteps = 10

    @model_validator(mode="after")
    def _check_denoiser(self) -> Self:
        if self.targets == "SBG" and not self.denoiser:
            raise ValueError("targets SBG need the checkpoint of a denoiser, got no name")
        return self


@METHODS.register("pag")
class PAG(TrainingMethod):
    """Minimise CE(f(x), y) + lambda K mean over images and classes of 1 - cos(G_c, g(x, c)).

    G_c is the gradient of log p_c(x) for the image and g(x, c) its target; only the direction is
    supervised. K is the number of classes, also where fewer are drawn. G_c comes from one forward
    pass and a vector-Jacobian product for each class, all in float32, as the gradient of
    log p_c / (1 - p_c): the same direction, and no underflow where the network is sure.

    Targets belong to the image as it is stored, before augmentation; so does the gradient, which
    goes back through the augmentation that the network sees. OI, CM and NN targets cannot all be
    met, because sum_c p_c grad log p_c = 0: the term has a floor.

    With `adversarial_epsilon` the cross-entropy is that of PGD examples (AT + PAG).

    Source: Ganz, Kawar and Elad, "Do Perceptually Aligned Gradients Imply Robustness?", ICML 2023,
    arXiv:2207.11378, and the released code. Differences: every image has its own augmentation, one
    for both terms, where the released code crops and flips a whole batch alike, once for each
    term; one forward pass where it repeats an image for each class. The default weight of 1.5 is
    the released one of SBG; those of OI, CM and NN are not published.
    """

    Parameters = PAGParameters
    recipe = Recipe(
        {
            "model": {"name": "resnet18"},
            "optimiser": {**SGD, "learning_rate": 0.01, "weight_decay": 1e-4},
            "schedule": {"name": "step", "milestones": [49, 74, 99], "factor": 0.1},
            "epochs": 100,
            "batch_size": 64,
            "crop_border": "grey",
        },
        quick=QuickRun(
            {"num_sampled_classes": 3},
            {"weight": 0.1},  # with 1.5 MNIST and a person's own few images stayed at chance
            colour_epochs=2,
        ),
    )
    differentiates_twice = True
    needs_stored_images = True
    share_of_weight: float = 1.0  # in the current epoch
    num_classes: int
    target_function: TargetFunction
    score_function: ClassScore

    def __init__(self, parameters: PAGParameters) -> None:
        super().__init__(parameters)
        self.score_function = class_logit if parameters.score == "logit" else log_odds
        self._denoiser: tuple[Denoiser, ...] = ()  # a tuple, to be no submodule

    def card_notes(self, model: Classifier, x: Tensor, y: Tensor, data: str) -> tuple[str, ...]:
        """Return how the score targets differ from the paper's."""
        if self.settings.targets != "SBG":
            return ()
        return ("Score targets come from one denoiser; the paper trains two.",)

    def attach(self, model: Classifier) -> None:
        """Check the number of classes; make room for the choice of images.

        Raises:
            InputError: more classes are to be drawn than there are; a network with a cosine head.
        """
        super().attach(model)
        settings: PAGParameters = self.settings
        self.num_classes = model.num_classes
        most = self.num_classes - (not settings.true_class)
        if settings.num_sampled_classes is not None and settings.num_sampled_classes > most:
            raise InputError(
                f"num_sampled_classes must be at most {most} here, got "
                f"{settings.num_sampled_classes}"
            )
        if settings.targets == "OI":
            self.register_buffer("one_image", torch.full((self.num_classes,), -1))

    def reference(self) -> str | None:
        """Return the denoiser's checkpoint where targets are score-based."""
        settings: PAGParameters = self.settings
        return settings.denoiser if settings.targets == "SBG" else None

    def consult(self, model: Classifier) -> None:
        """Take the denoiser.

        Raises:
            InputError: it is none, or one of other classes.
        """
        if not isinstance(model, Denoiser) or model.num_classes != self.num_classes:
            raise InputError(
                f"targets SBG need a denoiser of {self.num_classes} classes, got a "
                f"{type(model).__name__} of {model.num_classes}"
            )
        self._denoiser = (model,)

    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Choose what targets are made of.

        Raises:
            InputError: a class with too few images; a denoiser for images of another shape.
        """
        settings: PAGParameters = self.settings
        generator = torch.Generator().manual_seed(settings.target_seed)
        if settings.control == "random":
            shape = (self.num_classes, *x.shape[1:])
            directions = torch.randn(shape, generator=generator).to(x)
            self.target_function = lambda x, index: directions.expand(len(x), *shape)
        elif settings.targets == "OI":
            self.one_image = one_image_of_each_class(y, self.num_classes, generator)
            self.target_function = towards_fixed(x[self.one_image])
        elif settings.targets == "CM":
            means = class_means(x, y, self.num_classes, match_length=settings.match_length)
            self.target_function = towards_fixed(means)
        elif settings.targets == "NN":
            self.target_function = self._nearest(x, y, generator)
        else:
            (denoiser,) = self._denoiser
            if denoiser.image_shape != x.shape[1:]:
                raise InputError(
                    f"targets SBG need a denoiser of images {list(x.shape[1:])}, got one of "
                    f"{list(denoiser.image_shape)}"
                )
            self.target_function = self._score_based(denoiser, x, generator)

    def _nearest(self, x: Tensor, y: Tensor, generator: torch.Generator) -> TargetFunction:
        settings: PAGParameters = self.settings
        members = members_of_classes(y, self.num_classes)
        fewest = min(len(rows) for rows in members)
        if fewest < 2:
            raise InputError("targets NN need at least 2 images of every class, got 1")
        chosen = [
            rows[torch.randperm(len(rows), generator=generator)[: settings.pool_size]]
            for rows in members
        ]
        pool_index = torch.cat(chosen).to(x.device)
        pool, pool_y = x[pool_index], y[pool_index]

        def find(x: Tensor, index: Tensor) -> Tensor:
            return nearest_of_each_class(x, index, pool, pool_index, pool_y, self.num_classes)

        found = KeptByIndex(find)
        return lambda x, index: towards(x, pool[found(x, index)])

    def _score_based(
        self, denoiser: Denoiser, x: Tensor, generator: torch.Generator
    ) -> TargetFunction:
        settings: PAGParameters = self.settings
        draws = torch.randn((settings.num_draws, *x.shape[1:]), generator=generator)

        def follow(x: Tensor, index: Tensor) -> Tensor:
            return direction_only(score_differences(denoiser, x, settings.noise, draws))

        found = KeptByIndex(follow)
        return lambda x, index: found(x, index).float()

    @classmethod
    def onsets(cls, settings: PAGParameters) -> tuple[Onset, ...]:
        """Return when the alignment has its full weight, unless it has so from the start."""
        epochs = settings.reduced_epochs
        full = Onset("the alignment has its full weight", f"reduced_epochs {epochs}", epochs)
        return (full,) if epochs else ()

    def on_epoch_start(self, epoch: int, num_epochs: int) -> None:
        """Set the weight of this epoch: two thirds of it in the first `reduced_epochs`."""
        settings: PAGParameters = self.settings
        self.share_of_weight = WARMUP_SHARE if epoch < settings.reduced_epochs else 1.0

    def training_loss(self, model: nn.Module, batch: Batch) -> MethodOutput:
        """Return mean CE + weight * K * mean(1 - cos)."""
        settings: PAGParameters = self.settings
        with torch.autocast(batch.x.device.type, enabled=False):
            x = batch.x.float()
            stored = x if batch.before is None else batch.before.float()
            seen = model if batch.change is None else Augmented(model, batch.change)
            classes = self.draw_classes(batch.y)
            targets = self.draw_targets(stored, batch.index, classes)
            with attack_mode(model, settings.batch_norm):
                gradient, logits = class_gradients(
                    seen, stored, classes, self.score_function, create_graph=True
                )
            alignment = cosine(gradient, targets).mean()
            if settings.adversarial_epsilon > 0:
                logits = model(self._attacked(model, x, batch.y))
            elif settings.batch_norm == "eval":
                logits = model(x)
            classification = cross_entropy(logits, batch.y).mean()
        weight = settings.weight * self.share_of_weight * self.num_classes
        terms = {"cross_entropy": classification.item(), "alignment": alignment.item()}
        return MethodOutput(classification + weight * (1 - alignment), terms)

    def draw_classes(self, y: Tensor) -> Tensor:
        """Return the classes whose gradients are aligned, distinct for an image: [B] -> [B,M]."""
        settings: PAGParameters = self.settings
        most = self.num_classes - (not settings.true_class)
        order = torch.rand(len(y), self.num_classes).to(y.device)
        if not settings.true_class:
            order = order.scatter(1, y[:, None], float("inf"))
        return order.argsort(dim=1)[:, : settings.num_sampled_classes or most]

    def draw_targets(self, x: Tensor, index: Tensor, classes: Tensor) -> Tensor:
        """Return the targets of stored images [B,C,H,W] for classes [B,M]: -> [B,M,C,H,W]."""
        settings: PAGParameters = self.settings
        rows = torch.arange(len(x), device=x.device)[:, None]
        targets = self.target_function(x, index)[rows, classes]
        if settings.control != "shuffled":
            return targets
        pairs = torch.randperm(classes.numel()).to(x.device)
        return targets.flatten(0, 1)[pairs].view_as(targets)

    def _attacked(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        settings: PAGParameters = self.settings
        threat_model = ThreatModel(settings.adversarial_norm, settings.adversarial_epsilon)
        return inner_maximisation(
            model,
            x,
            partial(cross_entropy, y=y),
            threat_model,
            x_start=threat_model.random_start(x),
            step_size=None,
            num_steps=settings.adversarial_steps,
            batch_norm="eval",
        )
