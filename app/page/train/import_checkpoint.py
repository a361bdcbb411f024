"""Import of a checkpoint file."""

import streamlit as st

from app.navigation import page_script
from app.ui.forms import show_input_error
from robust_core.checkpoints.catalog import import_checkpoint
from robust_core.errors import InputError

KEY, RESULT = "train.import", "train.import_result"


def upload_checkpoint() -> None:
    """Draw the upload; a file is checked and stored once, when it arrives."""
    with st.expander("Import a checkpoint", icon=":material/upload_file:", key="train.bring"):
        st.file_uploader(
            "A .safetensors file written by this laboratory",
            key=KEY,
            on_change=_import,
            help="The whole file is checked; nothing in it is ever executed.",
        )
        result = st.session_state.get(RESULT)
        if isinstance(result, InputError):
            show_input_error(result)
        elif result is not None:
            st.success(f"Stored as {result}.", icon=":material/check_circle:")
            st.page_link(
                page_script("attack"),
                label="Attack this model",
                icon=":material/bolt:",
                query_params={"model": result},
            )


def _import() -> None:
    file = st.session_state.get(KEY)
    st.session_state.pop(RESULT, None)
    if file is None:
        return
    try:
        st.session_state[RESULT] = import_checkpoint(file.name, file.getvalue())
    except InputError as error:
        st.session_state[RESULT] = error
