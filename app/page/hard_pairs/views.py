"""The views of the page Hard pairs: all show the same run."""

from dataclasses import replace

import streamlit as st

from app.page.hard_pairs.confusion import show_confusion
from app.page.hard_pairs.controls import (
    CONFUSION,
    GRADIENT,
    LABELS,
    LOSS,
    MODELS,
    PAIRS,
    SIMILARITY,
    VIEWS,
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

MANY_CLASSES = 100  # a map of more has no room for its names, and as many passes an image
FEW_NEEDED = (
    "This view is for models of up to {most} classes; this one has {number:,}. The views "
    "{confusion}, {pairs} and {similarity} show the classes that occur."
)


def show_view(run: ConfusionRun, info: CheckpointInfo, among: Denominator, view: str) -> None:
    """Draw the summary of a run and one view of it; of many classes, those that occur in it."""
    show_summary(run, info)
    if info.num_classes > MANY_CLASSES:
        if view not in (CONFUSION, PAIRS, SIMILARITY):
            st.info(
                FEW_NEEDED.format(
                    most=MANY_CLASSES,
                    number=info.num_classes,
                    confusion=VIEWS[CONFUSION],
                    pairs=VIEWS[PAIRS],
                    similarity=VIEWS[SIMILARITY],
                )
            )
            return
        run, classes = run.among_occurring(MANY_CLASSES)
        names = run.images.class_names
        st.caption(f"{len(names)} of {info.num_classes:,} classes are labels or predictions here.")
        info = replace(info, num_classes=len(classes), class_names=names)
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
