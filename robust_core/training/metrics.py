"""What is known about each epoch of a run: one line of metrics.jsonl."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from robust_core.config.run import RunConfig
from robust_core.errors import InputError
from robust_core.files import parse_json_object, reason_words, write_atomically
from robust_core.parameters import validation_sentence
from robust_core.units import percent

Accuracy = Annotated[float, Field(ge=0, le=1)]
Term = Annotated[  # a loss may overflow while the weights stay finite; JSON says null then
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None),
]


class EpochMetrics(BaseModel):
    """One epoch: what was trained and how good the model was after it.

    Attributes:
        epoch: its number, from 1.
        terms: the means of the terms of the training loss; NaN where one was not finite.
        floors: lower bounds that terms have for every network.
        clean_accuracy, robust_accuracy: on validation images, in [0, 1].
        warning: of a model at chance; "" without.
        learning_rate: of the last step.
        num_images: validated.
        seconds: that training and validation took.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    epoch: int = Field(ge=1, le=10**9)
    terms: dict[str, Term]
    floors: dict[str, float] = {}  # older runs have neither these
    clean_accuracy: Accuracy
    robust_accuracy: Accuracy
    warning: str = ""  # nor this
    learning_rate: float = Field(ge=0)
    num_images: int = Field(ge=0, le=10**12)
    seconds: float = Field(ge=0, le=1e12)

    def rank(self, config: RunConfig) -> tuple[bool, float, float]:
        """Return what the best epoch of a run has most of."""
        return config.rank(self.epoch, self.clean_accuracy, self.robust_accuracy)

    @property
    def words(self) -> str:
        """The epoch as a line of the log."""
        floors = {name: f" (floor {value:.4f})" for name, value in self.floors.items()}
        terms = ", ".join(
            f"{name} {value:.4f}{floors.get(name, '')}" for name, value in self.terms.items()
        )
        return (
            f"epoch {self.epoch}: validation clean {percent(self.clean_accuracy, 1)}, "
            f"robust {percent(self.robust_accuracy, 1)}; {terms}; {self.seconds:.1f} s"
        )

    @classmethod
    def from_json(cls, line: str, what: str) -> "EpochMetrics":
        """Return the record in one line.

        Raises:
            InputError: it is none; the sentence begins with `what`.
        """
        try:
            return cls.model_validate(parse_json_object(line, what))
        except ValidationError as error:
            sentence = validation_sentence(error, list(cls.model_fields))
            raise InputError(f"{what} is damaged: {sentence}") from None


def read_metrics(path: Path) -> tuple[list[EpochMetrics], str]:
    """Return the records of a file up to the first damage, and a sentence about that.

    Args:
        path: the file; without one there are no records and no damage.

    Returns:
        The whole records, the oldest first, and "" where there is no damage.
    """
    records: list[EpochMetrics] = []
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"{path.name} cannot be read: {reason_words(error)}"
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        what = f"line {number} of {path.name}"
        try:
            records.append(EpochMetrics.from_json(line.decode(), what))
        except UnicodeDecodeError:
            return records, f"{what} should be JSON, but it is no UTF-8 text"
        except InputError as error:
            return records, str(error)
    return records, ""


def write_metrics(path: Path, records: Sequence[EpochMetrics]) -> None:
    """Replace the file at `path` by these records."""
    text = "".join(record.model_dump_json() + "\n" for record in records)
    write_atomically(path, text.encode())
