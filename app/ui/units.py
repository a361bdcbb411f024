"""Shares, counts and durations as text; per cent is written as the engine writes it."""

from robust_core.units import PER_CENT, percent, percent_range, percent_with_interval

__all__ = [
    "PER_CENT",
    "capitalised",
    "count_words",
    "duration_words",
    "percent",
    "percent_range",
    "percent_with_interval",
]

PLURALS = {"pass": "passes", "class": "classes", "query": "queries"}  # all other nouns get an s


def duration_words(seconds: float) -> str:
    """Return a duration: "under 0.1 s", "2.4 s", "3 min"."""
    if seconds < 0.1:
        return "under 0.1 s"
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def count_words(number: int, noun: str) -> str:
    """Return "1 step", "20 steps" or "1,000 queries"."""
    if number == 1:
        return f"1 {noun}"
    first, space, last = noun.rpartition(" ")
    return f"{number:,} {first}{space}{PLURALS.get(last, f'{last}s')}"


def capitalised(text: str) -> str:
    """Return a text as it begins a sentence; a name in front, such as "pets:", stays."""
    if not text.partition(" ")[0].rstrip(",").isalpha():
        return text
    return text[:1].upper() + text[1:]
