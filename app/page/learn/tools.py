"""The table When tools disagree."""

import streamlit as st

from app.page.learn.disagreements import find_disagreements
from app.ui.plain import in_markdown
from app.ui.state import Text

SOUGHT = Text("tool", "learn.tool", kind="tool")
STORY = (
    "You compare with another library and get another number? These differences were seen with "
    "the version named, on a CPU with PyTorch 2.15.0; other versions may differ."
)


def show_tools() -> None:
    """Draw the filter and the table."""
    st.markdown(STORY)
    found = find_disagreements(SOUGHT.field("Find", placeholder="captum", width=360))
    if not found:
        st.info("No row contains these words.", icon=":material/search_off:")
        return
    rows = [
        {
            "Tool": in_markdown(one.tool),
            "What it does": in_markdown(one.theirs)
            + (f" Shown by `findings/{one.script}`." if one.script else ""),
            "What this laboratory does": in_markdown(one.ours),
            "To make them agree": in_markdown(one.agree),
        }
        for one in found
    ]
    st.table(rows, hide_index=True, border="horizontal")
