"""The one exception that a person's wrong input raises."""


class InputError(ValueError):
    """Input that cannot be used: one sentence that says what was expected and what came.

    The command line prints it and exits with code 2; a page shows it in place of a result.
    """
