"""What one training run does, as strict JSON: data, model, method, optimiser, schedule, test."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from robust_core.attacks.base import ATTACKS, Attack, attack_from
from robust_core.config.attack_run import CardAttack
from robust_core.config.choice import Choice, ChoiceT, DataChoice, Seed, complete
from robust_core.config.run_length import check_run_length, first_full_epoch, never_reached
from robust_core.config.standard import standard_threat_model
from robust_core.data import data_source
from robust_core.data.augmentation import Border
from robust_core.data.base import CUSTOMARY
from robust_core.errors import InputError
from robust_core.files import parse_json_object, reason_words
from robust_core.methods.base import METHODS
from robust_core.models.base import MODELS
from robust_core.parameters import Parameters
from robust_core.registry import unknown_name
from robust_core.threat_model import ThreatModel

VALIDATION_STEPS = 10
TEST_STEPS, TEST_RESTARTS = 50, 5
DATA_MAY_BE_ELSEWHERE = "data may be elsewhere"  # context that skips the look for the data set


class OptimiserConfig(Parameters):
    """The optimiser of the network's weights.

    SGD with momentum (not Nesterov) or Adam with betas (momentum, 0.999); weight decay is the L2
    term of the classic recipes, on every weight.
    """

    name: Annotated[Literal["sgd", "adam"], Field(description="Optimiser.")] = "sgd"
    learning_rate: Annotated[
        float,
        Field(
            gt=0.0, le=10.0, description="Initial or peak learning rate, which the schedule scales."
        ),
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
        Field(
            description="Learning-rate schedule: constant, step decay at milestones, cyclic "
            "(linear up and down), or cosine decay."
        ),
    ] = "constant"
    milestones: Annotated[
        tuple[Annotated[float, Field(gt=0.0)], ...],
        Field(
            max_length=100,
            description="Step schedule: milestones; below 1 as a share of the run, otherwise in "
            "epochs.",
        ),
    ] = (0.5, 0.75)
    factor: Annotated[
        float, Field(gt=0.0, le=1.0, description="Step schedule: factor applied at each milestone.")
    ] = 0.1
    peak: Annotated[
        float,
        Field(
            gt=0.0,
            lt=1.0,
            description="Cyclic schedule: position of the peak, as a share of the run.",
        ),
    ] = 0.5


class EvaluationConfig(Parameters):
    """How a run is evaluated: on validation data after each epoch, on test data at its end.

    An attack left out is PGD in the threat model that the method trains against, or in the data
    set's standard one for a method without: 10 steps for validation, 50 steps and 5 restarts for
    the test.
    """

    attack: Annotated[Choice | None, Field(description="Validation attack after each epoch.")] = (
        None
    )
    num_images: Annotated[
        int | None,
        Field(ge=1, description="Validation images in a stratified sample; automatic: all."),
    ] = 1000
    further_attacks: Annotated[
        tuple[CardAttack, ...],
        Field(max_length=20, description="Further test attacks for the model card."),
    ] = ()
    check_num_images: Annotated[
        int,
        Field(
            ge=0,
            le=10_000,
            description="Test images for the reliability checks of the card's results as reported "
            "and lowest measured; 0: no checks.",
        ),
    ] = 0
    check_effort: Annotated[
        float,
        Field(
            gt=0.0,
            le=1.0,
            description="Effort of the reliability checks: 1 is full; less shortens their attacks "
            "in proportion.",
        ),
    ] = 1.0
    best_by: Annotated[
        Literal["robust_accuracy", "clean_accuracy"],
        Field(description="Validation accuracy by which the best epoch is selected."),
    ] = "robust_accuracy"
    test_attack: Annotated[
        CardAttack | None, Field(description="First test attack of the model card.")
    ] = None
    test_num_images: Annotated[
        int | None,
        Field(ge=1, description="Test images in a stratified sample; automatic: all."),
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

    title: Annotated[str, Field(max_length=200, description="Free title.")] = ""
    data: DataChoice
    model: Choice
    method: Choice
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    epochs: Annotated[int, Field(ge=1, le=10_000, description="Number of epochs.")] = 15
    batch_size: Annotated[int, Field(ge=2, le=8192, description="Batch size.")] = 128
    seed: Seed = 0
    augment: Annotated[
        bool,
        Field(
            description="Data augmentation: random shifts, or crops and flips, depending "
            "on the data set."
        ),
    ] = True
    crop_border: Annotated[
        Border, Field(description="Padding of random crops beyond the image border.")
    ] = "black"
    rand_augment: Annotated[
        bool,
        Field(
            description="RandAugment before other augmentation: two random operations per image."
        ),
    ] = False
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Field(
            description="Precision of training; auto: the faster one here, measured for long runs."
        ),
    ] = "auto"
    channels_last: Annotated[
        bool | None,
        Field(description="Channels-last memory layout; automatic: as precision auto."),
    ] = None
    compile: Annotated[
        bool,
        Field(
            description="Compile the network (torch.compile): takes minutes at first, then trains "
            "faster; without a compiler, training runs uncompiled."
        ),
    ] = False
    accumulate: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="Micro-batches per step (gradient accumulation), to save memory. Batch "
            "norm and batch-wise terms of a method (ATLD's gradient ratio, the transport plan of "
            "Feature Scattering) are computed per micro-batch; ATLD's discriminator takes its "
            "steps on every micro-batch.",
        ),
    ] = 1
    ema_decay: Annotated[
        float | None,
        Field(
            ge=0.0,
            lt=1.0,
            description="Decay of the exponential moving average of the "
            "weights; none: no averaging.",
        ),
    ] = None
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("data")
    @classmethod
    def _check_data(cls, choice: DataChoice, info: ValidationInfo) -> DataChoice:
        try:
            source = data_source(choice.name)
            if "train" not in source.splits:
                raise InputError(f"{choice.name} has no images to train on, only those of a test")
            return complete("data set", choice, source.Parameters)
        except InputError:
            if info.context == DATA_MAY_BE_ELSEWHERE:
                return choice
            raise

    @field_validator("model")
    @classmethod
    def _check_model(cls, choice: Choice) -> Choice:
        network = MODELS.get(choice.name)
        if network.from_file:
            raise InputError(f"model {choice.name} is built from a file and is not trained here")
        return complete("model", choice, network.Parameters)

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
            raise InputError(f"{path} should be a JSON file, but {reason_words(error)}") from None
        return cls.create(parse_json_object(text, str(path)))

    def to_json(self) -> str:
        """Return the configuration as JSON text that `create` accepts again."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def rank(
        self, epoch: int, clean_accuracy: float, robust_accuracy: float
    ) -> tuple[bool, float, float]:
        """Return what the best epoch has most of, given an epoch and its validation accuracies.

        An epoch of the method's warm-up (below full epsilon) comes after all others.
        """
        robust, clean = robust_accuracy, clean_accuracy
        full = epoch > first_full_epoch(self.method.name, self.method.parameters)
        by_clean = self.evaluation.best_by == "clean_accuracy"
        return (full, clean, robust) if by_clean else (full, robust, clean)

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for every setting that this run is too short for."""
        step = self.schedule.name == "step"
        milestones = self.schedule.milestones if step else ()
        method = self.method
        return never_reached(method.name, method.parameters, milestones, self.epochs)

    def threat_model(self) -> ThreatModel:
        """Return what the run is evaluated against unless `evaluation` says otherwise.

        The threat model of the training attack; the data set's standard one for a method without
        (or with epsilon 0), the customary one where the data set is not here.
        """
        return self._trained_threat_model() or standard_threat_model(self.data) or CUSTOMARY

    def data_threat_model(self) -> ThreatModel:
        """Return the standard threat model of the data set; if that is missing, the training's."""
        return standard_threat_model(self.data) or self._trained_threat_model() or CUSTOMARY

    def _trained_threat_model(self) -> ThreatModel | None:
        settings = METHODS.get(self.method.name).Parameters.create(self.method.parameters)
        trained: ThreatModel | None = getattr(settings, "threat_model", None)
        return None if trained is None or trained.epsilon == 0 else trained

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

    def check_inferences(self, known: Sequence[str]) -> None:
        """Raise `InputError` if an attack of the card needs an inference mode that there is not.

        Args:
            known: names of the inference modes of the network.
        """
        for asked in self.card_attacks():
            for name in (asked.inference, asked.surrogate_mode):
                if name not in ("", *known):
                    raise unknown_name("inference", name, list(known))

    def _attack(self, choice: Choice | None, **standard: Any) -> Attack:
        if choice is not None:
            return attack_from(choice.name, choice.parameters)
        threat_model = self.threat_model()
        return attack_from(
            "pgd", {"norm": threat_model.norm, "epsilon": threat_model.epsilon, **standard}
        )
