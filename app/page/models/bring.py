"""Bringing a model: pick a file, say what it does not tell, compare, import."""

import time

import streamlit as st

from app.page.models.arrived import show_stored
from app.page.models.form import Said, ask, ask_key
from app.page.models.link import STORED
from app.page.models.source import Brought, pick_file
from app.page.models.variants import as_cost, compare
from app.ui import measure, models
from app.ui.page import input_errors
from app.ui.plain import in_markdown
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data import data_source
from robust_core.importing.comparing import arrival_cost
from robust_core.importing.importer import import_model
from robust_core.importing.looking import Look, look_at
from robust_core.importing.target import Target, find_target

INTRODUCTION = (
    "Weights of a published robust network or of your own training, an ONNX graph, a folder of "
    "Hugging Face, or a checkpoint of this laboratory. What the file says is read from it; "
    "you are asked for the rest, because names and shapes do not say all that a network computes. "
    "A copy is stored as a checkpoint of this laboratory: the file is not needed again."
)
NOTHING_LEFT = "This laboratory wrote the file, so nothing has to be asked."


def bring_model() -> None:
    """Draw the way from a file to a model."""
    st.markdown(INTRODUCTION)
    left, right = st.columns([1, 1.4], gap="large")
    with left, input_errors():
        st.subheader("The file", anchor=False)
        brought = pick_file()
        if brought is None:
            return
        at = f"models.form.{hash(brought.key)}"  # what is said of one file is not said of another
        key, look = _look(brought, at)
        if look is None:
            return
        said = Said(at)
        if look.ours:
            st.info(NOTHING_LEFT, icon=":material/check:")
        else:
            st.subheader("What the file does not say", anchor=False)
            said = ask(look, at)
        with right, input_errors():
            st.subheader("Test and import", anchor=False)
            _try(brought, look, key, said)


def _look(brought: Brought, at: str) -> tuple[str | None, Look | None]:
    """Return which set of weights is meant, and what the file tells; None: not chosen yet."""
    look = _seen(brought, None)
    if not look.keys:
        return None, look
    key = ask_key(look, at)
    return key, None if key is None else _seen(brought, key)


def _seen(brought: Brought, key: str | None) -> Look:
    def find() -> Look:
        with st.spinner("Looking at the file …"), brought.as_file() as path:
            return look_at(path, key)

    return measure.kept("models.look", (brought.key, key), find, most=8)


def _try(brought: Brought, look: Look, key: str | None, said: Said) -> None:
    """Draw the comparison, the button that imports, and what came of it."""
    target = None if said.data is None else _target(said)
    if target is not None and target.images is not None:
        compare(brought, key, said, target)
        if len(said.left) == 1:
            st.caption(f"Import. {as_cost(arrival_cost(said.left[0], target)).words()}")
    elif target is not None:
        st.caption(
            f"The images of {in_markdown(str(said.data))} are not on this machine: the model will "
            "be stored, but nothing measured."
        )
    if st.button("Import", type="primary", icon=":material/download:", key="models.import"):
        with input_errors():
            _import(brought, key, said)
    stored = STORED.value.get(brought.key) if STORED.value else None
    info = next((one for one in models.checkpoints() if one.name == stored), None)
    if info is not None:
        show_stored(info)


def _target(said: Said) -> Target:
    """Return what the model classifies, read again only when its data set comes or goes."""
    assert said.data is not None, "asked for"
    here = data_source(said.data).is_available()
    shown = (said.data, said.class_names, said.image_shape)
    return measure.kept("models.target", (*shown, here), lambda: find_target(*shown), most=1)


def _import(brought: Brought, key: str | None, said: Said) -> None:
    mean, std = said.scale or (None, None)

    def work(run: measure.Run) -> CheckpointInfo:
        run.check()
        with brought.as_file() as path:
            return import_model(
                path,
                preset=said.preset,
                architecture=said.architecture,
                parameters=said.parameters,
                mean=mean,
                std=std,
                data=said.data,
                class_names=said.class_names,
                image_shape=said.image_shape,
                key=key,
                name=said.name,
                claim=said.claim,
            )

    with st.spinner("Opening, checking and measuring …", show_time=True):
        info = measure.run("models.import", (time.monotonic_ns(),), work)  # never an old result
    STORED.put({brought.key: info.name})
