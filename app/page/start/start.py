"""The start page: its introduction stands there before the engine has been imported."""

import streamlit as st

STORY = (
    "A classifier can read photographs or handwriting almost perfectly and still be fooled by a "
    "change that hardly anyone would notice. Many defences have been published, and many were "
    "broken by the next, stronger attack. Here you see the reported robust accuracy of a model, "
    "how it was measured, and how much of it is left under stronger attacks."
)


def main() -> None:
    """Draw the page."""
    words, pictures = st.columns([1, 1.3], gap="large", vertical_alignment="center")
    words.title("Is this classifier really robust?", anchor=False)
    words.markdown(STORY)
    from app.page.start.contents import show_contents  # noqa: PLC0415 - takes seconds at first

    show_contents(words, pictures)


main()
