"""From a file of somebody else's weights to an attack on its network."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import Known, Violation, new_violations
from tests.browser.conftest import Server, Visitor
from tests.importing.examples import their_file

pytestmark = pytest.mark.browser


def violations_of_ours(page: Page, plain: Known) -> list[Violation]:
    """What axe finds, without the field for files, whose roles are Streamlit's."""
    found = new_violations(page, "light", plain)
    return [one for one in found if one.part != "stFileUploaderDropzone"]


def test_foreign_weights_are_brought_and_attacked(
    plain: Known, visitor: Visitor, server: Server, tmp_path: Path
) -> None:
    page = visitor.page
    visitor.open("/models?view=bring")
    page.locator("input[type=file]").set_input_files(their_file(tmp_path))
    box = page.get_by_role("combobox", name="Data set")
    expect(box).to_be_visible()
    visitor.settle()
    box.evaluate("box => box.scrollIntoView({block: 'center'})")  # its list needs room
    box.click()
    page.get_by_role("option", name="digits", exact=True).click()
    visitor.settle()
    page.get_by_role("button", name="Try all 8 on digits").click()
    expect(page.get_by_text("Highest: ")).to_contain_text("head linear, activation relu")
    visitor.settle()
    assert violations_of_ours(page, plain) == []
    page.get_by_role("button", name="Choose the highest").click()
    visitor.settle()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Stored as imported/model.")).to_be_visible()
    visitor.settle()
    assert violations_of_ours(page, plain) == []
    assert (server.folder / "imported" / "model.safetensors").is_file()

    page.get_by_role("link", name="Attack it").click()
    expect(page.get_by_role("heading", name="Attack", exact=True)).to_be_visible()
    expect(page.get_by_role("combobox", name="Model")).to_have_value(re.compile("imported/model"))
    expect(page.get_by_text("Confidence in").first).to_be_visible()
    visitor.settle()
