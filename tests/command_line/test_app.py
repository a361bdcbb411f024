"""`robust-lab app`: the dashboard opens from any folder, for this machine only."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robust_core.command_line import app_command
from robust_core.command_line.main import main
from robust_core.network import OPEN_WORDS
from robust_core.paths import REPOSITORY

START_SECONDS = 60
LISTENING = "0A"
LOCALHOST = {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1, as Linux has them


@contextmanager
def opened(folder: Path, *command: str) -> Iterator[int]:
    """Start a dashboard in `folder`; give its port once it answers, and end it."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment = kept | {"STREAMLIT_SERVER_HEADLESS": "true"}
    environment |= {"STREAMLIT_SERVER_FILE_WATCHER_TYPE": "none"}
    process = subprocess.Popen(
        [*command, "app", "--port", str(port)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            assert process.poll() is None, "the dashboard ended"
            assert time.monotonic() < deadline, "the dashboard did not start"
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=5):
            return True
    except OSError:
        return False


def listening_addresses(port: int) -> set[str]:
    """Return the addresses that something listens on, in hexadecimal as the system has them."""
    lines = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]
    ]
    ends = [local.split(":") for _, local, _, state, *_ in lines if state == LISTENING]
    return {address for address, number in ends if int(number, 16) == port}


@pytest.mark.slow
def test_it_opens_from_any_folder_and_listens_to_this_machine_only(tmp_path: Path) -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("only Linux tells here which address a socket listens on")
    (tmp_path / "tqdm.py").write_text("raise RuntimeError('taken for a library')")
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); "
        "from robust_core.__main__ import start; start()"
    )
    with opened(tmp_path, sys.executable, "-P", "-c", code) as port:
        addresses = listening_addresses(port)
    assert addresses and addresses <= LOCALHOST


def test_the_switch_for_a_class_listens_on_every_network_and_says_so(monkeypatch, capsys) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(app_command.sys, "platform", "win32")
    monkeypatch.setattr(
        app_command.subprocess, "call", lambda command, env: started.append(command) or 0
    )
    assert main(["app"]) == 0 and main(["app", "--lan"]) == 0
    closed, opened = started
    assert not any("address" in part.lower() for part in closed)
    assert "--server.address=0.0.0.0" in opened
    assert capsys.readouterr().out == f"{OPEN_WORDS}\n"


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_a_port_that_is_none_is_one_sentence(port: str, capsys) -> None:
    assert main(["app", "--port", port]) == 2
    assert capsys.readouterr().err.startswith("error: argument --port: ")


def test_without_streamlit_or_the_dashboard_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(app_command, "dashboard_file", lambda: tmp_path / "main.py")
    assert main(["app"]) == 2
    assert "the dashboard should be at" in capsys.readouterr().err
    monkeypatch.setattr(app_command.importlib.util, "find_spec", lambda name: None)
    assert main(["app"]) == 2
    assert "the dashboard needs Streamlit" in capsys.readouterr().err
