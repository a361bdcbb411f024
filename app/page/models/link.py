"""The state of the page Models in its address: view, filters, shown model, file to bring."""

import streamlit as st

from app.ui import models
from app.ui.page_link import PageLink
from app.ui.state import Choice, Text
from robust_core.checkpoints.folders import incoming_files

ALL = "all"
KINDS = {
    ALL: "All",
    "shipped": "Shipped",
    "run": "Runs",
    "imported": "Imported",
    "own": "Own",
}


def data_names() -> list[str]:
    """Return the names of the data sets of the models, behind "all"."""
    return [ALL, *sorted({info.config.data.name for info in models.checkpoints()} - {ALL})]


def show_model(name: str | None) -> None:
    """Show a model below the table, also in the address; None leaves that to the table."""
    if name is None:
        st.session_state.pop(SHOWN.key, None)
    else:
        SHOWN.put(name)
    LINK.put(SHOWN.name, name)


VIEW = Choice("view", "models.view", {"table": "All models", "bring": "Bring a model"})
DATA = Choice("data", "models.data", data_names, start=ALL, kind="data set")
KIND = Choice("kind", "models.kind", KINDS, kind="kind of models")
FIND = Text("find", "models.find")
SHOWN = Choice("model", "models.shown", lambda: [info.name for info in models.checkpoints()])
PLACE = Choice("from", "models.from", {"upload": "Upload", "folder": "Folder"})
FILE = Choice("file", "models.file", lambda: ["", *(one.name for one in incoming_files())])
STORED = Text("stored", "models.stored")  # the model that came of the last file; not in the address
LINK = PageLink("models", [VIEW, DATA, KIND, FIND, SHOWN, PLACE, FILE])
