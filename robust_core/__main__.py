"""`python -m robust_core`: train, attack, evaluate, list and bench from the command line."""

import sys

from robust_core.acceleration.memory import keep_freed_memory
from robust_core.command_line.main import leave, main

if __name__ == "__main__":
    keep_freed_memory()
    leave(main(sys.argv[1:]))
