"""The threat model that is customary for a data set, where the data set is known."""

from robust_core.config.choice import DataChoice
from robust_core.data import data_source
from robust_core.errors import InputError
from robust_core.threat_model import ThreatModel


def standard_threat_model(data: DataChoice) -> ThreatModel | None:
    """Return the standard threat model of a data set; None where the data set is not here."""
    try:
        return data_source(data.name).threat_model
    except InputError:
        return None
