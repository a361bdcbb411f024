"""What the card of a model that is too slow for a first look says of its classes."""

import streamlit as st

from app.page.hard_pairs.charts import card_bars
from app.ui import models
from app.ui.charts import PLAIN_CHART
from app.ui.plain import in_markdown
from app.ui.units import count_words, percent
from app.ui.words import result_words
from robust_core.analysis.card_classes import card_class_accuracy
from robust_core.checkpoints.catalog import CheckpointInfo


def show_card(info: CheckpointInfo) -> None:
    """Draw the accuracy of each class under the strongest attack of the card, where it tells."""
    card = info.card
    results = [] if card is None else card.results_of(info.inference)
    if card is None or not results:
        return
    result = min(results, key=lambda one: one.accuracy)
    found = card_class_accuracy(card, result, models.load_images(info, card.split))
    if found is None or info.num_classes > len(result.correct):
        return
    worst, low = info.class_names[found.worst], float(found.accuracy[found.worst])
    st.markdown(
        f"The card says: under {in_markdown(result_words(result))} **{percent(result.accuracy)}** "
        f"of {count_words(result.num_images, 'test image')} stay correct, but only "
        f"**{percent(low)}** of class **{in_markdown(worst)}**, the worst."
    )
    st.plotly_chart(
        card_bars(found.accuracy.numpy(), found.worst, info.class_names),
        config=PLAIN_CHART,
        key="hard_pairs.card",
        alt=f"Accuracy of each class under attack, from the card; the worst is {percent(low)}, of "
        f"{worst}.",
    )
