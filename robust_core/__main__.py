"""`python -m robust_core`: train, attack, evaluate, list and bench from the command line."""

import sys

from robust_core.command_line.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
