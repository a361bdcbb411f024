"""The retinotopic network: sampler, backbone and classifier."""

from robust_core.models.retina.classifier import RetinotopicClassifier

__all__ = ["RetinotopicClassifier"]  # the import registers it among the models
