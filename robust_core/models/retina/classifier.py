"""Any network behind a retinotopic sampler, deciding over several random views of an image."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import MODELS, Classifier
from robust_core.models.retina.backbone import (
    CHANNELS,
    COLOURS,
    check_backbone,
    create_backbone,
    without_normalisation,
)
from robust_core.models.retina.parameters import STATISTICS, RetinotopicParameters
from robust_core.models.retina.sampler import (
    Centre,
    RetinotopicSampler,
    choose_centres,
    without_mean,
)
from robust_core.registry import unknown_name

KEEP_EPSILON = 1e-9
TRAINED_WITH = ("backbone", "backbone_width", "backbone_depth", "version", "normalisation")


@dataclass(frozen=True)
class Views:
    """What the network is shown: images [V,N,C,H,W], keep_ratio [V] and their V centres."""

    images: Tensor
    keep_ratio: Tensor
    centres: tuple[Centre, ...]


@dataclass(frozen=True)
class ViewOutputs:
    """What the network says to every view: logits [V,N,K], features [V,N,D], keep_ratio [V].

    The logits are not divided by the keep ratio.
    """

    logits: Tensor
    features: Tensor
    keep_ratio: Tensor


@MODELS.register("retinotopic")
class RetinotopicClassifier(Classifier):
    """A network that sees an image through random retinotopic views and decides by their mean.

    v2: logits = (1/V) sum_v logits_v / (z_v + 1e-9), with z_v the keep ratio of view v.
    v1: logits = (1/V) sum_v logits_v.

    The backbone gets the views as they are, its own normalisation taken out; `around` puts the
    sampler before a network that exists. The features are the mean of features_v / z_v and, in one
    more place, the mean of 1 / z_v (v1: with z_v = 1); so the affine head of these is the mean of
    the views' heads.

    Inferences: "one_view" decides by a single view, in v2 the one of the image's middle: what the
    released attacks look at. "expected_gradient" is the network itself, except that its gradient
    goes through the pixel step by the exact mean of the slope.

    Source: Tang, Tao and Zhang, "Adversarial Visual Robustness by Causal Intervention",
    arXiv:2106.09534, and the released code of its versions. Differences: the architectures of this
    package; grey images are repeated to three channels in v1, too; in eval mode all views go
    through the network in one batch, in train mode one after the other, so that batch norm sees
    each on its own.
    """

    Parameters = RetinotopicParameters
    fused_form = None
    mean: Tensor
    deviation: Tensor
    stochastic = True
    masking_parts = ("sampler.pixel_step",)
    inferences = ("one_view", "expected_gradient")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        parameters: RetinotopicParameters,
        *,
        backbone: Classifier | None = None,
    ):
        """Build the network, around a `backbone` for views or around the one of the parameters."""
        if backbone is None:
            view_shape = (CHANNELS[parameters.version], *image_shape[1:])
            name, width = parameters.backbone, parameters.backbone_width
            depth = parameters.backbone_depth
            backbone = create_backbone(name, width, depth, view_shape, num_classes)
        super().__init__(image_shape, num_classes, num_features=backbone.num_features + 1)
        self.settings = parameters
        self.backbone = backbone
        self.sampler = _create_sampler(parameters)
        mean, deviation = STATISTICS[parameters.normalisation]
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1), persistent=False)

    @classmethod
    def around(
        cls,
        classifier: Classifier,
        parameters: RetinotopicParameters | None = None,
        *,
        grey: bool = False,
    ) -> Self:
        """Return a network that shows retinotopic views to `classifier`, whose weights it shares.

        What it calls `normalize`, as all architectures here do, is left out: views come as they
        are. It must end in an affine layer called `classifier`.

        Args:
            classifier: left as it is; takes 3 channels (version v2) or 6 (v1).
            parameters: of the sampling; those of the backbone do not count. None: the defaults.
            grey: whether images have one channel in place of three.

        Raises:
            InputError: the classifier cannot stand behind the sampler.
        """
        parameters = RetinotopicParameters() if parameters is None else parameters
        check_backbone(classifier, parameters.version)
        height, width = classifier.image_shape[1:]
        shape = (1 if grey else COLOURS, height, width)
        backbone = without_normalisation(classifier)
        network = cls(shape, classifier.num_classes, parameters, backbone=backbone)
        device = backbone.get_parameter("classifier.weight").device
        return network.to(device).train(classifier.training)

    @property
    def classifier(self) -> nn.Module:
        """The final layer, the backbone's."""
        return self.backbone.get_submodule("classifier")

    def sample_views(
        self,
        x: Tensor,
        centres: Sequence[Centre] | None = None,
        generator: torch.Generator | None = None,
    ) -> Views:
        """Return fresh views of images [N,C,H,W] in [0, 1].

        Args:
            x: the images.
            centres: (column, row) of each view, in pixels from 0; None: as the parameters say.
            generator: of all randomness, on the device of `x`; None: torch's default ones.
        """
        settings = self.settings
        if centres is None:
            centres = choose_centres(
                settings.centre_choice,
                (x.shape[2], x.shape[3]),
                settings.centre_margin,
                settings.num_views,
                generator,
            )
        seen = self._prepare(x)
        images, keep_ratio = [], []
        for centre in centres:
            samples = self.sampler(seen, centre, generator)
            view = samples.view
            images.append(without_mean(view) if settings.version == "v1" else view)
            keep_ratio.append(samples.keep_ratio)
        return Views(torch.stack(images), torch.stack(keep_ratio), tuple(centres))

    def view_outputs(self, x: Tensor) -> ViewOutputs:
        """Return what the network says to fresh views of images [N,C,H,W] in [0, 1]."""
        return self.outputs_of(self.sample_views(x))

    def outputs_of(self, views: Views) -> ViewOutputs:
        """Return what the network says to the given views."""
        features = self._features_of(views)
        logits = self.backbone.head(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return ViewOutputs(logits, features, views.keep_ratio)

    def decide(self, outputs: ViewOutputs) -> Tensor:
        """Return the logits [N,K] that the outputs of several views lead to."""
        return (outputs.logits * self._shares(outputs.keep_ratio)[:, None, None]).mean(dim=0)

    def features(self, x: Tensor) -> Tensor:
        """Return the mean of features_v / z_v, and behind it that of 1 / z_v: [N,D+1]."""
        views = self.sample_views(x)
        shares = self._shares(views.keep_ratio)
        mean = (self._features_of(views) * shares[:, None, None]).mean(dim=0)
        return torch.cat([mean, shares.mean().expand(len(x), 1).to(mean)], dim=1)

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,D+1] -> [N,K].

        With s the last feature these are s head(z / s), which is W z + s b for an affine head.
        """
        share = z[:, -1:]
        return share * self.backbone.head(z[:, :-1] / share)

    @property
    def class_layer(self) -> nn.Linear | None:
        """The backbone's last layer, which weighs all features but the last one."""
        return self.backbone.class_layer

    def class_features(self, z: Tensor) -> Tensor:
        """Return the mean of features_v / z_v alone: [N,D+1] -> [N,D]."""
        return self.backbone.class_features(z[:, :-1])

    def inference(self, name: str) -> Classifier:
        """Return the network used as "one_view" or with the "expected_gradient"."""
        if name == "one_view":
            return self.with_inference(num_views=1)
        if name == "expected_gradient":
            return self.with_inference(pixel_gradient="expected")
        raise unknown_name("inference", name, list(self.inferences))

    def with_inference(self, **changes: Any) -> Self:
        """Return a classifier that shares these weights and looks at images in another way.

        Args:
            changes: new values of parameters of the sampling, such as num_views, num_samples,
                centres or pixel_gradient.

        Raises:
            InputError: a parameter that the weights depend on, an unknown one, or a value out of
                its range.
        """
        for name in TRAINED_WITH:
            if name in changes:
                raise InputError(f"{name} belongs to the trained weights and cannot be changed")
        clone = copy.copy(self)
        clone.settings = self.settings.create({**self.settings.model_dump(), **changes})
        sampler = _create_sampler(clone.settings).train(self.sampler.training)
        clone._modules = {**self._modules, "sampler": sampler}
        return clone

    def _prepare(self, x: Tensor) -> Tensor:
        """Return what is sampled: three channels, in v2 normalised."""
        x = x.expand(-1, COLOURS, -1, -1)
        return x if self.settings.version == "v1" else (x - self.mean) / self.deviation

    def _features_of(self, views: Views) -> Tensor:
        """Return the backbone's features of every view, [V,N,D]."""
        if self.training:
            return torch.stack([self.backbone.features(view) for view in views.images])
        shape = views.images.shape[:2]
        return self.backbone.features(views.images.flatten(0, 1)).unflatten(0, shape)

    def _shares(self, keep_ratio: Tensor) -> Tensor:
        """Return 1 / z of every view in v2, 1 in v1: [V] -> [V]."""
        if self.settings.version == "v1":
            return torch.ones_like(keep_ratio)
        return 1.0 / (keep_ratio + KEEP_EPSILON)


def _create_sampler(parameters: RetinotopicParameters) -> RetinotopicSampler:
    return RetinotopicSampler(
        parameters.version,
        parameters.weight,
        parameters.num_samples,
        parameters.pixel_gradient,
        parameters.density,
    )
