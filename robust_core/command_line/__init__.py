"""The command line: one module a command, imported only when it is asked for."""

import sys
from pathlib import Path

PROGRAM = "robust-lab" if Path(sys.argv[0]).stem == "robust-lab" else "python -m robust_core"
