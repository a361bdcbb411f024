"""The one exception that a person's wrong input raises."""

LONGEST_VALUE = 200  # characters of a person's value in a sentence


class InputError(ValueError):
    """Input that cannot be used: one sentence that says what was expected and what came.

    The command line prints it and exits with code 2; a page shows it in place of a result.
    """


def brief(text: str) -> str:
    """Return a text that fits into a sentence: in one line, cut at 200 characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_VALUE else f"{line[: LONGEST_VALUE - 3]}..."
