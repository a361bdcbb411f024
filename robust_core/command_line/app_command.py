"""`python -m robust_core app`.

The engine knows no dashboard: this starts Streamlit on a file, in a process that takes the place
of this one, and imports neither of them, unless a model is named.
"""

import importlib.util
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable

from robust_core.command_line.options import Parser, positive
from robust_core.errors import InputError
from robust_core.network import OPEN_WORDS, own_address
from robust_core.paths import dashboard_file

LAST_PORT = 65535
ANY = "0.0.0.0"  # every network that this machine is on


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Open the dashboard; its exit code is that of this process."""
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("streamlit") is None:
        raise InputError("the dashboard needs Streamlit: pip install streamlit")
    script = dashboard_file()
    if not script.is_file():
        raise InputError(f"the dashboard should be at {script}, but is not there")
    # -P: a file of the folder that this is called from must not be taken for a library
    command = [sys.executable, "-P", str(script.parent / "ui" / "serve.py"), str(script)]
    if options.port is not None:
        command.append(f"--server.port={options.port}")
    for name in options.trust_code:
        _trust(name)
    if options.lan:
        command += [f"--server.address={ANY}", f"--browser.serverAddress={own_address() or ANY}"]
        sys.stdout.write(f"{OPEN_WORDS}\n")
        sys.stdout.flush()
    # threads that wait leave their core to the processes beside them
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    if sys.platform != "win32":
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)  # where exec would come back at once


def _parser() -> Parser:
    parser = Parser(
        command="app",
        description="Open the dashboard in the browser, accessible from this machine only unless "
        "--lan is given. Ctrl-C stops it; runs started from it continue.",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="port (default 8501)")
    parser.add_argument(
        "--trust-code",
        action="append",
        default=[],
        metavar="NAME",
        help="model that was imported with --factory, or its PACKAGE.MODULE:FUNCTION: the code may "
        "run in the dashboard; may be repeated",
    )
    parser.add_argument("--lan", action="store_true", help=f"for a class: {OPEN_WORDS}")
    return parser


def _trust(name: str) -> None:
    """Let the code of an imported model, or of a function, run in the dashboard.

    Raises:
        InputError: there is no such model, or it is not built by code.
    """
    from robust_core.checkpoints.catalog import checkpoint_info  # noqa: PLC0415 - takes seconds
    from robust_core.models.own_code import trust  # noqa: PLC0415

    if ":" in name:
        trust(name)
        return
    factory = checkpoint_info(name).config.model.parameters.get("factory")
    if factory is None:
        raise InputError(f"{name} is built without code of yours: it needs no --trust-code")
    trust(factory)


def _port(text: str) -> int:
    """Return a port, 1 to 65535, for a parser."""
    number = positive(text)
    if number > LAST_PORT:
        raise ArgumentTypeError(f"must be <= {LAST_PORT}, got {number}")
    return number
