"""A model, or an image with it, opened on another page: links in a row, or a menu."""

from collections.abc import Mapping, Sequence

import streamlit as st

from app.navigation import PAGES, page_script
from app.ui.plain import in_markdown
from app.ui.state import page_here
from app.ui.words import is_denoiser
from robust_core.checkpoints.catalog import CheckpointInfo

OF_IMAGE = ("attack", "compare", "gradients", "hard_pairs", "latent", "retina")
WITH_ATTACK = ("attack", "compare", "latent")  # whose address names an attack
DENOISER = "A denoiser classifies nothing: the page Gradients offers its targets."


def pages_for(info: CheckpointInfo, *, image: bool = False) -> list[str]:
    """Return the names of the other pages that show a model, or an image with it.

    Args:
        info: the model.
        image: only the pages of a single image.
    """
    if is_denoiser(info):
        return []
    pages = [*OF_IMAGE] if image else [*OF_IMAGE, "robustness"]
    if info.config.model.name != "retinotopic":
        pages.remove("retina")
    return [page for page in pages if page != page_here()]


def open_links(info: CheckpointInfo) -> None:
    """Draw a link to every page that shows a model."""
    if is_denoiser(info):
        st.caption(DENOISER)
        return
    with st.container(horizontal=True):
        st.markdown("Open in", width="content")
        for page in pages_for(info):
            title, icon = PAGES[page]
            query = {"model": info.name}
            st.page_link(
                page_script(page), label=title, icon=icon, query_params=query, width="content"
            )


def open_menu(
    info: CheckpointInfo,
    image_id: str | None,
    *,
    key: str,
    attack: Mapping[str, str] | None = None,
    pages: Sequence[str] | None = None,
) -> None:
    """Draw a menu of the other pages that show an image with a model; a choice opens one.

    Args:
        info: the model.
        image_id: a stable name such as "digits/test/17"; None, for a picture of a person's own:
            no menu, since only the page that it was given to has it.
        key: of the menu.
        attack: query parameters of an attack, for the pages that take one.
        pages: names of the pages; None: all others that can show it.
    """
    offered = pages_for(info, image=True) if pages is None else list(pages)
    if image_id is None or not offered:
        return
    page = st.menu_button(
        "Open in",
        offered,
        format_func=lambda page: " ".join(reversed(PAGES[page])),
        icon=":material/open_in_new:",
        help=f"This image and {in_markdown(info.name)} on another page.",
        key=key,
    )
    if page is not None:
        query = {"model": info.name, "image": image_id}
        more = dict(attack or {}) if page in WITH_ATTACK else {}
        st.switch_page(page_script(page), query_params=query | more)
