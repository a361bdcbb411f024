"""Measurements of the page Compare: transfer between models, and accuracy against epsilon."""

from collections.abc import Sequence

from torch import Tensor

from app.ui import models
from app.ui.measure import Run, cost_of, measure, run
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.curves import Curve, accuracy_curve
from robust_core.evaluation.trace import AttackTrace, default_eot_samples
from robust_core.evaluation.transfer import TransferMatrix, trace_transfer, transfer_matrix

BATCH = 32  # images per batch; between batches a newer request takes over
EPSILONS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # multiples of the attack's epsilon
BISECTIONS = 3  # attacks per image to find the smallest of seven epsilons that fools the model

Infos = Sequence[CheckpointInfo]


def image_transfer(infos: Infos, traces: Sequence[AttackTrace]) -> Tensor:
    """Return `trace_transfer` [M,M,K] of the attacks on one image on each of M models."""
    return run(
        "compare.image",
        (infos, traces),
        lambda job: trace_transfer([models.load_model(info) for info in infos], traces),
    )


def sample_transfer(infos: Infos, attack: Attack, num_images: int) -> TransferMatrix | None:
    """Return `transfer_matrix` of M models; None, with a button, until measured.

    Args:
        infos: M models of one data set.
        attack: the attack, untargeted.
        num_images: size of the stratified sample of test images.
    """

    def work(job: Run) -> TransferMatrix:
        images = models.load_images(infos[0]).sample(num_images)
        networks = [models.load_model(info) for info in infos]
        return transfer_matrix(
            networks, images.x, images.y, attack, batch_size=BATCH, on_progress=job.done
        )

    pairs = [info for info in infos for _ in infos]
    return measure(
        "compare.transfer",
        (infos, attack, num_images),
        work,
        cost=cost_of(pairs, num_images * attack.passes(), min(num_images, BATCH)),
        label="Measure transfer",
        teaser="Measures the accuracy of every model on adversarial images of every model.",
        words="Attacking each model, evaluating all",
        live_seconds=0.0,
    )


def curves(infos: Infos, attack: Attack, num_images: int) -> list[Curve] | None:
    """Return accuracy against epsilon for each model; arguments as of `sample_transfer`."""

    def work(job: Run) -> list[Curve]:
        images = models.load_images(infos[0]).sample(num_images)
        found = []
        for number, info in enumerate(infos):
            model = models.load_model(info)

            def report(done: int, total: int, number: int = number) -> None:
                job.progress((number + done / max(total, 1)) / len(infos))

            found.append(
                accuracy_curve(
                    model,
                    images.x,
                    images.y,
                    attack,
                    "epsilon",
                    attack.threat_model.multiples(EPSILONS),
                    batch_size=BATCH,
                    eot_samples=default_eot_samples(model),
                    on_progress=report,
                )
            )
        return found

    attacks = num_images * (1 if attack.minimum_norm else BISECTIONS)
    return measure(
        "compare.curves",
        (infos, attack, num_images),
        work,
        cost=cost_of(infos, attacks * attack.passes(), min(num_images, BATCH)),
        label="Measure curves",
        teaser=f"Measures the accuracy from 0 to twice epsilon on {num_images} test images.",
        words="Attacking with growing epsilon",
        live_seconds=0.0,
    )
