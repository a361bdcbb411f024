"""From the form to a model of one's own: watched, stopped, resumed, reloaded, attacked."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from robust_core import jobs
from tests.browser.conftest import PATIENCE, Visitor, chromium, start_server

pytestmark = pytest.mark.browser
EPOCHS = 30  # enough to be stopped in time on a fast machine
TRAINING = 120_000  # milliseconds; a busy machine takes long


@dataclass
class Server:
    """A dashboard with a folder of checkpoints of its own; it can be stopped and started again."""

    folder: Path
    process: subprocess.Popen | None = None
    address: str = ""

    def start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"ROBUST_CHECKPOINTS": str(self.folder), "OMP_NUM_THREADS": "1"}
        self.process, self.address = start_server(environment)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    chromium()
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    running = Server(tmp_path)
    running.start()
    yield running
    running.stop()
    for run in jobs.list_runs():
        if run.status.active:
            jobs.stop(run.run_id)


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Visitor]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    arrived = Visitor(context.new_page(), server.address)
    arrived.page.set_default_timeout(PATIENCE)
    arrived.page.on("console", arrived.hear)
    yield arrived
    context.close()


def set_number(visitor: Visitor, label: str, value: int) -> None:
    field = visitor.page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")
    visitor.settle()
    expect(field).to_have_value(str(value))


def click(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def wait_for_epochs(page: Page, more_than: int) -> int:
    """Wait until the page tells of more complete epochs; return how many."""
    seen = 0
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        words = page.locator("[data-testid=stMain]").inner_text()
        found = re.search(r"After epoch (\d+), on", words)
        seen = int(found.group(1)) if found else 0
        if seen > more_than:
            return seen
        page.wait_for_timeout(100)
    raise AssertionError(f"{seen} complete epochs on the page, expected more than {more_than}")


def test_a_training_is_watched_stopped_resumed_and_its_model_attacked(
    visitor: Visitor, server: Server
) -> None:
    page = visitor.page
    visitor.open("/train")
    page.get_by_text("All settings").click()
    set_number(visitor, "Epochs", EPOCHS)
    set_number(visitor, "Width", 4)
    set_number(visitor, "Number of steps", 1)
    click(page, "Start training")
    wait_for_epochs(page, 0)

    click(page, "Stop")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    stopped = wait_for_epochs(page, 0)
    assert stopped < EPOCHS
    expect(page.get_by_role("radio").first).to_be_checked()

    click(page, "Resume")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"run=digits-pgd_at-"))
    address = page.url.removeprefix(server.address)

    page.goto("about:blank")
    server.stop()  # the training goes on without the dashboard
    server.start()
    visitor.address = server.address
    visitor.open(address)
    wait_for_epochs(page, stopped)
    second_tab = page.context.new_page()
    second_tab.goto(server.address + address)
    wait_for_epochs(second_tab, stopped)
    second_tab.close()
    card = page.get_by_text(re.compile(r"of 360 test images right"))
    expect(card).to_be_visible(timeout=TRAINING)
    expect(page.get_by_text(f"Epoch {EPOCHS} of {EPOCHS} complete")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    expect(page.get_by_text(f"finished, {EPOCHS}/{EPOCHS}")).to_be_visible()

    page.reload()
    expect(page.get_by_text(f"Epoch {EPOCHS} of {EPOCHS} complete")).to_be_visible()
    page.get_by_role("link", name="Attack this model").click()
    expect(page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    model = page.get_by_role("combobox", name="Model")
    expect(model).to_have_value(re.compile("runs/digits-pgd_at-"))
    expect(page.get_by_text("Confidence in").first).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
