"""The table of pages, and the lesson in which a browser may be that shows one of them only."""

from urllib.parse import parse_qsl

import streamlit as st

PAGES = {  # folder in app/page/ -> title and icon; a page is shown once its file exists
    "start": ("Start", ":material/home:"),
    "attack": ("Attack", ":material/bolt:"),
    "compare": ("Compare", ":material/compare:"),
    "gradients": ("Gradients", ":material/gradient:"),
    "retina": ("Retina", ":material/visibility:"),
    "hard_pairs": ("Hard pairs", ":material/grid_on:"),
    "latent": ("Latent space", ":material/scatter_plot:"),
    "robustness": ("Robustness", ":material/verified_user:"),
    "models": ("Models", ":material/inventory_2:"),
    "train": ("Train", ":material/fitness_center:"),
    "learn": ("Learn", ":material/school:"),
}


def page_script(name: str) -> str:
    """Return the script of a page, as Streamlit's links name it."""
    return f"page/{name}/{name}.py"


ONLY_PAGE = "learn"  # that a teacher's link leaves
HIDDEN_KEY = "learn.hidden"  # of the session: what its link hides
OTHER_PAGES = "pages"  # what a link hides that leaves one page only


def lesson_cookie() -> str:
    """Return the name of the cookie in which a browser keeps where its lesson is."""
    return f"robust_lab_lesson_{st.get_option('server.port')}"  # ports share their cookies


def lesson() -> dict[str, str]:
    """Return the address of the lesson that this browser was in before; empty without one."""
    return dict(parse_qsl(str(st.context.cookies.get(lesson_cookie(), ""))))


def only_one_page() -> bool:
    """Return whether a teacher's link hides all pages but one: this address, or an earlier one."""
    if "hide" in st.query_params:
        hidden = st.query_params["hide"].split(",")
    elif HIDDEN_KEY in st.session_state:
        hidden = st.session_state[HIDDEN_KEY]
    else:
        hidden = lesson().get("hide", "").split(",")
    return OTHER_PAGES in hidden
