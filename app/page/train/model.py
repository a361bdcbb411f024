"""The model of a run: its card, and the pages that show it."""

import streamlit as st

from app.ui.chance import chance_words
from app.ui.open_in import open_links
from app.ui.page import input_errors
from app.ui.plain import in_markdown
from app.ui.words import card_help, card_words
from robust_core.checkpoints.catalog import checkpoint_info


def open_model(run_id: str) -> None:
    """Draw the links to the pages that show the model."""
    with input_errors():
        open_links(checkpoint_info(f"runs/{run_id}"))


def show_card(run_id: str) -> None:
    """Draw what was measured on test images, and a warning if that is no better than a guess."""
    with input_errors():
        _draw(run_id)


def _draw(run_id: str) -> None:
    info = checkpoint_info(f"runs/{run_id}")
    words = f"{card_words(info)}\n\n{card_help(info)}"
    chance = chance_words(info)
    if chance:
        st.warning(f"{in_markdown(chance)}\n\n{words}", icon=":material/casino:")
    else:
        st.success(words, icon=":material/verified:")
