"""The router: page configuration, navigation and the sidebar; runs on every rerun of every page."""

import sys
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) != sys.path[0]:
    sys.path.insert(0, str(ROOT))  # `streamlit run` puts only app/ on the path

from app.navigation import ONLY_PAGE, PAGES, lesson, only_one_page, page_script  # noqa: E402

STYLE = """
@media (min-width: 900px) {
  .stMainBlockContainer { padding-left: 2.5rem; padding-right: 2.5rem; }
}
@media (max-width: 1000px) {
  .stMainBlockContainer [data-testid=stHorizontalBlock]:has(> [data-testid=stColumn]) {
    flex-wrap: wrap;
  }
  .stMainBlockContainer [data-testid=stColumn] { min-width: min(15rem, 100%); }
}
[data-testid=stSidebar] :is(a, button):focus-visible, [data-testid=stPageLink] a:focus-visible {
  outline: 2px solid currentColor; outline-offset: -2px;
}
.st-key-page-to_controls { display: none; }
@media (max-width: 640px) { /* one column: what there is to see comes before what there is to set */
  .st-key-page-pictures_first [data-testid=stColumn]:has(.st-key-page-result) { order: -1; }
  .st-key-page-to_controls { display: flex; }
}
.st-key-page-skip { position: absolute; z-index: 1; max-width: 15rem; }
"""  # the theme sets the padding above and below only; Streamlit squeezes columns until 640 pixels


def main() -> None:
    """Show the chosen page."""
    st.set_page_config(
        page_title="Robustness laboratory", page_icon="🛡️", layout="wide", initial_sidebar_state=220
    )
    folder = Path(__file__).parent
    closed = only_one_page()
    pages = {
        name: st.Page(
            file,
            title=title,
            icon=icon,
            visibility="hidden" if closed and name != ONLY_PAGE else "visible",
        )
        for name, (title, icon) in PAGES.items()
        if (file := folder / page_script(name)).is_file()
    }
    page = st.navigation(list(pages.values()))
    st.html(f"<style>{STYLE}</style>")
    if closed:  # of a single page the navigation shows nothing
        st.sidebar.page_link(pages[ONLY_PAGE])
    st.sidebar.caption(
        "Robustness laboratory: see attacks happen, and check whether a classifier is robust."
    )
    if closed and page is not pages[ONLY_PAGE]:
        _lead_back(pages[ONLY_PAGE])
    else:
        page.run()


def _lead_back(page: StreamlitPage) -> None:
    """Say that this page is not part of the lesson, and lead back to the one that is."""
    st.title("Not part of the lesson", anchor=False)
    st.markdown(f"The link that was opened in this browser shows the page {page.title} only.")
    st.page_link(
        page,
        label="Back to the lesson",
        icon=":material/arrow_back:",
        query_params=lesson(),
    )


main()
