"""Shares as text: the one way to write per cent, in pages, reports and on the command line."""

import re
from collections.abc import Sequence

NO_BREAK = "\u00a0"  # a space at which no line ends
PER_CENT = f"{NO_BREAK}%"
JOINER = "\u2060"  # no width, and no line ends at it


def percent(share: float, digits: int = 0) -> str:
    """Return a share in [0, 1]: "98 %", ">99 %" just below one, "<1 %" just above zero.

    Args:
        share: in [0, 1].
        digits: behind the point; with 1: "97.5 %", ">99.9 %", "<0.1 %".
    """
    smallest = 10.0**-digits
    if 1.0 - smallest / 200.0 < share < 1.0:
        return f">{100.0 - smallest:.{digits}f}{PER_CENT}"
    if 0.0 < share < smallest / 200.0:
        return f"<{smallest:.{digits}f}{PER_CENT}"
    return f"{100.0 * share:.{digits}f}{PER_CENT}"


def percent_range(interval: Sequence[float], digits: int = 0) -> str:
    """Return two shares in [0, 1] as "25 to 44 %", which stays on one line."""
    low, high = interval
    words = f"{100.0 * low:.{digits}f} to {percent(high, digits)}"
    return words.replace(" ", NO_BREAK)


def percent_with_interval(share: float, interval: Sequence[float]) -> str:
    """Return a share in [0, 1] and its interval as "81.0 % (72–88)", which stays on one line."""
    low, high = interval
    bounds = f"({100.0 * low:.0f}–{JOINER}{100.0 * high:.0f})"
    return f"{percent(share, 1)}{NO_BREAK}{bounds}"


def with_no_break(text: str) -> str:
    """Return a text, of an older file perhaps, with its per cent written as here."""
    return re.sub(r"(?<=\d) ?%", PER_CENT, text)
