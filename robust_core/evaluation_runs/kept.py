"""What the files of an evaluation hold, by type: a damaged one counts as not there."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from robust_core.evaluation.finding import Finding
from robust_core.evaluation_runs.pieces import Kind

Class = Annotated[int, Field(ge=0, lt=2**31)]
Passes = Annotated[int, Field(ge=0, lt=2**62)]


class KeptUnit(BaseModel):
    """What every unit holds: the version of what it was measured on, and how long that took."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    version: str
    seconds: float = Field(ge=0)


class KeptOutcome(KeptUnit):
    """The outcome of a batch of M images; see `BatchOutcome`."""

    prediction: list[Class]
    clean_correct: list[bool]
    robust_correct: list[bool]
    distance: list[float]
    attacked_prediction: list[Class]
    not_finite: list[bool] = Field(  # older evaluations do not say it
        default_factory=lambda values: [False] * len(values.get("distance", ()))
    )
    forward_passes: Passes
    backward_passes: Passes
    notes: list[str] = []

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        columns = [
            self.prediction,
            self.clean_correct,
            self.robust_correct,
            self.distance,
            self.attacked_prediction,
            self.not_finite,
        ]
        if len({len(column) for column in columns}) > 1:
            raise ValueError("every list should have as many values as there are images")
        return self


class KeptCurve(KeptUnit):
    """The outcomes of a batch of M images at V values of a parameter; see `Curve`."""

    values: list[float] = Field(min_length=1)
    robust_correct: list[list[bool]]
    attacked_images: Passes
    forward_passes: Passes
    backward_passes: Passes

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        rows = self.robust_correct
        if len(rows) != len(self.values) or len({len(row) for row in rows}) > 1:
            raise ValueError("there should be a row of equal length for every value")
        return self


class KeptChecks(KeptUnit):
    """What the checks of one accuracy found."""

    findings: list[Finding]
    checked_correct: list[bool] | None = None  # older evaluations do not say it
    notes: list[str] = []


KEPT: dict[Kind, type[KeptUnit]] = {
    "clean": KeptOutcome,
    "attack": KeptOutcome,
    "curve": KeptCurve,
    "reliability": KeptChecks,
}


def is_whole(kind: Kind, text: bytes) -> bool:
    """Return whether the file of a unit holds what it should."""
    try:
        KEPT[kind].model_validate_json(text)
    except ValidationError:
        return False
    return True
