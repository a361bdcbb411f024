"""One model: what is known of it, its links to the pages, and its end."""

import streamlit as st

from app.page.models.arrived import show_arrival
from app.page.models.link import show_model
from app.ui import visitor
from app.ui.forms import show_input_error
from app.ui.models import base_name
from app.ui.open_in import open_links
from app.ui.plain import in_markdown
from app.ui.words import card_help, card_words
from robust_core.checkpoints.catalog import CheckpointInfo, delete_model
from robust_core.config.imported import ImportConfig
from robust_core.errors import InputError

UNDELETABLE = {
    "shipped": "It ships with the laboratory, so it stays.",
    "run": "It goes with its run, on the page Train.",
}


def show_details(info: CheckpointInfo) -> None:
    """Draw what is known of a model, the links to the pages, and the button that deletes it."""
    with st.container(border=True):
        st.subheader(in_markdown(info.name), anchor=False)
        if isinstance(info.config, ImportConfig):
            show_arrival(info)
        else:
            st.markdown(card_words(info), help=card_help(info))
        open_links(info)
        _delete(info)


def _delete(info: CheckpointInfo) -> None:
    if info.kind in UNDELETABLE:
        st.caption(UNDELETABLE[info.kind])
        return
    if not visitor.may("delete"):
        return
    name = base_name(info)
    with st.popover("Delete", icon=":material/delete:", key="models.delete"):
        st.markdown(
            f"Delete {in_markdown(name)} from this machine? Its file cannot be brought back; "
            "evaluations of it stay."
        )
        st.button("Yes, delete it", on_click=_end, args=(name,), key="models.delete.yes")


def _end(name: str) -> None:
    try:
        visitor.check("delete")
        delete_model(name)
    except InputError as error:
        show_input_error(error)
        return
    show_model(None)
    st.toast(f"{in_markdown(name)} is deleted.", icon=":material/delete:")
