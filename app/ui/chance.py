"""A model that is no better than a guess is told as such."""

import streamlit as st
import torch
from torch import Tensor

from app.ui import cached
from app.ui.shown import clean_result
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation.chance import chance_level, chance_sentence, judge_predictions
from robust_core.evaluation.finding import Severity
from robust_core.gradients import predict_logits

LOOKED_AT = 60  # images spread over a split, which may be sorted by class


def warn_of_chance(info: CheckpointInfo) -> None:
    """Draw a warning where the card of a checkpoint has a clean accuracy at chance."""
    words = chance_words(info)
    if words:
        st.warning(words, icon=":material/casino:")


def chance_words(info: CheckpointInfo) -> str:
    """Return what is to be said of a checkpoint at chance, and "" of every other."""
    found = clean_result(info)
    if found is None:
        return ""
    try:
        images = cached.load_images(info, info.card["split"])
        sentence = chance_sentence(*found, chance_level(images.y))
        if not sentence:
            return ""
        chosen = torch.arange(0, len(images), max(1, len(images) // LOOKED_AT))
        prediction = _predicted(info.digest, info.inference, info, chosen.tolist())
    except InputError:  # the card cannot be held against data that are gone
        return ""
    covered = judge_predictions(prediction, images.y[chosen])
    return sentence if covered.severity is Severity.OK else f"{sentence} {covered.sentence}"


@st.cache_data(max_entries=64, show_spinner=False)
def _predicted(digest: str, inference: str, _info: CheckpointInfo, positions: list[int]) -> Tensor:
    images = cached.load_images(_info, _info.card["split"])
    return predict_logits(cached.load_model(_info), images.x[positions]).argmax(dim=1)
