"""Pictures on a disk: which files of a folder they are, and which are left out."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from robust_core.data.images import measure_picture

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
MOST_MEASURED = 200  # pictures whose size is looked at


def is_visible(name: str) -> bool:
    """Return whether a name is meant for people: not ".DS_Store", "._a.png" or "__MACOSX"."""
    return not name.startswith((".", "__"))


def is_picture(path: Path) -> bool:
    """Return whether the name says that it is a picture: a known suffix, no dot in front."""
    return is_visible(path.name) and path.suffix.lower() in SUFFIXES


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield all files in visible folders to any depth, in the order of their names, files first.

    Links to folders are followed, and no folder is entered twice.
    """
    entered: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(filter(is_visible, folders))
        yield from (Path(place, name) for name in sorted(files))


def left_out(files: Sequence[Path], num_used: int) -> tuple[str, ...]:
    """Return a sentence that counts the files that are no pictures of a class, or none.

    Args:
        files: of the folder, as `walk_files` yields them.
        num_used: pictures that are used.
    """
    hidden = sum(not is_visible(path.name) for path in files)
    others = Counter(
        path.suffix.lower() or "without a suffix"
        for path in files
        if is_visible(path.name) and not is_picture(path)
    )
    outside = len(files) - hidden - others.total() - num_used
    kinds = ", ".join(sorted(others)[:5]) + (", ..." if len(others) > 5 else "")
    counted = (
        (others.total(), f"of other kinds ({kinds})"),
        (hidden, "whose names begin with a dot"),
        (outside, "outside the class folders"),
    )
    parts = [
        f"{count:,} file{'s' if count > 1 else ''} {which}" for count, which in counted if count
    ]
    return (f"left out: {', '.join(parts)}",) if parts else ()


def sizes_and_use(pictures: Sequence[Path], size: int) -> tuple[str, ...]:
    """Return a sentence on how pictures are brought to `size` x `size`; none where they are so.

    At most 200 of them are looked at, evenly spread.
    """
    step = -(-len(pictures) // MOST_MEASURED)
    looked_at = pictures[::step] if step else pictures
    found = [measured for path in looked_at if (measured := measure_picture(path))]
    if not found or set(found) == {(size, size)}:
        return ()
    smallest, largest = (choose(found, key=_area) for choose in (min, max))
    span = _words(smallest) if smallest == largest else f"{_words(smallest)} to {_words(largest)}"
    sample = "" if step <= 1 else f" ({len(found)} of {len(pictures):,} sampled)"
    cut = "" if all(width == height for width, height in found) else "cut to squares and "
    return (f"pictures are {span} pixels{sample}; {cut}used at {size}x{size}, the parameter size",)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
