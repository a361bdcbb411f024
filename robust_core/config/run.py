"""What one training run does, as strict JSON: data, model, method, optimiser, schedule, test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from robust_core.attacks.base import ATTACKS, Attack, attack_from
from robust_core.config.run_length import check_run_length, first_full_epoch, never_reached
from robust_core.data import data_source
from robust_core.data.augmentation import Border
from robust_core.data.base import CUSTOMARY
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import describe_attack
from robust_core.methods.base import METHODS
from robust_core.models.base import MODELS
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel

VALIDATION_STEPS = 10
TEST_STEPS, TEST_RESTARTS = 50, 5
DATA_MAY_BE_ELSEWHERE = "data may be elsewhere"  # context that skips the look for the data set

Seed = Annotated[int, Field(ge=0, le=2**31 - 1, description="Seed of all randomness in it.")]


class Choice(Parameters):
    """A registered name and its parameters; those left out take their defaults."""

    name: Annotated[str, Field(min_length=1, max_length=1000, description="Registered name.")]
    parameters: Annotated[
        dict[str, Any], Field(default_factory=dict, description="Parameters of that name.")
    ]


ChoiceT = TypeVar("ChoiceT", bound=Choice)


class DataChoice(Choice):
    """A data set (a registered name, a .npz file or an image folder) and the seed of its split."""

    seed: Seed = 0


class CardAttack(Choice):
    """An attack whose result stands on the card, what it looked at, and why it is there.

    A trained network may be used in several ways (`TrainingMethod.inferences`), and papers have
    attacked one of them and judged another: such a claim is a transfer attack, and says so.
    """

    inference: Annotated[
        str, Field(max_length=100, description="What is judged; empty: the network itself.")
    ] = ""
    crafted_on: Annotated[
        str | None,
        Field(
            max_length=100,
            description="What is attacked; empty: the network itself; none: what is judged.",
        ),
    ] = None
    role: Annotated[
        Literal["claim", "check"],
        Field(description="Attacked the way the method's paper does, or to settle its claim."),
    ] = "check"
    num_images: Annotated[
        int | None,
        Field(ge=1, description="Test images used, a stratified sample; automatic: as the card."),
    ] = None
    num_verdicts: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Decisions of a stochastic model, all of which must be right.",
        ),
    ] = 1

    @classmethod
    def of(cls, attack: Attack) -> Self:
        """Return the plain measurement of the network under `attack`."""
        return cls.create(describe_attack(attack))

    @property
    def transfers(self) -> bool:
        """Whether the attack looks at something else than what is judged."""
        return self.crafted_on not in (None, self.inference)

    def attack(self) -> Attack:
        """Return the attack."""
        return attack_from(self.name, self.parameters)


class OptimiserConfig(Parameters):
    """The optimiser of the network's weights.

    SGD with momentum (not Nesterov) or Adam with betas (momentum, 0.999); weight decay is the L2
    term of the classic recipes, on every weight.
    """

    name: Annotated[Literal["sgd", "adam"], Field(description="Update rule.")] = "sgd"
    learning_rate: Annotated[
        float, Field(gt=0.0, le=10.0, description="Learning rate before the schedule.")
    ] = 0.1
    momentum: Annotated[
        float, Field(ge=0.0, lt=1.0, description="Momentum; the first beta of Adam.")
    ] = 0.9
    weight_decay: Annotated[
        float, Field(ge=0.0, le=1.0, description="Weight decay (L2 on all weights).")
    ] = 5e-4


class ScheduleConfig(Parameters):
    """How the learning rate changes over the run; see `robust_core.training.schedules`."""

    name: Annotated[
        Literal["constant", "step", "cyclic", "cosine"],
        Field(description="Constant; steps down at milestones; a triangle 0-max-0; a half cosine."),
    ] = "constant"
    milestones: Annotated[
        tuple[Annotated[float, Field(gt=0.0)], ...],
        Field(
            max_length=100,
            description="Step schedule: below 1 a share of the run, from 1 on a number of epochs.",
        ),
    ] = (0.5, 0.75)
    factor: Annotated[
        float, Field(gt=0.0, le=1.0, description="Step schedule: factor at each milestone.")
    ] = 0.1
    peak: Annotated[
        float, Field(gt=0.0, lt=1.0, description="Cyclic schedule: share of the run at the top.")
    ] = 0.5


class EvaluationConfig(Parameters):
    """How a run is judged: on validation data after each epoch, on test data at its end.

    An attack left out is PGD in the threat model that the method trains against, or in the data
    set's standard one for a method without: 10 steps for validation, 50 steps and 5 restarts for
    the test.
    """

    attack: Annotated[Choice | None, Field(description="Attack of each epoch.")] = None
    num_images: Annotated[
        int | None,
        Field(ge=1, description="Validation images used, a stratified sample; automatic: all."),
    ] = 1000
    further_attacks: Annotated[
        tuple[CardAttack, ...],
        Field(max_length=20, description="More attacks on the test images, for the card."),
    ] = ()
    check_num_images: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="Test images on which the card's numbers, as reported and the lowest, are "
            "checked for masked gradients; 0: they are not.",
        ),
    ] = 0
    check_effort: Annotated[
        float,
        Field(
            gt=0.0,
            le=1.0,
            description="1 for full checks; less shortens their costly attacks in proportion.",
        ),
    ] = 1.0
    best_by: Annotated[
        Literal["robust_accuracy", "clean_accuracy"],
        Field(description="Validation accuracy that decides which epoch is the best."),
    ] = "robust_accuracy"
    test_attack: Annotated[CardAttack | None, Field(description="First attack of the card.")] = None
    test_num_images: Annotated[
        int | None,
        Field(ge=1, description="Test images used, a stratified sample; automatic: all."),
    ] = None

    @field_validator("attack", "test_attack")
    @classmethod
    def _check_attack(cls, choice: ChoiceT | None) -> ChoiceT | None:
        return choice and complete("attack", choice, ATTACKS.get(choice.name))

    @field_validator("further_attacks")
    @classmethod
    def _check_attacks(cls, choices: tuple[CardAttack, ...]) -> tuple[CardAttack, ...]:
        return tuple(complete("attack", choice, ATTACKS.get(choice.name)) for choice in choices)


class RunConfig(Parameters):
    """Everything that decides what a training run does; the same JSON gives the same model.

    Construction checks every name and nested parameter and writes out the defaults, so a stored
    configuration does not change its meaning when a default does.
    """

    title: Annotated[str, Field(max_length=200, description="A name for people.")] = ""
    data: DataChoice
    model: Choice
    method: Choice
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    epochs: Annotated[int, Field(ge=1, le=10_000, description="Passes over the training set.")] = 15
    batch_size: Annotated[int, Field(ge=2, le=8192, description="Images a step.")] = 128
    seed: Seed = 0
    augment: Annotated[
        bool, Field(description="Random shifts, or crops and flips, where the data set has them.")
    ] = True
    crop_border: Annotated[
        Border, Field(description="What random crops see beyond the image's edge.")
    ] = "black"
    rand_augment: Annotated[
        bool,
        Field(description="RandAugment before that: two random operations on every image."),
    ] = False
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Field(description="Of the training passes; auto: bfloat16 where the hardware has it."),
    ] = "auto"
    channels_last: Annotated[
        bool | None,
        Field(description="Memory layout of images and weights; automatic: with bfloat16."),
    ] = None
    compile: Annotated[
        bool,
        Field(
            description="Compile the network's passes (torch.compile): minutes at first, then "
            "faster; without a compiler training goes on as it is."
        ),
    ] = False
    accumulate: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="Pieces that a batch is sent through in, to save memory. Batch norm, and "
            "what a method computes of a whole batch (ATLD's ratio of gradients, the transport "
            "plan of Feature Scattering), sees each piece on its own; ATLD's discriminator takes "
            "its steps on every piece.",
        ),
    ] = 1
    ema_decay: Annotated[
        float | None,
        Field(ge=0.0, lt=1.0, description="Average the weights with this decay; none: do not."),
    ] = None
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("data")
    @classmethod
    def _check_data(cls, choice: DataChoice, info: ValidationInfo) -> DataChoice:
        try:
            return complete("data set", choice, data_source(choice.name).Parameters)
        except InputError:
            if info.context == DATA_MAY_BE_ELSEWHERE:
                return choice
            raise

    @field_validator("model")
    @classmethod
    def _check_model(cls, choice: Choice) -> Choice:
        return complete("model", choice, MODELS.get(choice.name).Parameters)

    @field_validator("method")
    @classmethod
    def _check_method(cls, choice: Choice) -> Choice:
        return complete("method", choice, METHODS.get(choice.name).Parameters)

    @model_validator(mode="after")
    def _check_rand_augment(self) -> Self:
        if self.rand_augment and METHODS.get(self.method.name).needs_stored_images:
            raise ValueError(
                f"method {self.method.name} needs the images as they are stored: "
                "rand_augment must be false"
            )
        return self

    @model_validator(mode="after")
    def _check_length(self, info: ValidationInfo) -> Self:
        if info.context != DATA_MAY_BE_ELSEWHERE:  # what has been trained stays loadable
            check_run_length(self.method.name, self.method.parameters, self.epochs)
        return self

    @classmethod
    def from_json(cls, path: Path | str) -> Self:
        """Read a configuration from a JSON file.

        Raises:
            InputError: the file cannot be read, is not JSON, or asks for something unknown.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} should be a JSON file, but {_reason(error)}") from None
        return cls.create(parse_json_object(text, str(path)))

    def to_json(self) -> str:
        """Return the configuration as JSON text that `create` accepts again."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def use_channels_last(self, bfloat16: bool) -> bool:
        """Return whether images and weights lie channels-last, given the precision in use."""
        return bfloat16 if self.channels_last is None else self.channels_last

    def rank(self, record: Mapping[str, Any]) -> tuple[bool, float, float]:
        """Return what the best epoch has most of, given the metrics of an epoch.

        An epoch of the method's warm-up (below the full radius) comes after all others.
        """
        robust, clean = record["robust_accuracy"], record["clean_accuracy"]
        full = record["epoch"] > first_full_epoch(self.method.name, self.method.parameters)
        by_clean = self.evaluation.best_by == "clean_accuracy"
        return (full, clean, robust) if by_clean else (full, robust, clean)

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for every setting that this run is too short for."""
        step = self.schedule.name == "step"
        milestones = self.schedule.milestones if step else ()
        method = self.method
        return never_reached(method.name, method.parameters, milestones, self.epochs)

    def threat_model(self) -> ThreatModel:
        """Return what the run is judged against unless `evaluation` says otherwise.

        The ball the method trains against; the data set's standard one for a method without (or
        with radius 0), the customary one where the data set is not here.
        """
        return self._trained_threat_model() or self._standard_threat_model() or CUSTOMARY

    def data_threat_model(self) -> ThreatModel:
        """Return the standard ball of the data set; where that is not here, the training's."""
        return self._standard_threat_model() or self._trained_threat_model() or CUSTOMARY

    def _trained_threat_model(self) -> ThreatModel | None:
        settings = METHODS.get(self.method.name).Parameters.create(self.method.parameters)
        trained: ThreatModel | None = getattr(settings, "threat_model", None)
        return None if trained is None or trained.epsilon == 0 else trained

    def _standard_threat_model(self) -> ThreatModel | None:
        try:
            return data_source(self.data.name).threat_model
        except InputError:
            return None

    def validation_attack(self) -> Attack:
        """Return the attack of each epoch, on validation images."""
        return self._attack(self.evaluation.attack, num_steps=VALIDATION_STEPS)

    def test_attack(self) -> Attack:
        """Return the first attack of the card, on test images."""
        return self.card_attacks()[0].attack()

    def card_attacks(self) -> list[CardAttack]:
        """Return all attacks of the card, on test images: the test attack, then the further."""
        first = self.evaluation.test_attack
        if first is None:
            attack = self._attack(None, num_steps=TEST_STEPS, num_restarts=TEST_RESTARTS)
            first = CardAttack.of(attack)
        return [first, *self.evaluation.further_attacks]

    def _attack(self, choice: Choice | None, **standard: Any) -> Attack:
        if choice is not None:
            return attack_from(choice.name, choice.parameters)
        threat_model = self.threat_model()
        return attack_from(
            "pgd", {"norm": threat_model.norm, "epsilon": threat_model.epsilon, **standard}
        )


def parse_json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Parse strict JSON: one object, no repeated keys, no NaN or infinity.

    Args:
        text: the JSON.
        what: what the text is, for the sentence of an error.

    Raises:
        InputError: the text is not that.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} should be JSON, but {_reason(error)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{what} should be a JSON object {{...}}, got a {type(value).__name__}")
    return value


def complete(kind: str, choice: ChoiceT, parameters: type[Parameters]) -> ChoiceT:
    """Return `choice` with all parameters checked and the defaults written out."""
    try:
        values = parameters.create(choice.parameters)
    except InputError as error:
        raise InputError(f"{kind} {choice.name}: {error}") from None
    return choice.model_copy(update={"parameters": values.model_dump(mode="json")})


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice")
    return values


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError):
        return (error.strerror or "it cannot be read").lower()
    return str(error)
