"""What one evaluation does, as strict JSON: checkpoints, attacks, images, checks."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin

from pydantic import Field, field_validator, model_validator

from robust_core.acceleration.mode import Acceleration, Precision
from robust_core.aliases import renamed
from robust_core.attacks.base import ATTACKS, attack_from
from robust_core.config.attack_run import AttackRun
from robust_core.config.choice import Choice, DataChoice, Seed
from robust_core.data import data_source
from robust_core.errors import InputError
from robust_core.files import parse_json_object
from robust_core.parameters import Parameters

CheckpointName = Annotated[
    str, Field(min_length=1, max_length=1000, description="Name or path of a checkpoint.")
]


CurveParameter = Literal["epsilon", "num_steps", "num_queries", "num_restarts", "eot_samples"]


class PlannedCurve(Parameters):
    """Accuracy against one parameter of the attacks; see `accuracy_curve`."""

    parameter: Annotated[CurveParameter, Field(description="Attack parameter that is varied.")]
    values: Annotated[
        tuple[float, ...], Field(min_length=1, max_length=100, description="Its values.")
    ]


class EvaluationPlan(Parameters):
    """Everything that decides what an evaluation finds; the same JSON gives the same numbers.

    Construction checks every attack and writes out its defaults.
    """

    title: Annotated[str, Field(max_length=200, description="Free title.")] = ""
    checkpoints: Annotated[
        tuple[CheckpointName, ...],
        Field(min_length=1, max_length=50, description="Checkpoints to evaluate."),
    ]
    attacks: Annotated[
        tuple[AttackRun, ...],
        Field(max_length=50, description="Attacks; empty: clean accuracy only."),
    ] = ()
    data: Annotated[
        DataChoice | None,
        Field(description="Data set; automatic: the training data set of each model."),
    ] = None
    split: Annotated[str, Field(max_length=100, description="Split of the data set.")] = "test"
    num_images: Annotated[
        int | None, Field(ge=1, description="Images in a stratified sample; automatic: all.")
    ] = None
    batch_size: Annotated[int, Field(ge=1, le=8192, description="Batch size.")] = 128
    eot_samples: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Forward passes averaged per prediction; use more than 1 "
            "for stochastic models.",
        ),
    ] = 1
    num_repeats: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Repeated evaluations per image of a stochastic model; it counts as "
            "correct only if all of them are.",
        ),
    ] = 1
    seed: Seed = 0
    precision: Annotated[
        Precision,
        Field(
            description="Acceleration of the attacks: reference (the model unchanged), float32 "
            "(optimised copy), bfloat16, or fastest (measured); every success is confirmed in "
            "float32."
        ),
    ] = "float32"
    compiled: Annotated[
        bool, Field(description="Compile the optimised copy first, which takes seconds to minutes.")
    ] = False
    curves: Annotated[
        tuple[PlannedCurve, ...],
        Field(
            max_length=5,
            description="Accuracy curves to measure for every attack that has the parameter.",
        ),
    ] = ()
    check_reliability: Annotated[
        bool,
        Field(
            description="Run the reliability checks for every attack (masked gradients, "
            "weak attacks)."
        ),
    ] = False
    reliability_images: Annotated[
        int,
        Field(
            ge=1, le=10_000, description="Images for the reliability checks, a stratified sample."
        ),
    ] = 64
    stop_at_alarm: Annotated[
        bool,
        Field(
            description="Check the first attack only, the cheap checks first, and stop at the "
            "first check that fails."
        ),
    ] = False
    check_seconds: Annotated[
        float | None,
        Field(
            gt=0.0,
            le=1e6,
            description="Time limit of the checks of an attack in seconds; automatic: no limit.",
        ),
    ] = None
    check_effort: Annotated[
        float,
        Field(
            gt=0.0,
            le=1.0,
            description="Effort of the checks: less than 1 shortens their attacks in proportion.",
        ),
    ] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _read_old_fields(cls, values: Any) -> Any:
        return renamed(values)

    @field_validator("checkpoints")
    @classmethod
    def _check_checkpoints(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"every checkpoint should be named once, got {twice!r} twice")
        return names

    @field_validator("attacks")
    @classmethod
    def _check_attacks(cls, attacks: tuple[AttackRun, ...]) -> tuple[AttackRun, ...]:
        complete = []
        for choice in attacks:
            try:
                attack = choice.attack()
            except InputError as error:
                raise InputError(f"attack {choice.name}: {error}") from None
            parameters = attack.model_dump(mode="json")
            complete.append(choice.model_copy(update={"parameters": parameters}))
        return tuple(complete)

    @field_validator("data")
    @classmethod
    def _check_data(cls, choice: DataChoice | None) -> DataChoice | None:
        if choice is None:
            return None
        values = data_source(choice.name).Parameters.create(choice.parameters)
        return choice.model_copy(update={"parameters": values.model_dump(mode="json")})

    @model_validator(mode="after")
    def _check_curves(self) -> Self:
        names = [curve.parameter for curve in self.curves]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"every curve should be asked for once, got {twice} twice")
        for curve in self.curves:
            takers = [choice for choice in self.attacks if has_parameter(choice, curve.parameter)]
            if not takers:
                raise InputError(f"no attack of the plan has {curve.parameter} to draw a curve of")
            for choice in takers:
                for value in curve.values:
                    attack_from(choice.name, {**choice.parameters, curve.parameter: value})
        return self

    def curves_of(self, attack: int) -> tuple[int, ...]:
        """Return the places of the curves that attack number `attack` has the parameter for."""
        choice = self.attacks[attack]
        return tuple(
            place
            for place, curve in enumerate(self.curves)
            if has_parameter(choice, curve.parameter)
        )

    def with_images(self, num_images: int) -> Self:
        """Return the plan on another number of images."""
        return self.create({**self.model_dump(mode="json"), "num_images": num_images})

    def checks(self, attack: int) -> bool:
        """Return whether the accuracy under attack number `attack` is to be checked."""
        return self.check_reliability and (attack == 0 or not self.stop_at_alarm)

    @property
    def checked_labels(self) -> tuple[str, ...]:
        """The labels of the attacks whose accuracy is to be checked."""
        return tuple(label for number, label in enumerate(self.labels) if self.checks(number))

    @property
    def acceleration(self) -> Acceleration:
        """How the attacks compute."""
        return Acceleration(self.precision, "now" if self.compiled else "no")

    @property
    def labels(self) -> tuple[str, ...]:
        """A short, unique name for every attack: "pgd", "pgd (loss margin)", "pgd on other".

        Attacks of one name are told apart by the parameters in which they differ.
        """
        stems = [
            f"{one.name} on {one.surrogate_words}" if one.surrogate else one.name
            for one in self.attacks
        ]
        labels: list[str] = []
        for stem, choice in zip(stems, self.attacks, strict=True):
            namesakes = [
                other for other, one in zip(self.attacks, stems, strict=True) if one == stem
            ]
            words = _differences(choice, namesakes[0])
            label = first = f"{stem} ({words})" if words else stem
            number = 1
            while label in labels:
                number += 1
                label = f"{first} ({number})"
            labels.append(label)
        return tuple(labels)

    @classmethod
    def from_json(cls, path: Path | str) -> Self:
        """Read a plan from a JSON file.

        Raises:
            InputError: the file cannot be read, is not JSON, or asks for something unknown.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            reason = (error.strerror or "it cannot be read").lower()
            raise InputError(f"{path} should be a JSON file, but {reason}") from None
        except UnicodeDecodeError:
            raise InputError(f"{path} should be a JSON file, but it is no UTF-8 text") from None
        return cls.create(parse_json_object(text, str(path)))

    def to_json(self) -> str:
        """Return the plan as JSON text that `create` accepts again."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def _differences(choice: AttackRun, first: AttackRun) -> str:
    """Return the parameters in which an attack differs from the first of its name, in words."""
    return ", ".join(
        f"{name.removeprefix('num_').replace('_', ' ')} {value}"
        for name, value in choice.parameters.items()
        if value != first.parameters.get(name)
    )


def has_parameter(choice: Choice, parameter: str) -> bool:
    """Return whether an attack has a parameter for anybody to choose, and follows it.

    AutoAttack's standard ensemble has passes to average for its other version only.
    """
    field = ATTACKS.get(choice.name).model_fields.get(parameter)
    if field is None or get_origin(field.annotation) is Literal:
        return False
    if parameter != "eot_samples":
        return True
    attack = attack_from(choice.name, choice.parameters)
    return attack.averaged_passes == attack.model_dump()[parameter]
