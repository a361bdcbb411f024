"""How the process keeps the memory that it has freed, and gives it back."""

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # numbers from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks for the next operation; return whether it could be done.

    By default glibc gives every large block back to the system when it is freed and takes a page
    fault for each of its 4 KiB to get it again. An attack frees and takes the same activations at
    every step, so that is a good part of its time. From this call on no block is mapped on its own
    and the heap is not trimmed: the process stays as large as it was at its peak.

    It concerns the whole process, so no import does it: the entry points of a program do, before
    heavy work. Elsewhere than on glibc (macOS, Windows, musl) nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def return_freed_memory() -> None:
    """Give what was freed back to the system, where the C library can: after much was let go."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # not the GNU C library
