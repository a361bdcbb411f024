"""`python -m robust_core` and `robust-lab`: the dashboard, and the engine's work without it."""

import sys
from typing import NoReturn

from robust_core.acceleration.memory import keep_freed_memory
from robust_core.command_line.main import leave, main


def start() -> NoReturn:
    """Run the command of this process and end it."""
    keep_freed_memory()
    leave(main(sys.argv[1:]))


if __name__ == "__main__":
    start()
