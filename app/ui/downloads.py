"""Download buttons; what they give is made when one is pressed."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from mimetypes import guess_type
from typing import Any

import numpy as np
import streamlit as st


def download(
    label: str,
    content: Callable[[], bytes | str],
    name: str,
    *,
    key: str | None = None,
    help: str | None = None,
) -> None:
    """Draw a button that downloads a file.

    Args:
        label: Words on the button.
        content: Makes the content of the file when the button is pressed, outside the page's run:
            it draws nothing and does not read the session's state.
        name: Name of the file; its ending says what the file is.
        key: Key of the button in the session's state; without one, ``download.NAME``.
        help: Words shown beside the pointer.
    """
    st.download_button(
        label,
        content,
        name,
        guess_type(name)[0] or "application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
        key=key or f"download.{name}",
        help=help,
    )


def offer(arrays: Callable[[], bytes], picture: Callable[[], bytes], stem: str) -> None:
    """Draw the download buttons of a view, for its picture and its numbers."""
    with st.container(horizontal=True):
        download("Picture, PNG", picture, f"{stem}.png")
        download("Numbers, NPZ", arrays, f"{stem}.npz")


def npz(**arrays: Any) -> bytes:
    """Return arrays as the content of an .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows under their head as the content of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
