"""What is known of a model that was not trained here: what it is, and how it was opened."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from robust_core.config.choice import Choice, DataChoice, complete
from robust_core.config.standard import standard_threat_model
from robust_core.data.base import CUSTOMARY, NO_DATA
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.lowest import wilson_interval
from robust_core.models.base import MODELS
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel

UNKNOWN_METHOD = "unknown"
Text = Annotated[str, Field(max_length=1000)]
Texts = Annotated[tuple[Text, ...], Field(max_length=100)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
SAID_BY = {
    "file": "the file",
    "preset": "the preset",
    "person": "the person who imported it",
    "architecture": "the architecture",
}


class PixelScale(Parameters):
    """The normalisation of a network, (x - mean) / std for x in [0, 1], and who said so."""

    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]
    std: Annotated[tuple[Annotated[float, Field(gt=0.0)], ...], Field(min_length=1, max_length=3)]
    said_by: Literal["file", "preset", "person", "architecture"]

    @property
    def words(self) -> str:
        """The normalisation in words, such as "pixels in [0, 1] (said by the preset)"."""
        if set(self.mean) == {0.0} and set(self.std) == {1.0}:
            scale = "pixels in [0, 1]"
        elif set(self.mean) == {0.5} and set(self.std) == {0.5}:
            scale = "pixels in [-1, 1]"
        else:
            mean, std = (" ".join(f"{v:.4g}" for v in part) for part in (self.mean, self.std))
            scale = f"mean {mean}, std {std}"
        return f"{scale} (said by {SAID_BY[self.said_by]})"


class CleanAccuracy(Parameters):
    """Clean accuracy on a stratified sample, measured when a model arrived."""

    num_correct: Annotated[int, Field(ge=0)]
    num_images: Annotated[int, Field(ge=1)]
    split: Annotated[str, Field(max_length=200)]

    @property
    def accuracy(self) -> float:
        """The share of correct images, in [0, 1]."""
        return self.num_correct / self.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson_interval(self.num_correct, self.num_images)


class Origin(Parameters):
    """Where a model comes from and how it was opened.

    Fields: `format`, `file`, `size` in bytes and `sha256` of what was brought, empty for a module;
    `path` where its weights stood inside, `prefixes` removed from their names; `layout` whose
    naming that was, `preset` if one was named; `num_tensors` used, `surplus` names left out;
    `stand_ins` names of classes of metadata that were not read; `types` of the weights as they
    came; `pixels` the normalisation, None where only the module knows it; `order` the names of its
    outputs as they came, where that is not the order of the classes; `claim` the clean accuracy
    that somebody stated; `clean` what was measured; `findings` of the checks on arrival.
    """

    format: Text
    file: Text = ""
    size: Annotated[int, Field(ge=0)] = 0
    sha256: Annotated[str, Field(max_length=64)] = ""
    path: Text = ""
    prefixes: Texts = ()
    layout: Text = ""
    preset: Text = ""
    num_tensors: Annotated[int, Field(ge=0)] = 0
    surplus: Texts = ()
    stand_ins: Texts = ()
    types: Texts = ()
    pixels: PixelScale | None = None
    order: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    notes: Texts = ()
    versions: Annotated[dict[str, Text], Field(default_factory=dict)]
    claim: Share | None = None
    clean: CleanAccuracy | None = None
    findings: Annotated[tuple[Finding, ...], Field(max_length=100)] = ()


class ImportConfig(Parameters):
    """A model that was not trained here: what it classifies, its network, where it comes from.

    It stands where a `RunConfig` does for a trained model; nothing is made up about a training that
    nobody here has seen.
    """

    title: Annotated[str, Field(max_length=200)] = ""
    data: DataChoice = DataChoice(name=NO_DATA, parameters={})
    model: Choice
    origin: Origin

    @field_validator("model")
    @classmethod
    def _check_model(cls, choice: Choice) -> Choice:
        return complete("model", choice, MODELS.get(choice.name).Parameters)

    @property
    def method(self) -> Choice:
        """How it was trained: nobody here knows."""
        return Choice(name=UNKNOWN_METHOD, parameters={})

    @property
    def words(self) -> str:
        """How it was opened, in one sentence."""
        origin = self.origin
        opened = f"opened as {origin.layout or self.model.name}"
        preset = f" by the preset {origin.preset}" if origin.preset else ""
        pixels = f", normalised: {origin.pixels.words}" if origin.pixels else ""
        return f"Imported, {opened}{preset}{pixels}."

    def data_threat_model(self) -> ThreatModel:
        """Return the standard threat model of its data set; if that is missing, the customary."""
        return standard_threat_model(self.data) or CUSTOMARY

    def threat_model(self) -> ThreatModel:
        """Return what it is evaluated against unless somebody says otherwise."""
        return self.data_threat_model()


def described_by(values: Any) -> Literal["import", "run"]:
    """Return which of the two configurations a JSON value or an object is."""
    if isinstance(values, ImportConfig) or (isinstance(values, dict) and "origin" in values):
        return "import"
    return "run"
