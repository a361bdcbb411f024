"""Checks of a model that has just been opened: does it do what it is said to do?

Names and shapes do not tell how a network expects its pixels, in which order its outputs are, or
whether it answers in evaluation mode. Two images of noise show the latter, labelled images the
rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.chance import chance_level, chance_sentence
from robust_core.evaluation.finding import Finding, Severity
from robust_core.evaluation.lowest import share_words, wilson_interval
from robust_core.evaluation.outputs import are_probabilities
from robust_core.gradients import predict_logits
from robust_core.importing.costs import FEWEST_IMAGES
from robust_core.models.base import Classifier
from robust_core.units import percent

SAME = 1e-4  # share of the logits' size by which one answer may differ from itself
MOST_WITHOUT_GRADIENT = 0.02  # share of the pixels
SUSPICIOUS_GAIN = 0.05  # accuracy that another way to open a model has more
REORDERED_GAIN = 0.2  # accuracy that another order of the outputs has more, of a wrong order
TIMES_CHANCE = 2.0

Scale = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel
SCALES: dict[str, Scale] = {
    "pixels in [0, 1]": ((0.0,), (1.0,)),
    "pixels in [-1, 1]": ((0.5,), (0.5,)),
    "pixels from 0 to 255": ((0.0,), (1 / 255,)),
    "mean and std of ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class CleanResult:
    """Clean predictions of a model on labelled images.

    Attributes:
        prediction: classes int64 [N]. y: labels int64 [N]. split: of the data set.
    """

    prediction: Tensor
    y: Tensor
    split: str

    @property
    def num_correct(self) -> int:
        """How many images are classified correctly."""
        return int((self.prediction == self.y).sum())

    @property
    def accuracy(self) -> float:
        """The share of correct images, in [0, 1]."""
        return self.num_correct / len(self.y)


def noise_images(image_shape: tuple[int, int, int]) -> Tensor:
    """Return two images of uniform noise, the same each time: [2,C,H,W] in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand((2, *image_shape), generator=generator)


def check_weights(state: Mapping[str, Tensor], what: str) -> None:
    """Raise `InputError` unless all weights are finite."""
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"{what} should have finite weights, but {name} has NaN or infinity")


def check_behaviour(model: Classifier, x: Tensor, what: str) -> tuple[Finding, ...]:
    """Return the findings on a model in eval mode that need no labels.

    Args:
        model: the network.
        x: images [N,C,H,W], N at least 2.
        what: what the person calls it, for the sentences.

    Raises:
        InputError: it cannot take such images, answers another number of rows, other numbers in
            another batch or at another time, nothing finite, without a gradient, or changes.
    """
    state = {name: value.clone() for name, value in model.named_buffers()}
    images = x.clone()
    logits = _outputs(model, images, what)
    if not torch.equal(images, x):
        raise InputError(f"{what} writes to the images that it is given; it must leave them alone")
    changed = [name for name, value in model.named_buffers() if not torch.equal(value, state[name])]
    if changed:
        raise InputError(
            f"{what} changes {changed[0]} when it answers: it is still in training mode; export it "
            "after model.eval()."
        )
    if not model.stochastic:
        _check_mode(model, x, logits, what)
    return (_gradient(model, x, what), _probabilities(logits, what))


def _outputs(model: Classifier, x: Tensor, what: str) -> Tensor:
    size = "x".join(map(str, x.shape[1:]))
    with torch.no_grad():
        try:
            logits = model(x)
        except (RuntimeError, ValueError) as error:
            said = str(error).partition("\n")[0][:200]
            raise InputError(f"{what} cannot take images of {size}: {said}") from None
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        got = list(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise InputError(f"{what} should return logits [N,K] for images of {size}, got {got}")
    if len(logits) != len(x):
        raise InputError(
            f"{what} answers {len(logits)} rows for {len(x)} images of {size}; it was made for "
            "another size."
        )
    if logits.shape[1] != model.num_classes:
        raise InputError(
            f"{what} has {logits.shape[1]} outputs, the data {model.num_classes} classes."
        )
    if not bool(torch.isfinite(logits).all()):
        raise InputError(f"{what} should return finite logits, got NaN or infinity")
    return logits


def _check_mode(model: Classifier, x: Tensor, logits: Tensor, what: str) -> None:
    """Raise unless an answer depends on its own image only, and on no chance."""
    allowed = SAME * max(1.0, float(logits.abs().max()))
    with torch.no_grad():
        again, alone = model(x), model(x[:1])
    if float((again - logits).abs().max()) > allowed:
        training = [name or "the model" for name, part in model.named_modules() if part.training]
        where = f" ({training[0]} is in training mode)" if training else ""
        raise InputError(
            f"{what} answers differently each time{where}; export it after model.eval()"
        )
    if float((alone - logits[:1]).abs().max()) > allowed:
        raise InputError(
            f"{what} answers differently when the batch differs: it is still in training mode; "
            "export it after model.eval()."
        )


def _gradient(model: Classifier, x: Tensor, what: str) -> Finding:
    with torch.enable_grad():
        images = x.clone().requires_grad_()
        # half of the logits, weighted: all of them together have no gradient where they are shifted
        logits = model(images)
        weights = torch.linspace(-1.0, 1.0, logits.shape[1])
        if not logits.requires_grad:
            raise InputError(
                f"{what} gives no gradient to its input; attacks cannot look through it."
            )
        (gradient,) = torch.autograd.grad((logits * weights).sum(), images, allow_unused=True)
    if gradient is None:
        raise InputError(f"{what} gives no gradient to its input; attacks cannot look through it.")
    if not bool(torch.isfinite(gradient).all()):
        raise InputError(f"{what} should have a finite gradient, got NaN or infinity")
    without = float((gradient == 0).float().mean())
    if without <= MOST_WITHOUT_GRADIENT:
        words = "The gradient reaches every pixel."
        return Finding("gradient", Severity.OK, without, MOST_WITHOUT_GRADIENT, words)
    return Finding(
        "gradient",
        Severity.WARN,
        without,
        MOST_WITHOUT_GRADIENT,
        f"The gradient is exactly zero at {percent(without)} of the pixels of two images of noise: "
        "the network may mask it.",
        "Attack with an attack that needs no gradient, too.",
    )


def _probabilities(logits: Tensor, what: str) -> Finding:
    share = float(are_probabilities(logits).float().mean())
    if share < 1.0:
        return Finding("probabilities", Severity.OK, share, 0.5, "The outputs are logits.")
    return Finding(
        "probabilities",
        Severity.WARN,
        share,
        0.5,
        f"{what} returns probabilities; bring the values before the softmax, or attacks look "
        "weaker than they are.",
    )


def measure_clean(model: Classifier, images: ImageSet) -> CleanResult:
    """Return the predictions of a model on labelled images."""
    prediction = predict_logits(model, images.x).argmax(dim=1)
    return CleanResult(prediction, images.y, images.split)


def check_accuracy(
    model: Classifier, images: ImageSet, result: CleanResult, own: Scale | None
) -> tuple[Finding, ...]:
    """Return the findings on a model that need labelled images.

    Args:
        model: the network, in eval mode.
        images: labelled; the first hundred are also tried with other normalisations.
        result: of `measure_clean` on them.
        own: mean and std of the network's own normalisation; None: nobody knows it.
    """
    order = class_order(result.prediction, result.y, images.num_classes)
    findings = (_check_chance(result), check_order(result, order, images.class_names))
    if own is None:
        return findings
    return (check_scale(model, images.subset(slice(FEWEST_IMAGES)), own), *findings)


def accuracies_of_scales(model: Classifier, images: ImageSet, own: Scale) -> dict[str, float]:
    """Return the clean accuracy of a model under other normalisations than its own.

    The images are changed so that the network sees, behind its own normalisation, what another one
    would have given it; nothing in the network is touched.

    Args:
        model: the network, in eval mode.
        images: labelled images.
        own: mean and std of the network's own normalisation.

    Returns:
        Accuracies in [0, 1] by the name of the normalisation, "as declared" first.
    """
    mean, std = _columns(own)
    seen = {"as declared": images.x}
    for name, scale in {**SCALES, "mean and std of the images": scale_of(images)}.items():
        if len(scale[0]) in (1, images.image_shape[0]):
            other_mean, other_std = _columns(scale)
            seen[name] = mean + std * (images.x - other_mean) / other_std
    if images.image_shape[0] > 1:
        seen["channels in the order BGR"] = images.x.flip(1)
    seen["normalised twice"] = (images.x - mean) / std
    found = {}
    for name, x in seen.items():
        right = predict_logits(model, x).argmax(dim=1) == images.y
        found[name] = float(right.double().mean())
    return found


def scale_of(images: ImageSet) -> Scale:
    """Return mean and std of the pixels of each channel, the usual normalisation of a data set."""
    pixels = images.x.transpose(0, 1).flatten(1).double()
    mean, std = pixels.mean(dim=1), pixels.std(dim=1).clamp(min=1e-3)
    return tuple(mean.tolist()), tuple(std.tolist())


def check_scale(model: Classifier, images: ImageSet, own: Scale) -> Finding:
    """Return whether another normalisation than the declared one gives a higher accuracy."""
    found = accuracies_of_scales(model, images, own)
    declared = found.pop("as declared")
    best = max(found, key=lambda name: found[name])
    gain = found[best] - declared
    table = ", ".join(f"{name} {percent(value)}" for name, value in found.items())
    if gain <= SUSPICIOUS_GAIN:
        words = (
            f"No other normalisation is clearly better: {percent(declared)} as declared; {table}."
        )
        return Finding("normalisation", Severity.OK, gain, SUSPICIOUS_GAIN, words)
    return Finding(
        "normalisation",
        Severity.WARN,
        gain,
        SUSPICIOUS_GAIN,
        f"Clean accuracy is {percent(declared)} as declared, but {percent(found[best])} with "
        f"{best} ({table}; {len(images)} images): this model was probably opened wrongly.",
        "Import it again with the normalisation of its training code.",
    )


def _columns(scale: Scale) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(part).view(1, -1, 1, 1) for part in scale)
    return mean, std


def _check_chance(result: CleanResult) -> Finding:
    chance = chance_level(result.y)
    accuracy = result.accuracy
    if accuracy >= min(TIMES_CHANCE * chance, (1 + chance) / 2):
        words = f"Clean accuracy is {percent(accuracy, 1)}, above chance ({percent(chance)})."
        return Finding("chance", Severity.OK, accuracy, chance, words)
    words = chance_sentence(result.num_correct, len(result.y), chance) or (
        f"Clean accuracy is {percent(accuracy, 1)}, less than twice that of chance "
        f"({percent(chance)})."
    )
    advice = "Check normalisation, data set and which training code the file is from."
    return Finding("chance", Severity.WARN, accuracy, chance, words, advice)


def class_order(prediction: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Return the label that each output fits best, one to one: int64 [K].

    The assignment that makes most of the images correct (Kuhn, Naval Research Logistics 2, 1955).

    Args:
        prediction: classes predicted without an attack [N].
        y: labels [N].
        num_classes: K.
    """
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    counts.index_put_((prediction, y), torch.ones_like(y), accumulate=True)
    _, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    return torch.from_numpy(columns)


def check_order(result: CleanResult, order: Tensor, class_names: tuple[str, ...]) -> Finding:
    """Return whether the outputs of a model are in another order than the classes of the data."""
    best = float((order[result.prediction] == result.y).double().mean())
    gain = best - result.accuracy
    if gain <= REORDERED_GAIN:
        words = "The outputs are in the order of the classes."
        return Finding("class_order", Severity.OK, gain, REORDERED_GAIN, words)
    named = ", ".join(class_names[int(label)] for label in order)
    return Finding(
        "class_order",
        Severity.WARN,
        gain,
        REORDERED_GAIN,
        f"Clean accuracy is {percent(result.accuracy)}, but {percent(best)} if the outputs are in "
        f"the order {named}.",
        "If that is so, import it again and give the classes in this order.",
    )


def check_claim(result: CleanResult, claim: float) -> Finding:
    """Return whether a stated clean accuracy lies in the interval of what was measured."""
    interval = wilson_interval(result.num_correct, len(result.y))
    low, high = interval
    off = max(low - claim, claim - high, 0.0)
    measured = f"{share_words(result.accuracy, interval)} on {len(result.y):,} images"
    if off == 0.0:
        words = f"The stated clean accuracy of {percent(claim, 1)} agrees with {measured}."
        return Finding("claim", Severity.OK, off, 0.0, words)
    words = f"The stated clean accuracy is {percent(claim, 1)}, but measured was {measured}: "
    words += "this model was probably opened wrongly."
    return Finding("claim", Severity.WARN, off, 0.0, words, "Check normalisation and architecture.")
