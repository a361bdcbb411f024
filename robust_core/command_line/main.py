"""Choice of the command, signals and exit codes."""

import importlib
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, NoReturn

from robust_core.aliases import renamed_flags
from robust_core.command_line import PROGRAM
from robust_core.errors import InputError
from robust_core.files import reason_words
from robust_core.paths import checkpoints_folder, data_folder
from robust_core.registry import unknown_name

COMMANDS = {
    "app": "open the dashboard",
    "train": "train a model, from a configuration file or from options",
    "import": "bring in a model from elsewhere",
    "attack": "attack one image and print the outcome",
    "evaluate": "measure clean and robust accuracy",
    "card": "measure the model card of a checkpoint again",
    "list": "list attacks, methods, models, data sets, checkpoints and runs",
    "bench": "measure the speed of attacks on this machine",
}
WRONG_INPUT, INTERRUPTED = 2, 130


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code.

    0: done. 2: wrong input or a full disk, with one sentence on stderr. 130: interrupted by Ctrl-C.
    The first SIGTERM asks a training run or an evaluation to stop; other commands end at once.
    """
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    terminated = threading.Event()
    try:
        if command in ("-h", "--help"):
            sys.stdout.write(_usage())
            return 0
        if command not in COMMANDS:
            raise unknown_name("command", command, list(COMMANDS))
        if command in ("train", "evaluate"):
            # before anything slow is imported, so that a run can be stopped while it starts
            signal.signal(signal.SIGTERM, lambda *_: terminated.set())
        module = importlib.import_module(f"robust_core.command_line.{command}_command")
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return module.run(renamed_flags(rest), terminated.is_set)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return WRONG_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader (such as head) has had enough; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        what = Path(error.filename).name if isinstance(error.filename, str) else "the output"
        sys.stderr.write(
            f"error: {what} could not be used: {reason_words(error)}; what was complete before "
            "is kept\n"
        )
        return WRONG_INPUT


def _usage() -> str:
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND ...\n",
            *(f"  {name:<10}{text}" for name, text in COMMANDS.items()),
            f"\n{PROGRAM} COMMAND --help says more.\n",
            f"runs, imports, evaluations: {checkpoints_folder()} (ROBUST_CHECKPOINTS)",
            f"data sets: {data_folder()} (ROBUST_DATA)\n",
        ]
    )


def _show_warning(message: Warning | str, *_where: Any, **_line: Any) -> None:
    """Print a warning as one sentence; where in the source it arose says nothing to a person."""
    sys.stderr.write(f"warning: {' '.join(str(message).split())}\n")


def leave(code: int) -> NoReturn:
    """End this process with an exit code, as `sys.exit` does, once all output is written.

    A process that torchrun has started skips the interpreter's shutdown: after gloo has been used,
    torch 2.15 now and then aborts in it ("terminate called without an active exception"), and
    torchrun kills the others, although all the work is done.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
