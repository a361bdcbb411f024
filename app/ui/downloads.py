"""Download buttons of a view: its picture and its numbers."""

import io
from typing import Any

import numpy as np
import streamlit as st


def offer(data: bytes, picture: bytes | None, stem: str, ending: str = "npz") -> None:
    """Draw the download buttons of a view, for its picture and its numbers."""
    with st.container(horizontal=True):
        if picture is not None:
            st.download_button(
                "Picture, PNG",
                picture,
                f"{stem}.png",
                "image/png",
                icon=":material/download:",
                on_click="ignore",
                key=f"download.picture.{stem}",
            )
        st.download_button(
            f"Numbers, {ending.upper()}",
            data,
            f"{stem}.{ending}",
            "text/csv" if ending == "csv" else "application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            key=f"download.data.{stem}",
        )


def npz(**arrays: Any) -> bytes:
    """Return arrays as the content of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
