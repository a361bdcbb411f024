"""The parts of a guided tour. They are data only, so a new tour needs no code."""

import math
from dataclasses import dataclass, field
from typing import Literal

from robust_core.attacks.base import Attack, create_attack

NUM_IMAGES = 60  # test images of a measurement
PGD = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=20)  # the default epsilon on digits

SceneKind = Literal[
    "picture",  # the clean image and each model's prediction
    "play",  # the Attack page's outcome and player
    "checks",  # the Attack page's reliability checks
    "surface",  # the Attack page's loss surface
    "side_by_side",  # the Compare page's outcomes and synchronised player
    "transfer",  # the Compare page's transfer matrix of one image
    "gradients",  # the Gradients page's maps of every class
    "targets",  # the Gradients page's maps beside their targets
    "morph",  # the Gradients page's class morph
    "views",  # the Retina page's fixation, masks and views
    "predictions",  # the Retina page's views with their predictions
    "map",  # the Latent space page's map
    "scores",  # the Latent space page's discriminator scores
    "pairs",  # the Hard pairs page's ranked pairs
    "labels",  # the Hard pairs page's predicted labels of one class
    "similarity",  # the Hard pairs page's similarity against confusion
    "card_table",  # the Start page's table: as reported and lowest measured
]
MeasureKind = Literal[
    "clean_accuracy",  # of the first model, without an attack
    "accuracy",  # robust accuracy of the first model; the last one is the surrogate
    "clean_gap",  # clean accuracy of the first model minus that of the second
    "accuracy_gap",  # robust accuracy of the first model minus that of the second
    "attack_gap",  # robust accuracy under `attack` minus that under `other`
    "surrogate_gap",  # accuracy of the first model under transfer minus direct attack
    "same_surrogate_gap",  # robust accuracy of the first minus the second, the surrogate
    "confidence",  # probability of the label after the attack
    "zero_gradient",  # share of images at which the loss gradient is exactly zero
    "raised_checks",  # number of checks that warn or fail for the attack on the image
    "alignment_gap",  # alignment of the first model minus that of the second
    "morph_gap",  # probability of the target class after the morph, first minus second
    "kept_pixels",  # share of pixels that the masks keep
    "disagreement",  # share of repeated passes that differ from the majority
    "drift",  # of the mean feature under attack, in multiples of that under noise
    "overlap_gap",  # share of clean neighbours kept under attack, first minus second
    "detection",  # AUROC of the discriminator: clean against attacked images
    "top_share",  # share of the errors under attack in the most frequent wrong class of each class
    "agreement",  # share of misclassified images in the class that targeted attacks reach best
    "similarity",  # rank correlation of weight similarity and confusion
]


@dataclass(frozen=True)
class Scene:
    """A live view: its kind, its checkpoints, and its attack where there is one."""

    kind: SceneKind
    models: tuple[str, ...]
    attack: Attack = PGD


@dataclass(frozen=True)
class Measure:
    """The measurement that answers a question.

    kind: what is measured. models: names of checkpoints. attack: where there is one. other: the
    second attack of a gap. number: test images.
    """

    kind: MeasureKind
    models: tuple[str, ...]
    attack: Attack = PGD
    other: Attack | None = None
    number: int = NUM_IMAGES


@dataclass(frozen=True)
class Option:
    """An answer, correct if the measured value lies in [low, high)."""

    words: str
    low: float = -math.inf
    high: float = math.inf

    def fits(self, value: float) -> bool:
        """Return whether this is the answer to a measured value."""
        return self.low <= value < self.high


@dataclass(frozen=True)
class Step:
    """One step of a tour: text, a live scene, a question, and the measurement that answers it.

    Attributes:
        title: of the step. text: background of the question.
        scene: shown once the question is answered.
        question: what to predict. options: answers; their ranges cover every value once.
        measure: the measurement. lesson: the conclusion.
        before: shown until then, if the scene would give the answer away.
        image: which one it shows, if another than the tour.
    """

    title: str
    text: str
    scene: Scene
    question: str
    options: tuple[Option, ...]
    measure: Measure
    lesson: str
    before: Scene | None = None
    image: "ImageRule | None" = None


@dataclass(frozen=True)
class ImageRule:
    """Which test image a tour shows: the first one that fits.

    All of these models classify it correctly without an attack; the attack fools all models in
    `fooled` and none in `safe`. If no image fits, the first one is taken. A rule without models is
    that of all pages: the data set's default image.
    """

    fooled: tuple[str, ...] = ()
    safe: tuple[str, ...] = ()
    attack: Attack = PGD


@dataclass(frozen=True)
class Tour:
    """A guided tour: its title, a sentence about it, the image it shows, and its steps.

    rather: the same tour, step by step, with models that are not always installed.
    """

    title: str
    summary: str
    steps: tuple[Step, ...]
    image: ImageRule = field(default_factory=ImageRule)
    rather: "Tour | None" = None


def answers(*words_and_bounds: str | float) -> tuple[Option, ...]:
    """Return options that cover every value once: words, bound, words, bound, ..., words.

    `answers("under half", 0.5, "over half")` has two options that meet at 0.5.
    """
    words = [part for part in words_and_bounds if isinstance(part, str)]
    bounds = [float(part) for part in words_and_bounds if not isinstance(part, str)]
    edges = [-math.inf, *bounds, math.inf]
    return tuple(Option(*parts) for parts in zip(words, edges[:-1], edges[1:], strict=True))


def models_of(tour: Tour) -> tuple[str, ...]:
    """Return the names of all checkpoints that a tour needs, each once."""
    names = [*tour.image.fooled, *tour.image.safe]
    for step in tour.steps:
        names += [*step.scene.models, *step.measure.models]
        names += step.before.models if step.before else ()
    return tuple(dict.fromkeys(names))
