"""The glossary: terms with a filter and links to the pages, and the papers."""

from collections.abc import Collection

import streamlit as st

from app.navigation import page_script
from app.page.learn.scenes import TITLES
from app.page.learn.terms import PAPERS, Term, find_terms, paper_words

FILTER_KEY = "learn.glossary.filter"


def show_glossary(hidden: Collection[str]) -> None:
    """Draw terms and papers.

    Args:
        hidden: names of controls that are not drawn.
    """
    terms, papers = st.columns([1.6, 1], gap="large")
    with terms:
        words = st.text_input(
            "Find a term", key=FILTER_KEY, placeholder="gradient", persist_state="session"
        )
        found = find_terms(words)
        if not found:
            st.info("No term contains these words.", icon=":material/search_off:")
        for term in found:
            _show(term, with_link="links" not in hidden)
    with papers:
        st.subheader("Papers and code", anchor=False)
        st.markdown("\n".join(f"- {paper_words(paper)}" for paper in PAPERS))
        st.caption("Where no paper is listed, the method follows the released code.")


def _show(term: Term, *, with_link: bool) -> None:
    words, link = st.columns([5, 1.3], vertical_alignment="top", gap="small")
    words.markdown(f"**{term.word}.** {term.sentence}")
    if term.page and with_link:
        page = page_script(term.page)
        link.page_link(page, label=TITLES[page], icon=":material/arrow_forward:")
