"""Input gradients to look at: of every class, compared with where they should point, as pictures.

The functions on arrays take gradients [N,C,H,W] of any scale and sign and return what can be shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from scipy.stats import t as student
from torch import Tensor, nn

from robust_core.attacks.base import check_images
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.gradients import (
    ClassScore,
    class_gradients,
    conflict,
    cosine,
    input_gradient,
    predict_logits,
)
from robust_core.losses import class_logit, cross_entropy, log_odds, log_probability
from robust_core.methods.parts.gradient_targets import (
    class_means,
    members_of_classes,
    nearest_of_each_class,
    one_image_of_each_class,
    score_differences,
    towards,
)
from robust_core.models.denoiser import Denoiser
from robust_core.models.modes import evaluation_mode
from robust_core.registry import unknown_name

TargetName = Literal["OI", "CM", "NN", "SBG"]
ScoreName = Literal["loss", "logit", "log_probability"]
SCORES: dict[str, ClassScore] = {
    "loss": cross_entropy,
    "logit": class_logit,
    "log_probability": log_probability,
}


def gradients_of_classes(
    model: nn.Module,
    x: Tensor,
    score: ScoreName = "log_probability",
    *,
    classes: Sequence[int] | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Return the input gradient of each class's score: images [N,C,H,W] -> [N,K,C,H,W].

    "logit": z_c. "log_probability": log p_c. "loss": the cross-entropy -log p_c with class c as
    label, so minus the one before.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K]; used in eval mode, left unchanged.
        x: images in [0, 1].
        score: which score.
        classes: K' of the classes, in their order; None: all K. Each takes a backward pass.
        batch_size: images a pass.

    Raises:
        InputError: no images, images outside [0, 1], or an unknown score.
    """
    if score not in get_args(ScoreName):
        raise unknown_name("score", score, list(get_args(ScoreName)))
    check_images(model, x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
    if len(x) == 0:
        raise InputError("gradients need at least one image, got none")
    with evaluation_mode(model):
        num_classes = predict_logits(model, x[:1]).shape[1]
        wanted = torch.tensor(range(num_classes) if classes is None else classes, device=x.device)
        parts = [
            class_gradients(model, part, wanted.expand(len(part), -1), SCORES[score])[0]
            for part in x.split(batch_size)
        ]
    return torch.cat(parts)


@dataclass(frozen=True)
class Average:
    """A mean over images with its 95 % interval; of one image alone the interval is infinite."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Tensor) -> "Average":
        """Return the mean of values [N,K] over images and classes.

        The interval is Student's for the mean of N independent images, each with the mean over its
        K classes, which are not independent.
        """
        each = values.double().mean(dim=1)
        mean, half = float(each.mean()), float("inf")
        if len(each) > 1:
            quantile = float(student.ppf(0.975, len(each) - 1))
            half = quantile * float(each.std()) / len(each) ** 0.5
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Alignment:
    """How the log-probability gradients of a sample agree with targets.

    The two baselines say what a cosine is worth: a gradient that knew nothing of the class would
    reach that of shuffled classes, one that were the same at every image that of shuffled images.

    Attributes:
        cosine: float32 [N,K], of the gradient of class c with the target of class c.
        shuffled_class: float32 [N,K], the mean over all other classes j of the cosine of the
            gradient of class c with the target of j: what shuffled classes give on average.
        shuffled_image: float32 [N,K], of the gradient of class c with the target of class c of
            another image of the sample; NaN where an image is alone in its batch.
        by_class: float32 [K,K], mean cosine of the gradient of class i (row) with the target of
            class j; where gradients mean what they should, the diagonal is the largest.
        conflict: float32 [N], how far the targets are from any that a softmax classifier can meet;
            see `gradients.conflict`.
    """

    cosine: Tensor
    shuffled_class: Tensor
    shuffled_image: Tensor
    by_class: Tensor
    conflict: Tensor

    @property
    def mean(self) -> float:
        """The alignment score: the mean cosine over images and classes, in [-1, 1]."""
        return float(self.cosine.mean())


def alignment(
    model: nn.Module,
    x: Tensor,
    targets: Callable[[Tensor, Tensor], Tensor],
    *,
    batch_size: int = 64,
) -> Alignment:
    """Compare the log-probability gradient of every class with its target, and with others.

    The mean cosine is what PAG trains: Ganz, Kawar and Elad, ICML 2023, arXiv:2207.11378. The
    gradients are taken as those of the log-odds, which point the same way and do not underflow.

    Args:
        model: as for `gradients_of_classes`.
        x: images [N,C,H,W] in [0, 1], at least one.
        targets: (images [B,C,H,W], their positions in `x` [B]) -> directions [B,K,C,H,W].
        batch_size: images a pass.

    Raises:
        InputError: no images, or targets of another shape.
    """
    if len(x) == 0:
        raise InputError("alignment needs at least one image, got none")
    own, of_class, of_image, at_odds = [], [], [], []
    table = torch.zeros((), device=x.device)
    with evaluation_mode(model):
        num_classes = predict_logits(model, x[:1]).shape[1]
        classes = torch.arange(num_classes, device=x.device)
        batches = torch.arange(len(x), device=x.device).tensor_split(-(-len(x) // batch_size))
        for index in batches:
            part = x[index]
            wanted = targets(part, index)
            expected = (len(part), num_classes, *x.shape[1:])
            if wanted.shape != expected:
                raise InputError(f"targets must be {list(expected)}, got {list(wanted.shape)}")
            gradient, _ = class_gradients(model, part, classes.expand(len(part), -1), log_odds)
            every = torch.stack(
                [cosine(gradient, wanted[:, [c]]) for c in range(num_classes)], dim=2
            )  # [B, K, K]
            same = every.diagonal(dim1=1, dim2=2)
            own.append(same)
            of_class.append(mean_of_other_classes(every))
            alone = torch.full_like(same, torch.nan)
            of_image.append(cosine(gradient, wanted.roll(1, 0)) if len(part) > 1 else alone)
            at_odds.append(conflict(wanted))
            table = table + every.sum(dim=0)
    parts = [torch.cat(one).cpu() for one in (own, of_class, of_image)]
    return Alignment(*parts, by_class=(table / len(x)).cpu(), conflict=torch.cat(at_odds).cpu())


def mean_of_other_classes(every: Tensor) -> Tensor:
    """Return what the gradient of each class has in common with other classes' targets on average.

    Args:
        every: [...,K,K], cosines of the gradient of class c (row) with the target of class j.

    Returns:
        [...,K], the mean over all j but c: what shuffled classes give.
    """
    own = every.diagonal(dim1=-2, dim2=-1)
    return (every.sum(dim=-1) - own) / max(every.shape[-1] - 1, 1)


def target_directions(
    kind: TargetName,
    images: ImageSet,
    *,
    denoiser: Denoiser | None = None,
    noise: float = 0.0,
    num_draws: int = 4,
    seed: int = 0,
) -> Callable[[Tensor], Tensor]:
    """Return what finds where the gradients of any image should point: [B,C,H,W] -> [B,K,C,H,W].

    The targets g(x, c) of PAG: Ganz, Kawar and Elad, ICML 2023, arXiv:2207.11378.

    Args:
        kind: towards one image of each class ("OI"), its mean ("CM"), the nearest image of it
            ("NN"), or along a denoiser's scores ("SBG").
        images: training images; every class present. An image that is asked about may be among
            them, and is then its own nearest neighbour.
        denoiser: gives the scores; only of "SBG".
        noise: its standard deviation in the scale of [-1, 1], in which it was trained.
        num_draws: noisy copies of an image whose scores are averaged.
        seed: of the noise, and of the one image of each class.

    Raises:
        InputError: an unknown kind, "SBG" without a denoiser, or a class without an image.
    """
    generator = torch.Generator().manual_seed(seed)
    pool, y, num_classes = images.x, images.y, images.num_classes
    match kind:
        case "OI":
            chosen = pool[one_image_of_each_class(y, num_classes, generator)]
            return lambda x: towards(x, chosen)
        case "CM":
            means = class_means(pool, y, num_classes)
            return lambda x: towards(x, means)
        case "NN":
            members_of_classes(y, num_classes)
            nowhere = torch.full_like(y, -1)  # no image of the set, so every entry may be taken

            def nearest(x: Tensor) -> Tensor:
                own = torch.full((len(x),), -2)
                return towards(
                    x, pool[nearest_of_each_class(x, own, pool, nowhere, y, num_classes)]
                )

            return nearest
        case "SBG":
            if denoiser is None:
                raise InputError("score-based targets (SBG) need a denoiser, got none")
            draws = torch.randn((num_draws, *images.image_shape), generator=generator)
            return lambda x: score_differences(denoiser, x, noise, draws)
        case _:
            raise unknown_name("kind of targets", kind, list(get_args(TargetName)))


def zero_gradient_share(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of images at which the loss gradient is zero in every pixel, in [0, 1].

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images [N,C,H,W].
        y: labels [N]; the loss is the cross-entropy.
    """
    found = input_gradient(model, x, lambda logits: cross_entropy(logits, y))
    return float((found.gradient.flatten(1).abs().amax(dim=1) == 0).double().mean())


def three_deviations(gradient: Tensor) -> Tensor:
    """Return gradients clipped to 3 standard deviations about the mean of each, mapped to [0, 1].

    [N,C,H,W] -> [N,C,H,W]; mid-grey is the mean. Tsipras et al., "Robustness May Be at Odds with
    Accuracy", ICLR 2019, arXiv:1805.12152.
    """
    mean, deviation = _moments(gradient, (-3, -2, -1))
    return ((gradient - mean) / (6 * deviation) + 0.5).clamp(0.0, 1.0)


def deviations_of_channels(gradient: Tensor) -> Tensor:
    """Return (g - mean) / (3 std) + 0.5 for each image and channel, clipped to [0, 1].

    [N,C,H,W] -> [N,C,H,W]; shows 1.5 standard deviations about the mean. MadryLab's tutorial code
    on adversarial examples.
    """
    mean, deviation = _moments(gradient, (-2, -1))
    return ((gradient - mean) / (3 * deviation) + 0.5).clamp(0.0, 1.0)


def signed_maximum(gradient: Tensor) -> Tensor:
    """Return g / max |g| of each image, from [-1, 1] to [0, 1]: [N,C,H,W] -> [N,C,H,W].

    Zero is mid-grey in every channel, so signs can be told. Srinivas et al., "Which Models Have
    Perceptually-Aligned Gradients? An Explanation via Off-Manifold Robustness", NeurIPS 2023,
    arXiv:2305.19101 (their code).
    """
    largest = gradient.abs().amax(dim=(-3, -2, -1), keepdim=True)
    return 0.5 + 0.5 * gradient / torch.where(largest > 0, largest, 1.0)


def channel_sum(gradient: Tensor, percentile: float = 99.0) -> Tensor:
    """Return sum_channels |g|, clipped at a percentile and mapped to [0, 1].

    [N,C,H,W] -> [N,1,H,W]. The custom of SmoothGrad: Smilkov et al., arXiv:1706.03825.

    Raises:
        InputError: the percentile is not in (0, 100].
    """
    if not 0 < percentile <= 100:
        raise InputError(f"percentile must be in (0, 100], got {percentile:g}")
    strength = gradient.abs().sum(dim=-3, keepdim=True)
    top = strength.flatten(-3).quantile(percentile / 100, dim=-1)[..., None, None, None]
    return (strength / torch.where(top > 0, top, 1.0)).clamp(0.0, 1.0)


def _moments(gradient: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over `dims`, the latter 1 where it would be 0."""
    mean = gradient.mean(dim=dims, keepdim=True)
    deviation = (gradient - mean).square().mean(dim=dims, keepdim=True).sqrt()
    return mean, torch.where(deviation > 0, deviation, 1.0)
