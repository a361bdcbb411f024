"""A button beside a result that shows the lines which make it again outside the browser."""

import streamlit as st

from app.ui.recipes import Recipe

NO_COMMAND = "The command line has no command for this result."


def copy_recipe(found: Recipe, *, key: str) -> None:
    """Draw the button; its panel has the Python lines and the command, each with a copy button.

    Args:
        found: the lines, made from what the page ran.
        key: of the panel.
    """
    with st.popover("Copy as code", icon=":material/code:", key=key, width="content"):
        st.markdown("**Copy as Python**")
        st.code(found.python, language="python", wrap_lines=True)
        st.markdown("**Copy as command**")
        if found.command:
            st.code(found.command, language="bash", wrap_lines=True)
        else:
            st.caption(NO_COMMAND)
