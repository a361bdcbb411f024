"""Warnings for models whose clean accuracy is at chance level."""

import streamlit as st
import torch
from torch import Tensor

from app.ui import models
from app.ui.plain import in_markdown
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation.chance import chance_level, chance_sentence, class_coverage
from robust_core.evaluation.finding import Severity
from robust_core.gradients import predict_logits

NUM_IMAGES = 60  # spread over the split, which may be sorted by class


def warn_of_chance(info: CheckpointInfo) -> None:
    """Draw a warning if the clean accuracy on the card of a checkpoint is at chance level."""
    words = chance_words(info)
    if words:
        st.warning(in_markdown(words), icon=":material/casino:")


def chance_words(info: CheckpointInfo) -> str:
    """Return a warning for a checkpoint at chance level; "" for every other."""
    found = info.clean_result
    if found is None:
        return ""
    try:
        images = models.load_images(info, _split(info))
        sentence = chance_sentence(*found, chance_level(images.y))
        if not sentence:
            return ""
        chosen = torch.arange(0, len(images), max(1, len(images) // NUM_IMAGES))
        prediction = _predicted(info.digest, info.inference, info, chosen.tolist())
    except InputError:  # without the data the card cannot be checked
        return ""
    coverage = class_coverage(prediction, images.y[chosen])
    return sentence if coverage.severity is Severity.OK else f"{sentence} {coverage.sentence}"


def _split(info: CheckpointInfo) -> str:
    """Return the split on which the clean accuracy was measured."""
    return "test" if info.measured is None else info.measured.split


@st.cache_data(max_entries=64, show_spinner=False)
def _predicted(digest: str, inference: str, _info: CheckpointInfo, positions: list[int]) -> Tensor:
    images = models.load_images(_info, _split(_info))
    return predict_logits(models.load_model(_info), images.x[positions]).argmax(dim=1)
