"""Opening a file of weights from elsewhere, without running anything in it.

Two formats are opened: safetensors, and what `torch.save` writes. The latter goes through
`torch.load(weights_only=True)`, which builds tensors and plain containers and nothing else; for the
metadata that training scripts leave beside the weights (arguments, paths, NumPy numbers) an inert
stand-in takes the place of the class. Whatever else a file asks for is refused by name.
"""

import io
import json
import pickletools
import struct
import threading
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from robust_core.checkpoints.file import LARGEST_FILE, METADATA_KEY
from robust_core.errors import InputError, brief

MOST_NAMES = 5  # in one sentence
MOST_VALUES = 1_000_000  # containers and values of one file that are looked at
TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what torch wrote before its zip files
LEGACY_PICKLES = 4  # magic number, protocol, system, and then the object itself


@dataclass(frozen=True)
class Opened:
    """What a file holds.

    Attributes:
        values: as it was saved: tensors in plain containers, on the CPU; large ones are mapped from
            the file, so they are not to be written to.
        notes: sentences on what was found beside the weights.
        format: "safetensors", "PyTorch" or "PyTorch (before 1.6)".
        stand_ins: names of classes in whose place something inert stands.
    """

    values: Any
    notes: tuple[str, ...]
    format: str
    stand_ins: tuple[str, ...] = ()


class StandIn:
    """Takes the place of a class of metadata: accepts whatever it is given and does nothing."""

    def __new__(cls, *_arguments: Any, **_named: Any) -> "StandIn":
        """Return an object that has kept nothing."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


def _plain_dict(*_arguments: Any) -> dict[Any, Any]:
    """Take the place of a `defaultdict`: its entries are kept, its factory is not."""
    return {}


STAND_INS: dict[str, Any] = {
    "collections.defaultdict": _plain_dict,
    **dict.fromkeys(
        (
            *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str")),
            *(f"pathlib.{kind}Path" for kind in ("", "Posix", "Windows", "PurePosix")),
            *(f"pathlib._local.{kind}Path" for kind in ("", "Posix", "Windows", "PurePosix")),
            "argparse.Namespace",
            "datetime.datetime",
            "numpy._core.multiarray.scalar",
            "numpy.core.multiarray.scalar",
            "numpy.dtype",
            "typing.Any",
            "omegaconf.base.ContainerMetadata",
            "omegaconf.base.Metadata",
            "omegaconf.base.SCMode",
            "omegaconf.dictconfig.DictConfig",
            "omegaconf.listconfig.ListConfig",
            *(
                f"omegaconf.nodes.{kind}Node"
                for kind in ("Any", "Boolean", "Float", "Integer", "Path", "String")
            ),
            "pytorch_lightning.utilities.parsing.AttributeDict",
            "lightning.fabric.utilities.data.AttributeDict",
            "lightning_fabric.utilities.data.AttributeDict",
        ),
        StandIn,
    ),
}
_allowing = threading.Lock()  # torch keeps the names that are allowed in one set for all threads


def open_tensors(path: Path) -> Opened:
    """Open a file of weights: safetensors, or anything `torch.save` has written.

    Nothing in the file is imported or called. What it declares is checked against what it holds
    before anything is computed with it.

    Args:
        path: the file; its name need not tell its format.

    Raises:
        InputError: it cannot be read, is too large, damaged, of another kind, or needs code.
    """
    what = path.name
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            beginning = file.read(512)
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}") from None
    if size > LARGEST_FILE:
        raise InputError(
            f"{what} should be at most {LARGEST_FILE >> 20:,} MiB, got {size / (1 << 20):,.0f} MiB"
        )
    refuse_other_kinds(beginning, what)
    if beginning[8:9] == b"{" and 8 + struct.unpack("<Q", beginning[:8])[0] <= size:
        return _open_safetensors(path)
    if beginning.startswith(b"PK\x03\x04"):
        return _open_zip(path, size)
    if beginning.startswith(TORCH_MAGIC):
        with path.open("rb") as file:
            names = _globals_of(file, LEGACY_PICKLES)
        return _load(path, "PyTorch (before 1.6)", names, mapped=False)
    if beginning.startswith(b"\x80"):
        with path.open("rb") as file:
            raise _needs_code(what, _globals_of(file, 1)) or _no_weights(what)
    raise _no_weights(what)


def is_ours(path: Path) -> bool:
    """Return whether a file is a checkpoint that this laboratory has written."""
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
            header = file.read(min(length, LARGEST_FILE)) if length <= path.stat().st_size else b""
        metadata = json.loads(header or b"{}").get("__metadata__")
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
    return isinstance(metadata, dict) and METADATA_KEY in metadata


def refuse_other_kinds(beginning: bytes, what: str) -> None:
    """Raise what is wrong with a file that is no model at all, by its first bytes."""
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not beginning:
        raise InputError(f"{what} is empty; expected a file of weights")
    if text.startswith(b"<"):
        raise InputError(
            f"{what} is a web page, not a model: the download failed; fetch it again in a browser."
        )
    if text.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{what} only points to the model, which Git LFS keeps elsewhere: fetch it with "
            "git lfs pull."
        )


def _no_weights(what: str) -> InputError:
    return InputError(
        f"{what} should be a .safetensors file or one written by torch.save, but it is damaged, "
        "cut short or something else"
    )


def _needs_code(what: str, names: list[str]) -> InputError | None:
    """Return the refusal of a file that asks for these classes and functions."""
    if not names:
        return None
    listed = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
    return InputError(
        f"{what} needs code to open ({brief(listed)}); save its state_dict with safetensors "
        'instead: save_file(model.state_dict(), "m.safetensors").'
    )


def _open_safetensors(path: Path) -> Opened:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path.name} is damaged or cut short: {brief(str(error))}") from None
    told = sorted(set(metadata) - {"format"})
    note = f"The file also says something about: {brief(', '.join(told))}." if told else ""
    return Opened(values, (note,) if note else (), "safetensors")


def _open_zip(path: Path, size: int) -> Opened:
    what = path.name
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _no_weights(what) from None
    names = {Path(entry.filename).name for entry in entries}
    if "constants.pkl" in names:
        raise InputError(
            f"{what} is a TorchScript archive, which is a program; bring the state dict or an ONNX "
            "export."
        )
    if names & {"archive_format", "serialized_exported_program.json"} or path.suffix == ".pt2":
        raise InputError(
            f"{what} is an exported program, which can run code; bring the state dict instead, "
            'save_file(model.state_dict(), "m.safetensors"), or import it on the command line with '
            "--trust-code."
        )
    if "data.pkl" not in names:
        raise _no_weights(what)
    _check_declared(what, sum(entry.file_size for entry in entries), size)
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(one for one in entries if Path(one.filename).name == "data.pkl")
            found = _globals_of(io.BytesIO(archive.read(entry)), 1)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        raise _no_weights(what) from None
    return _load(path, "PyTorch", found, mapped=True)


def _load(path: Path, kind: str, names: list[str], *, mapped: bool) -> Opened:
    """Open a file of `torch.save`; `names` are the classes and functions that it asks for."""
    what = path.name
    used = tuple(name for name in names if name in STAND_INS)
    foreign = [name for name in names if name not in STAND_INS and not _is_torchs(name)]
    if foreign:
        raise _needs_code(what, foreign) or _no_weights(what)
    with _allowing, torch.serialization.safe_globals([(STAND_INS[name], name) for name in used]):
        try:
            values = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:  # a damaged file makes torch raise anything
            refusal = _needs_code(what, _refused(error))
            raise refusal or InputError(
                f"{what} is damaged or cut short: {brief(str(error).partition(chr(10))[0])}"
            ) from None
    for tensor in all_tensors(values):
        if tensor.layout is torch.strided and not tensor.is_meta:
            held = tensor.untyped_storage().nbytes()
            _check_declared(what, tensor.numel() * tensor.element_size(), held)
    note = f"Beside the weights stands metadata, which was not read: {', '.join(used)}."
    return Opened(values, (brief(note),) if used else (), kind, used)


def _check_declared(what: str, declared: int, held: int) -> None:
    """Raise if a file, or a tensor in it, declares more bytes than it holds."""
    if declared > max(held, 1):
        raise InputError(
            f"{what} declares {declared / (1 << 30):.3g} GiB of tensors in "
            f"{held / (1 << 20):.3g} MiB of data; it is damaged or hostile."
        )


def all_tensors(values: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested containers once, however often they hold one another.

    Raises:
        InputError: there is more in them than any file of weights has.
    """
    seen: set[int] = set()
    todo = [values]
    while todo:
        value = todo.pop()
        if isinstance(value, Tensor):
            yield value
        if not isinstance(value, dict | list | tuple | set) or id(value) in seen:
            continue
        seen.add(id(value))
        todo += value.values() if isinstance(value, dict) else value
        if len(seen) + len(todo) > MOST_VALUES:
            raise InputError("the file holds more than a million values beside its weights")


def _is_torchs(name: str) -> bool:
    """Return whether it is left to torch to allow a name."""
    return name.startswith("torch.") or name in (
        "_codecs.encode",
        "builtins.bytearray",
        "builtins.complex",
        "builtins.set",
        "collections.Counter",
        "collections.OrderedDict",
    )


def _refused(error: Exception) -> list[str]:
    """Return the name that torch refuses although it is one of its own."""
    found = str(error).partition("Unsupported global: GLOBAL ")[2].partition(" ")[0]
    return [found] if found else []


def _globals_of(file: BinaryIO, num_pickles: int) -> list[str]:
    """Return the classes and functions that the last of some pickles asks for, sorted.

    Old names of Python 2 are given as what they are called today. Only the opcodes are read.
    """
    names: set[str] = set()
    for _ in range(num_pickles):
        names, texts = set(), [""] * 2
        try:
            for opcode, argument, _position in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    module, _, name = str(argument).partition(" ")
                    names.add(_todays_name(module, name))
                elif opcode.name == "STACK_GLOBAL":
                    names.add(_todays_name(*texts))
                elif isinstance(argument, str):
                    texts = [texts[1], argument]
        except (ValueError, IndexError, struct.error, UnicodeDecodeError):
            break  # torch says what is damaged
    return sorted(names)


def _todays_name(module: str, name: str) -> str:
    module, name = NAME_MAPPING.get((module, name), (module, name))
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"
