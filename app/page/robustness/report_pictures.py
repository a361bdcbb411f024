"""Pictures of the report: some images that the strongest attack broke, before and after it."""

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.page.robustness.reproduction import seeded_attack
from app.page.robustness.rows import exact_words
from app.ui.pictures import png, shown_pixels
from robust_core.attacks.base import Attack
from robust_core.attacks.notes import noted
from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info, load_model
from robust_core.errors import InputError
from robust_core.evaluation.pace import measured_pace
from robust_core.evaluation_runs import AttackResult, CheckpointResult, EvaluationPlan
from robust_core.evaluation_runs.subjects import images_for
from robust_core.gradients import predict_logits
from robust_core.models.modes import evaluation_mode

NUM_IMAGES = 3
SIDE = 128  # pixels of a picture, about
MOST_SECONDS, MOST_TRIES = 2.0, 3  # of an attack that is repeated for a picture


@dataclass(frozen=True)
class BrokenImage:
    """An image that an attack broke.

    Attributes:
        words: which, from what class to what, under which attack.
        clean: the image as a data URI. adversarial: the attacked one; "" where it was not computed.
    """

    words: str
    clean: str
    adversarial: str


def broken_images(plan: EvaluationPlan, result: CheckpointResult) -> list[BrokenImage]:
    """Return a few images that the strongest attack on a model broke; none where they are gone.

    The attacked ones are computed anew where that takes seconds.
    """
    broken = [one for one in result.attacks if len(result.fooled_by(one.label))]
    if not broken:
        return []
    strongest = min(broken, key=lambda one: one.report.robust_accuracy)
    try:
        info = checkpoint_info(result.name)
        if info.digest != result.digest:
            return []
        images = images_for(info, plan.data, plan.split)
        places = {int(index): place for place, index in enumerate(images.index)}
        return list(_pictures(plan, result, strongest, info, images.x, places))
    except InputError:
        return []


def _pictures(
    plan: EvaluationPlan,
    result: CheckpointResult,
    strongest: AttackResult,
    info: CheckpointInfo,
    x: Tensor,
    places: dict[int, int],
) -> Iterator[BrokenImage]:
    attack = strongest.report.attack
    assert attack is not None, "a report in a list of attacks has one"
    model = load_model(info.name)
    seconds = attack.passes() * measured_pace(model, x).seconds_per_pass
    if seconds > MOST_SECONDS and "time_limit" in type(attack).model_fields:
        attack, seconds = attack.model_copy(update={"time_limit": MOST_SECONDS}), MOST_SECONDS
    repeated = strongest.choice.surrogate is None and seconds <= MOST_SECONDS
    names = result.class_names
    for place in result.fooled_by(strongest.label)[:NUM_IMAGES].tolist():
        position = places.get(int(result.index[place]))
        if position is None:
            continue
        label = int(result.y[place])
        reached = int(strongest.report.attacked_prediction[place])
        number = place // plan.batch_size
        found = _attacked(model, x[position], label, attack, number) if repeated else None
        yield BrokenImage(
            f"{result.image_id(place)}: {names[label]} → {names[reached]} under "
            f"{exact_words(strongest)}",
            _uri(x[position]),
            "" if found is None else _uri(found),
        )


def _attacked(
    model: nn.Module, x: Tensor, label: int, attack: Attack, number: int
) -> Tensor | None:
    """Return the image [C,H,W] as the attack leaves it where that fools the model."""
    y = torch.tensor([label])
    started = time.perf_counter()
    for more in range(MOST_TRIES):
        if time.perf_counter() - started > MOST_SECONDS:
            break
        with noted():  # what its time limit cut off does not matter for a picture
            x_adv = seeded_attack(attack, number + more)(model, x[None], y)
        with evaluation_mode(model):
            fooled = int(predict_logits(model, x_adv).argmax()) != label
        if fooled and float(attack.threat_model.distance(x_adv, x[None])) <= attack.epsilon + 1e-5:
            return x_adv[0]
    return None


def _uri(x: Tensor) -> str:
    picture = png(shown_pixels(x.numpy(), max(1, SIDE // x.shape[2])))
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
