"""The real dashboard in a real browser.

`dashboard` starts the server from its console script, as a person does; `visit` gives a `Visitor`,
a page that knows when Streamlit has finished and that fails on exceptions and console messages.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    WebSocket,
    expect,
    sync_playwright,
)
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from robust_core import jobs
from robust_core.evaluation_runs import EvaluationDirectory
from robust_core.training.directory import RunDirectory
from tests.browser.axe import SCHEMES, Known, violations
from tests.shelves import use_only

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # milliseconds; a fresh server imports everything for its first visitor
expect.set_options(timeout=PATIENCE)


@dataclass
class Visitor:
    """A browser page on the dashboard.

    page: the Playwright page. address: of the dashboard, without a slash at its end. messages: what
    the console said (warnings and errors), and errors that nothing caught. awaited: how far the
    server is behind what the page last asked of it: "start", "end" or "" (it has answered).
    """

    page: Page
    address: str
    messages: list[str] = field(default_factory=list)
    awaited: str = ""

    def __post_init__(self) -> None:
        self.page.on("console", self.hear)
        self.page.on("pageerror", lambda error: self.messages.append(f"uncaught: {error}"))
        self.page.on("websocket", self.follow)

    def open(self, path: str = "/") -> None:
        """Open a path of the dashboard, such as "/attack", and wait until it stands still."""
        self.awaited = "start"
        self.page.goto(self.address + path)
        self.settle()

    def settle(self) -> None:
        """Wait until Streamlit has finished; fail on an exception or a console message.

        What is drawn does not tell: a busy server begins long after a click. So the messages count.
        """
        self.page.wait_for_timeout(250)  # a slider sends its value after 200
        deadline = time.monotonic() + PATIENCE / 1000
        while self.awaited:
            assert time.monotonic() < deadline, "the server has not answered"
            self.page.wait_for_timeout(50)
        connected = "[data-testid=stApp][data-test-connection-state=CONNECTED]"
        self.page.wait_for_selector(connected, timeout=PATIENCE)
        self.page.wait_for_selector("[data-test-script-state=notRunning]", timeout=PATIENCE)
        self.check()

    def follow(self, socket: WebSocket) -> None:
        """Follow what the page asks of the server and what the server answers."""
        socket.on("framesent", self._asked)
        socket.on("framereceived", self._answered)

    def _asked(self, message: bytes | str) -> None:
        if isinstance(message, bytes) and BackMsg.FromString(message).HasField("rerun_script"):
            self.awaited = "start"

    def _answered(self, message: bytes | str) -> None:
        if not self.awaited or not isinstance(message, bytes):
            return
        answer = ForwardMsg.FromString(message)
        if answer.HasField("new_session"):
            self.awaited = "end"
        elif answer.HasField("script_finished") and self.awaited == "end":
            early = answer.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
            self.awaited = "start" if early else ""

    def hear(self, message: ConsoleMessage) -> None:
        """Keep a warning or error of the console.

        Streamlit looks for its server below the address first, so a page other than the first one
        always begins with two harmless answers "not found".
        """
        probe = "/_stcore/" in message.location.get("url", "")
        if message.type in ("warning", "error") and not probe:
            self.messages.append(f"{message.type}: {message.text}")

    def check(self) -> None:
        """Fail on an exception in the page or a message in the console."""
        expect(self.page.locator("[data-testid=stException]")).to_have_count(0)
        assert self.messages == []


def chromium() -> str:
    """Return the path of Chromium; skip the test, saying how to get it, where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium not found: install it with `apt-get install chromium`")
    return path


def start_server(
    environment: dict[str, str], script: str = "app/main.py"
) -> tuple[subprocess.Popen, str]:
    """Start the dashboard, or another script, on a free port; return its process and address.

    The settings are those beside the script.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "streamlit"),
        "run",
        script,
        f"--server.port={port}",
        "--server.headless=true",
        "--server.fileWatcherType=none",
        "--browser.gatherUsageStats=false",  # the script may have no settings
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://localhost:{port}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return process, address
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    process.kill()
    raise RuntimeError("the dashboard did not start")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once."""
    path = chromium()
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield instance
        instance.close()


@pytest.fixture(scope="session")
def dashboard() -> Iterator[str]:
    """The address of a running dashboard with the shipped checkpoints."""
    chromium()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process, address = start_server(environment)
    yield address
    process.terminate()
    process.wait(timeout=START_SECONDS)


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of 1440 x 1000 pixels that has loaded Streamlit's scripts once for all tests."""
    shared = browser.new_context(viewport={"width": 1440, "height": 1000})
    shared.set_default_timeout(PATIENCE)
    yield shared
    shared.close()


@pytest.fixture
def visit(context: BrowserContext, dashboard: str) -> Iterator[Visitor]:
    """A visitor of the dashboard in a page, and so in a session, of the test's own."""
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=dashboard)
    visitor = Visitor(context.new_page(), dashboard)
    yield visitor
    forget(context)


def forget(context: BrowserContext) -> None:
    """Close all pages and forget what they have stored, all but the cache of scripts."""
    for page in context.pages:
        if page.url.startswith("http"):
            page.evaluate("localStorage.clear(); sessionStorage.clear()")
        page.close()
    context.clear_cookies()


@pytest.fixture(scope="session")
def plain(context: BrowserContext) -> Known:
    """Rule, part and theme of what axe finds on a page of plain Streamlit, in its own colours."""
    chromium()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    script = str(Path(__file__).parent / "plain_page.py")
    process, address = start_server(environment, script)
    visitor = Visitor(context.new_page(), address)
    visitor.open()
    known: Known = {
        (found.rule, found.part, scheme)
        for scheme in SCHEMES
        for found in violations(visitor.page, scheme)
    }
    visitor.page.close()
    process.terminate()
    process.wait(timeout=START_SECONDS)
    return known


@dataclass
class Server:
    """A dashboard with a folder of runs of its own; it can be stopped and started again."""

    folder: Path
    process: subprocess.Popen | None = None
    address: str = ""

    def start(self) -> None:
        """Start it, at another address than before."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"ROBUST_CHECKPOINTS": str(self.folder), "OMP_NUM_THREADS": "1"}
        self.process, self.address = start_server(environment)

    def stop(self) -> None:
        """Stop it; what it has started goes on."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=START_SECONDS)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A dashboard of the test's own without runs or evaluations yet; its runs end with it."""
    chromium()
    use_only(tmp_path, monkeypatch)
    running = Server(tmp_path)
    running.start()
    yield running
    running.stop()
    for run in jobs.summaries(RunDirectory):
        if run.status.active:
            jobs.stop(jobs.find(RunDirectory, run.run_id))
    for evaluation in jobs.summaries(EvaluationDirectory):
        if evaluation.status.active:
            jobs.stop(jobs.find(EvaluationDirectory, evaluation.run_id))


@pytest.fixture
def visitor(context: BrowserContext, server: Server) -> Iterator[Visitor]:
    """A visitor of `server`."""
    yield Visitor(context.new_page(), server.address)
    forget(context)


def set_number(visitor: Visitor, label: str, value: int) -> None:
    """Type a number into the field called `label`."""
    field = visitor.page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")
    visitor.settle()
    expect(field).to_have_value(str(value))
