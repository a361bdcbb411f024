"""Measurements of the page Latent space, computed once and cached."""

from dataclasses import dataclass

from app.ui import models
from app.ui.measure import Run, known, run
from robust_core.analysis import latent_sample
from robust_core.analysis.latent import PathPoint, ProjectionName
from robust_core.analysis.latent_distances import ClassDistances, LayerDistances
from robust_core.analysis.latent_sample import (
    TRANSFORMATION,
    BaseNetwork,
    ImagePath,
    LatentSample,
    Layout,
    without_target,
)
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import ImageSet
from robust_core.evaluation.trace import AttackTrace

SAMPLE = "latent.sample"
LAYER_IMAGES = 100  # images whose outputs are compared after every layer


@dataclass(frozen=True, eq=False)
class KeptSample(LatentSample):
    """A sample and its cache key."""

    key: tuple


@dataclass(frozen=True, eq=False)
class KeptPath(ImagePath):
    """The path of an image and its cache key."""

    key: tuple


def has_discriminator(info: CheckpointInfo) -> bool:
    """Return whether the checkpoint has a discriminator (it was trained with ATLD)."""
    return TRANSFORMATION in info.inferences


def sampled_images(info: CheckpointInfo, target: int | None, num_images: int) -> ImageSet:
    """Return the test images of a sample.

    Raises:
        InputError: there are fewer than two, or they cannot be loaded.
    """
    return without_target(models.load_images(info).sample(num_images), target)


def known_sample(
    info: CheckpointInfo, attack: Attack, target: int | None, num_images: int
) -> KeptSample | None:
    """Return exactly this sample if it is cached."""
    return known(SAMPLE, (info, attack, target, num_images))


def make_sample(
    info: CheckpointInfo, attack: Attack, target: int | None, num_images: int
) -> KeptSample:
    """Attack a sample of test images and return the features of clean and changed images.

    Args:
        info: the attacked inference mode; features are always those of the base network.
        attack: the attack.
        target: target class, whose own images are left out; None: untargeted.
        num_images: size of the sample.

    Raises:
        InputError: the checkpoint or its images cannot be loaded.
    """
    key = (info, attack, target, num_images)

    def work(job: Run) -> KeptSample:
        count, total = 0, attack.passes()

        def observe() -> None:
            nonlocal count
            count += 1
            job.progress(min(count / total, 1.0), f"Pass {count} of {total}")

        made = latent_sample.latent_sample(
            base_network(info),
            models.load_model(info),
            sampled_images(info, target, num_images),
            attack,
            target=target,
            on_pass=observe,
        )
        return KeptSample(**vars(made), key=key)

    return run(SAMPLE, key, work)


def base_network(info: CheckpointInfo) -> BaseNetwork:
    """Return the base network of a checkpoint, with its transformation if it has one."""
    return models.load_trained(info, BaseNetwork.of)


def image_path(info: CheckpointInfo, trace: AttackTrace) -> KeptPath:
    """Return the path of an attacked image: clean, iterates of the last restart, transformed."""
    key = (info, trace.x, trace.x_adv, len(trace.frames))

    def work(job: Run) -> KeptPath:
        restart = trace.frames[-1].restart
        iterates = [frame.x_adv for frame in trace.frames if frame.restart == restart]
        found = latent_sample.image_path(base_network(info), [trace.x, *iterates])
        return KeptPath(**vars(found), key=key)

    return run("latent.path", key, work)


def lay_out(
    sample: KeptSample, path: KeptPath, name: ProjectionName, num_dimensions: int, seed: int
) -> Layout:
    """Return the projection of a sample and a path.

    Raises:
        InputError: too few images, or t-SNE of features that are all the same.
    """
    return run(
        "latent.layout",
        (sample.key, path.key, name, num_dimensions, seed),
        lambda job: latent_sample.lay_out(
            sample, path, name, num_dimensions=num_dimensions, seed=seed
        ),
    )


def distances(sample: KeptSample, role: str) -> list[ClassDistances]:
    """Return distances between features of a role and clean ones: all images, then classes."""
    return run("latent.distances", (sample.key, role), lambda job: sample.distances(role))


def layers(info: CheckpointInfo, sample: KeptSample, role: str) -> list[LayerDistances]:
    """Return distances between outputs of a role and clean ones after each layer."""
    network = base_network(info).network
    return run(
        "latent.layers",
        (sample.key, role),
        lambda job: sample.layer_distances(network, role, LAYER_IMAGES),
    )


def accuracy_path(info: CheckpointInfo, sample: KeptSample) -> list[PathPoint]:
    """Return the base network's accuracy along the path clean -> adversarial -> transformed."""
    network = base_network(info).network
    return run("latent.way", (sample.key,), lambda job: sample.accuracy_along(network))
