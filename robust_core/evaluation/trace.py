"""An attack on one image, recorded step by step so that a page can play it."""

import hashlib
import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust_core.attacks.base import Attack, AttackStep, OnStep
from robust_core.data.images import jpeg_round_trip, png_round_trip, quantize_8bit
from robust_core.errors import InputError
from robust_core.evaluation.batch import BUDGET_TOLERANCE, check_budget
from robust_core.gradients import predict_logits, repeatable_noise
from robust_core.losses import margin
from robust_core.models.base import Classifier
from robust_core.models.guard import is_stochastic

MOST_FRAMES = 120  # longer attacks are thinned out evenly
STOCHASTIC_SAMPLES = 10  # passes whose mean decides for a model that draws random numbers

Array = NDArray[np.float32]


def default_eot_samples(model: nn.Module) -> int:
    """Return how many passes decide where nobody chose: 10 for a stochastic model, else one."""
    return STOCHASTIC_SAMPLES if is_stochastic(model) else 1


@dataclass(frozen=True)
class Frame:
    """One iterate: x_adv [C,H,W] in [0, 1], probabilities [K], and numbers about it.

    index: gradient steps taken. restart: from 0. loss: what the attack ascends. margin: best wrong
    logit minus the label's, positive when the label has lost. distance: to the clean image, in the
    attack's norm.
    """

    index: int
    restart: int
    x_adv: Tensor
    probabilities: Array
    loss: float
    margin: float
    distance: float


@dataclass(frozen=True)
class Survival:
    """What the model says of the adversarial image after a change of format."""

    change: str
    prediction: int
    confidence: float
    adversarial: bool


@dataclass(frozen=True, eq=False)
class AttackTrace:
    """What happened to one image.

    Attributes:
        attack: the exact attack. label: the class that is attacked. target: class to reach or None.
        x, x_adv: clean image and result, [C,H,W] in [0, 1], on the CPU.
        clean, adversarial: probabilities [K], numpy, averaged over passes for a stochastic model.
        distance: ||x_adv - x|| in the attack's norm.
        success: the evaluator's decision: within the budget, and label lost (or target reached).
        frames: the recorded iterates; the last one is the result.
        survival: whether the result stays adversarial in other formats.
        seconds: wall-clock time of the attack.
    """

    attack: Attack
    label: int
    target: int | None
    x: Tensor
    x_adv: Tensor
    clean: Array
    adversarial: Array
    distance: float
    success: bool
    frames: tuple[Frame, ...]
    survival: tuple[Survival, ...]
    seconds: float

    @property
    def clean_prediction(self) -> int:
        """Class predicted for the clean image."""
        return int(self.clean.argmax())

    @property
    def prediction(self) -> int:
        """Class predicted for the adversarial image."""
        return int(self.adversarial.argmax())

    @property
    def pixels(self) -> tuple[bytes, bytes]:
        """The bytes of the clean and of the adversarial image, to tell traces apart."""
        return self.x.numpy().tobytes(), self.x_adv.numpy().tobytes()

    @property
    def delta(self) -> Tensor:
        """The perturbation x_adv - x, [C,H,W]."""
        return self.x_adv - self.x


def trace_attack(
    model: Classifier,
    x: Tensor,
    label: int,
    attack: Attack,
    *,
    target: int | None = None,
    on_step: OnStep | None = None,
) -> AttackTrace:
    """Attack one image and keep what is needed to play, evaluate and check the result.

    Args:
        model: in eval mode.
        x: image [C,H,W] in [0, 1].
        label: the class that the attack moves away from.
        attack: the attack.
        target: the class to reach; None attacks untargeted.
        on_step: called with every iterate; an exception it raises ends the attack.

    Raises:
        InputError: the model's outputs are not finite.
        RuntimeError: the attack broke its budget or left [0, 1].
    """
    batch, y = x[None], torch.tensor([label])
    recorder = _Recorder(batch, y, attack)

    def observe(step: AttackStep) -> None:
        recorder.add(step)
        if on_step is not None:
            on_step(step)

    criterion = None if target is None else torch.tensor([target])
    started = time.perf_counter()
    x_adv = attack(model, batch, y, target=criterion, on_step=observe)
    seconds = time.perf_counter() - started
    check_budget(x_adv, batch, attack)
    changes = {
        "As computed": x_adv,
        "Rounded to 8 bits": quantize_8bit(x_adv),
        "PNG": png_round_trip(x_adv),
        "JPEG, quality 90": jpeg_round_trip(x_adv, 90),
        "JPEG, quality 75": jpeg_round_trip(x_adv, 75),
    }
    with repeatable_noise(attack.seed, batch.device):
        decided = _probabilities(model, torch.cat([batch, *changes.values()]))
    if not np.isfinite(decided).all():
        when = "for the image" if not np.isfinite(decided[0]).all() else "once it is attacked"
        raise InputError(
            f"the model's outputs {when} are not finite, so an evaluation would reject them "
            "or count them as misclassified: there is nothing to show"
        )
    distance = float(attack.threat_model.distance(x_adv, batch))
    within = distance <= attack.epsilon + BUDGET_TOLERANCE
    survival = []
    for change, row in zip(changes, decided[1:], strict=True):
        winner = int(row.argmax())
        reached = winner != label if target is None else winner == target
        survival.append(Survival(change, winner, float(row.max()), reached))
    return AttackTrace(
        attack=attack,
        label=label,
        target=target,
        x=x,
        x_adv=x_adv[0],
        clean=decided[0],
        adversarial=decided[1],
        distance=distance,
        success=within and survival[0].adversarial,
        frames=recorder.ending_with(x_adv, decided[1]),
        survival=tuple(survival),
        seconds=seconds,
    )


def _probabilities(model: nn.Module, x: Tensor) -> Array:
    samples = default_eot_samples(model)
    return predict_logits(model, x, eot_samples=samples).softmax(dim=1).numpy()


class _Recorder:
    """Keeps an even choice of the iterates, the first and last of each restart among them."""

    def __init__(self, x: Tensor, y: Tensor, attack: Attack) -> None:
        self.x, self.y, self.attack = x, y, attack
        self.stride = math.ceil(attack.passes() / MOST_FRAMES)
        self.frames: list[Frame] = []
        self._skipped: AttackStep | None = None
        self._seen: dict[bytes, tuple[int, int, float]] = {}  # index, restart, loss of an iterate

    def add(self, step: AttackStep) -> None:
        self._seen[_key(step.x_adv)] = step.index, step.restart, float(step.loss[0])
        if self._skipped is not None and self._skipped.restart != step.restart:
            self.frames.append(self._frame(self._skipped))
        if step.index % self.stride == 0:
            self.frames.append(self._frame(step))
            self._skipped = None
        else:
            self._skipped = step

    def ending_with(self, x_adv: Tensor, probabilities: Array) -> tuple[Frame, ...]:
        """Return the frames, with the result as the last one.

        A result that was never reported as an iterate has no loss (NaN); its margin is that of the
        probabilities, whose logarithms differ from logits by a constant.
        """
        if self._skipped is not None:
            self.frames.append(self._frame(self._skipped))
        last = self.frames[-1]
        index, restart, loss = self._seen.get(_key(x_adv), (last.index, last.restart, math.nan))
        logits = torch.from_numpy(probabilities).clamp_min(1e-38).log()[None]
        result = self._frame(AttackStep(index, x_adv, torch.tensor([loss]), logits, restart))
        result = replace(result, probabilities=probabilities)
        if torch.equal(last.x_adv, result.x_adv):
            return (*self.frames[:-1], replace(last, probabilities=probabilities))
        return (*self.frames, result)

    def _frame(self, step: AttackStep) -> Frame:
        return Frame(
            index=step.index,
            restart=step.restart,
            x_adv=step.x_adv[0].clone(),
            probabilities=step.logits[0].softmax(dim=0).numpy().copy(),
            loss=float(step.loss[0]),
            margin=float(margin(step.logits, self.y)[0]),
            distance=float(self.attack.threat_model.distance(step.x_adv, self.x)[0]),
        )


def _key(x: Tensor) -> bytes:
    return hashlib.sha256(x[0].contiguous().numpy().tobytes()).digest()
