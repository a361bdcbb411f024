"""The network of a checkpoint, if it has a retinotopic sampler, and its sampling."""

from app.ui import models
from robust_core.analysis.retina import default_settings
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicClassifier, RetinotopicParameters


def has_retina(info: CheckpointInfo) -> bool:
    """Return whether the network of a checkpoint has a retinotopic sampler, as its file says."""
    return info.config.model.name == "retinotopic"


def retinotopic_network(info: CheckpointInfo) -> RetinotopicClassifier | None:
    """Return the network of a checkpoint if it has a retinotopic sampler."""
    model = models.load_model(info)
    return model if isinstance(model, RetinotopicClassifier) else None


def own_settings(info: CheckpointInfo) -> RetinotopicParameters:
    """Return the sampling of a checkpoint; without a sampler, that of v2 on its data set."""
    network = retinotopic_network(info)
    return default_settings(info.config.data.name) if network is None else network.settings
