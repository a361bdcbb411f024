"""Measurements of the retina page: attacks, repeated passes, the toy data set."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.page.retina import charts
from app.page.retina.network import retinotopic_network
from app.ui import models
from app.ui.image_picker import ChosenImage
from app.ui.measure import Cost, Run, cost_of, known, measure, run
from robust_core.analysis.confounding import (
    ConfounderReliance,
    Counterfactuals,
    background_share,
    confounder_reliance,
    draw_counterfactuals,
)
from robust_core.analysis.retina import RepeatedPasses, repeated_passes
from robust_core.attacks.base import Attack, create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data.shapes import Scene
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import predict_logits
from robust_core.models.retina.classifier import RetinotopicClassifier, RetinotopicParameters
from robust_core.models.retina.sampler import Centre
from robust_core.threat_model import ThreatModel

EOT_SAMPLES, EOT_STEPS, EOT_BATCH = (1, 2, 5, 10), 10, 12  # of accuracy against randomness
NUM_SHAPES, TOY_STEPS, TOY_EPSILON = 30, 10, 16 / 255


def adversarial(
    info: CheckpointInfo,
    attacked: RetinotopicClassifier,
    image: ChosenImage,
    attack: Attack,
    *,
    pressed: bool,
) -> Tensor | None:
    """Return the adversarial image [C,H,W]; None until it is requested.

    Args:
        info: the checkpoint.
        attacked: its network with the number of views that the attack uses.
        image: the clean image.
        attack: the attack.
        pressed: whether it is requested now.
    """
    name, key = "retina.attack", (info, image.x, image.label, attack, attacked.settings)
    if not pressed:
        return known(name, key)

    def work(job: Run) -> Tensor:
        y = torch.tensor([image.label])
        return attack(job.interruptible(attacked), image.x[None], y)[0]

    return run(name, key, work, "Attacking")


def passes(
    info: CheckpointInfo,
    x: Tensor,
    settings: RetinotopicParameters,
    centre: Centre | None,
    seed: int,
    num_passes: int,
) -> RepeatedPasses:
    """Return `repeated_passes` of a retinotopic checkpoint on an image [C,H,W]."""
    network = retinotopic_network(info)
    assert network is not None, "the caller draws nothing for other networks"
    return run(
        "retina.passes",
        (info, x, settings, centre, seed, num_passes),
        lambda job: repeated_passes(network, x, settings, centre, seed, num_passes),
    )


def whole_image(info: CheckpointInfo, x: Tensor) -> Tensor:
    """Return the probabilities [K] of an image [C,H,W] by a network without a retina."""
    network = models.load_model(info)
    return run(
        "retina.whole", (info, x), lambda job: predict_logits(network, x[None])[0].softmax(dim=0)
    )


@dataclass(frozen=True)
class Randomness:
    """Accuracy against passes per gradient, a line for each number of views; clean accuracy."""

    lines: tuple[charts.AccuracyLine, ...]
    clean_accuracy: float


def randomness_cost(
    info: CheckpointInfo, network: RetinotopicClassifier, attacked: dict[str, int], num_images: int
) -> Cost:
    """Return an upper bound on the cost of `randomness`."""
    share = sum(attacked.values()) / network.settings.num_views
    passes_each = (EOT_STEPS + 1) * sum(EOT_SAMPLES) * num_images
    return cost_of([info], round(passes_each * share), EOT_BATCH)


def randomness(
    info: CheckpointInfo,
    network: RetinotopicClassifier,
    attacked: dict[str, int],
    num_images: int,
    threat_model: ThreatModel,
) -> Randomness | None:
    """Return accuracy against passes per gradient; None, and a button, until it is measured.

    Args:
        info: the checkpoint.
        network: its network.
        attacked: name of a line -> number of views that the attack uses.
        num_images: size of the sample of test images.
        threat_model: norm and epsilon.
    """

    def work(job: Run) -> Randomness:
        images = models.load_images(info).sample(num_images)
        evaluated, lines, clean_accuracy = job.interruptible(network), [], 0.0
        for place, (name, num_views) in enumerate(attacked.items()):
            surrogate = job.interruptible(network.with_inference(num_views=num_views))
            reports = []
            for number, eot_samples in enumerate(EOT_SAMPLES):
                job.done(place * len(EOT_SAMPLES) + number, len(attacked) * len(EOT_SAMPLES))
                attack = create_attack(
                    "pgd",
                    norm=threat_model.norm,
                    epsilon=threat_model.epsilon,
                    num_steps=EOT_STEPS,
                    eot_samples=eot_samples,
                )
                reports.append(
                    evaluate(
                        evaluated,
                        images.x,
                        images.y,
                        attack,
                        batch_size=EOT_BATCH,
                        surrogate=surrogate,
                    )
                )
            clean_accuracy = reports[0].clean_accuracy
            shares = [report.robust_accuracy for report in reports]
            intervals = [report.robust_interval for report in reports]
            lines.append(charts.AccuracyLine(name, EOT_SAMPLES, shares, intervals))
        return Randomness(tuple(lines), clean_accuracy)

    return measure(
        "retina.randomness",
        (info, num_images),
        work,
        cost=randomness_cost(info, network, attacked, num_images),
        words="Attacking with more passes per gradient",
        live_seconds=0.0,
    )


@dataclass(frozen=True, eq=False)
class ToyResult:
    """How a model classifies the counterfactuals, and where an attack on it changes the image.

    delta: perturbation of the first shape on its own background, [3,H,W]. in_background: share of
    the squared perturbation there; background_area: share of the pixels that are background.
    """

    reliance: ConfounderReliance
    delta: Tensor
    in_background: float
    background_area: float


def scene_of(info: CheckpointInfo) -> Scene:
    """Return the scene of the drawn shapes that a checkpoint was trained on."""
    return info.config.data.parameters.get("scene", "patterns")


def counterfactuals(scene: Scene) -> Counterfactuals:
    """Return the same shapes on the background of every class."""
    return run("retina.shapes", (scene,), lambda job: draw_counterfactuals(scene, NUM_SHAPES))


def toy_result(info: CheckpointInfo, *, pressed: bool) -> ToyResult | None:
    """Return how much a model relies on the background; None until it is requested."""
    if not pressed:
        return known("retina.toy", (info,))

    def work(job: Run) -> ToyResult:
        network = job.interruptible(models.load_model(info))
        images = counterfactuals(scene_of(info))
        found = confounder_reliance(network, images)
        tied = images.x[images.y, torch.arange(len(images.y))]
        attack = create_attack("pgd", epsilon=TOY_EPSILON, num_steps=TOY_STEPS)
        x_adv = attack(network, tied, images.y)
        in_background = background_share(tied, x_adv, images.background).nanmean()
        area = images.background.float().mean()
        return ToyResult(found, (x_adv - tied)[0], float(in_background), float(area))

    return run("retina.toy", (info,), work, f"Evaluating {info.name}")
