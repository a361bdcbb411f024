"""The views of the page Hard pairs: all show the same run."""

from app.page.hard_pairs.confusion import show_confusion
from app.page.hard_pairs.controls import (
    CONFUSION,
    GRADIENT,
    LABELS,
    LOSS,
    MODELS,
    PAIRS,
    SIMILARITY,
)
from app.page.hard_pairs.gradient import show_gradient
from app.page.hard_pairs.labels import show_labels
from app.page.hard_pairs.loss import show_loss
from app.page.hard_pairs.models import show_models
from app.page.hard_pairs.similarity import show_pairs, show_similarity
from app.page.hard_pairs.summary import show_summary
from app.page.hard_pairs.targeted import show_targeted
from robust_core.analysis.confusion import Denominator
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.checkpoints.catalog import CheckpointInfo


def show_view(run: ConfusionRun, info: CheckpointInfo, among: Denominator, view: str) -> None:
    """Draw the summary of a run and one view of it."""
    show_summary(run, info)
    if view == CONFUSION:
        show_confusion(run, info, among)
    elif view == PAIRS:
        show_pairs(run, info, among)
    elif view == LABELS:
        show_labels(run, info)
    elif view == SIMILARITY:
        show_similarity(run, info, among)
    elif view == GRADIENT:
        show_gradient(run, info, among)
    elif view == MODELS:
        show_models(run, info, among)
    elif view == LOSS:
        show_loss(run, info)
    else:
        show_targeted(run, info)
