"""The file or folder that a person brings: uploaded, or lying in the folder for large ones."""

import re
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from app.page.models.link import FILE, PLACE
from robust_core.checkpoints.folders import incoming_files, incoming_folder
from robust_core.errors import InputError

UPLOAD = "models.upload"
LONGEST_NAME = 100


@dataclass(frozen=True)
class Brought:
    """A file or folder that a person brings.

    Attributes:
        name: what the person calls it.
        key: another one for every file and every content.
        path: where it lies; None: its bytes came from the browser.
        data: these bytes.
    """

    name: str
    key: Hashable
    path: Path | None = None
    data: bytes = b""

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        """Give the path of the file; that of an upload is there for as long as this lasts."""
        if self.path is not None:
            yield self.path
            return
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder) / self.name
            path.write_bytes(self.data)
            yield path


def pick_file() -> Brought | None:
    """Draw both ways to bring a file; return the one that is chosen, None as long as none is."""
    folder = incoming_folder()
    place = PLACE.segmented("From", bare=True)
    if place == "upload":
        file = st.file_uploader(
            "A file of weights, or an ONNX graph",
            key=UPLOAD,
            help=".safetensors, or written by torch.save (.pt, .pth, .tar, .ckpt), or .onnx. "
            "Nothing in it is ever executed; a file that needs code to open is refused.",
        )
        st.caption(
            "A larger file, or a folder of Hugging Face (config.json, model.safetensors), goes "
            f"into the folder `{_plain_path(folder)}`."
        )
        if file is None:
            return None
        name = re.sub(r"[^\w.() +-]", "_", file.name)[-LONGEST_NAME:].lstrip(". ") or "model"
        return Brought(name, file.file_id, data=file.getvalue())
    sizes = {one.name: _size(one) for one in incoming_files()}
    if not sizes:
        st.info(f"Nothing in `{_plain_path(folder)}` yet: put a file there, then return here.")
        return None
    chosen = FILE.select(
        f"A file or folder in {folder}",
        among=["", *sizes],
        format_func=lambda name: f"{name} · {sizes[name]}" if name else "choose a file",
    )
    if not chosen:
        return None
    path = folder / chosen
    try:
        parts = [path, *(sorted(path.iterdir()) if path.is_dir() else ())]
        stamp = tuple((one.name, (found := one.stat()).st_mtime_ns, found.st_size) for one in parts)
    except OSError as error:
        raise InputError(f"{chosen} cannot be read: {error.strerror}") from None
    return Brought(chosen, (str(path), stamp), path)


def _plain_path(folder: Path) -> str:
    return str(folder).replace("`", "'")


def _size(path: Path) -> str:
    try:
        return "folder" if path.is_dir() else f"{path.stat().st_size / 2**20:,.1f} MiB"
    except OSError:
        return "gone"
