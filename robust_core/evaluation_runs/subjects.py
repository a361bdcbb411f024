"""The images on which a checkpoint is evaluated, and the surrogates of the attacks on it."""

import hashlib
from collections.abc import Sequence

from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info, list_infos
from robust_core.config.attack_run import AttackRun
from robust_core.config.choice import DataChoice
from robust_core.data import ImageSet, load_data
from robust_core.errors import InputError
from robust_core.evaluation_runs.plan import EvaluationPlan

SAMPLE = "stratified"  # the order of an evaluation's images; units in another one are done again


def images_for(info: CheckpointInfo, data: DataChoice | None, split: str) -> ImageSet:
    """Return a split of `data`, or of the data set that the checkpoint was trained on.

    Raises:
        InputError: no such images, or they do not fit the model.
    """
    choice = data or info.config.data
    images = load_data(choice.name, split, choice.parameters, seed=choice.seed)
    check_fit(info, images)
    return images


def attacked_checkpoint(info: CheckpointInfo, choice: AttackRun) -> CheckpointInfo | None:
    """Return the checkpoint that an attack on `info` is computed on; None: `info` itself.

    Raises:
        InputError: no such checkpoint or inference, or one for other images or classes.
    """
    name = choice.surrogate_of(info.name.removesuffix(f":{info.inference}"))
    if name is None or name == info.name:
        return None
    other = checkpoint_info(name)
    if not fits(info, other):
        expected, got = ((one.image_shape, one.num_classes) for one in (info, other))
        raise InputError(
            f"a surrogate of {info.name} should take images and classes {expected}, but {name} "
            f"takes {got}"
        )
    return other


def version_of(info: CheckpointInfo, plan: EvaluationPlan) -> str:
    """Return what changes when the checkpoint does, or a surrogate of its attacks."""
    others = [attacked_checkpoint(info, choice) for choice in plan.attacks]
    if plan.check_reliability:
        others.append(transfer_source(info, plan))
    digests = [SAMPLE, info.digest, *("" if other is None else other.digest for other in others)]
    return hashlib.sha256("/".join(digests).encode()).hexdigest()


def transfer_source(info: CheckpointInfo, plan: EvaluationPlan) -> CheckpointInfo | None:
    """Return the model whose images may transfer to a checkpoint; None where there is none.

    The first other checkpoint of the plan that fits and masks no gradient, for what a masking model
    lets an attack find shows nothing; else the shipped undefended model.
    """
    for name in plan.checkpoints:
        other = checkpoint_info(name)
        if other.path != info.path and fits(info, other) and not other.masks_gradients:
            return other
    return undefended_model(info)


def undefended_model(info: CheckpointInfo) -> CheckpointInfo | None:
    """Return another shipped model for the same images and classes without a defence or a mask."""
    for other in list_infos():
        if "/" in other.name:
            continue  # trained here or imported
        same = (other.config.data, other.image_shape, other.class_names) == (
            info.config.data,
            info.image_shape,
            info.class_names,
        )
        undefended = other.config.method.name == "standard" and not other.masks_gradients
        if same and undefended and other.digest != info.digest:
            return other
    return None


def default_attacks(infos: Sequence[CheckpointInfo]) -> tuple[str, ...]:
    """Return the names of the attacks that say most of these models where nobody chose any.

    PGD; the adaptive evaluation where a model is used with a test-time transformation or answers at
    random; both where a person has brought the model, whose defence nobody here knows.
    """
    hard = any(info.inference or info.stochastic for info in infos)
    brought = any(info.name.startswith("imported/") for info in infos)
    return ("adaptive",) if hard else ("pgd", "adaptive") if brought else ("pgd",)


def fits(info: CheckpointInfo, other: CheckpointInfo) -> bool:
    """Return whether two checkpoints take the same images and number of classes."""
    return (info.image_shape, info.num_classes) == (other.image_shape, other.num_classes)


def check_fit(info: CheckpointInfo, images: ImageSet) -> None:
    """Raise `InputError` unless the images have the model's shape and number of classes."""
    expected = (info.image_shape, info.num_classes)
    if expected != (images.image_shape, images.num_classes):
        raise InputError(
            f"{info.name} takes images {_words(*expected)}, but {images.name} has "
            f"{_words(images.image_shape, images.num_classes)}"
        )


def _words(shape: tuple[int, int, int], num_classes: int) -> str:
    return f"{'x'.join(map(str, shape))} of {num_classes} classes"
