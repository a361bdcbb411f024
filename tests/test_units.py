"""Per cent is written in one way wherever a person reads it: "99.7 %", and no line breaks in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from robust_core.evaluation.finding import Finding, Severity
from robust_core.units import percent, percent_range, percent_with_interval

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for top in ("app", "robust_core") for path in (ROOT / top).rglob("*.py"))
SCRIPTS = sorted((ROOT / "app").rglob("*.js"))
NOT_SHARES = ("rem;", "{percentage:")  # style sheets; the bar of a progress on the command line
WRONG = re.compile(r"(?:[\d}f]| )%(?![\w({.])")  # no space, or one at which a line may break


@pytest.mark.parametrize(
    ("share", "digits", "words"),
    [
        (1.0, 0, "100\u00a0%"),
        (0.999, 0, ">99\u00a0%"),
        (0.98, 0, "98\u00a0%"),
        (0.001, 0, "<1\u00a0%"),
        (0.0, 0, "0\u00a0%"),
        (0.9721, 1, "97.2\u00a0%"),
        (0.9999, 1, ">99.9\u00a0%"),
        (0.0001, 1, "<0.1\u00a0%"),
    ],
)
def test_percentages_never_claim_certainty(share: float, digits: int, words: str) -> None:
    assert percent(share, digits) == words


def test_a_number_and_its_interval_have_no_place_to_break() -> None:
    assert percent_range((0.25, 0.44)) == "25\u00a0to\u00a044\u00a0%"
    assert percent_with_interval(0.81, (0.72, 0.88)) == "81.0\u00a0%\u00a0(72–\u206088)"


def test_sentences_of_older_files_are_written_as_today() -> None:
    found = Finding("black_box", Severity.FAIL, 0.56, 0.02, "Square broke 56% of 32, not 3 %.")
    assert found.sentence == "Square broke 56\u00a0% of 32, not 3\u00a0%."


def _texts(path: Path) -> Iterator[str]:
    """Yield the texts of a source but docstrings; of an f-string with {} for each value."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(part) for part in ast.walk(node) if part is not node}
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else _value(part)
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and id(node) not in docstrings | parts:
            yield str(node.value)


def _value(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    digits = ast.unparse(part.format_spec) if part.format_spec else ""
    return "{}%" if digits.rstrip("'\"").endswith("%") else "{}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sources_write_per_cent_in_one_way(path: Path) -> None:
    if path == ROOT / "robust_core" / "units.py":
        return
    wrong = [
        text
        for text in _texts(path)
        if WRONG.search(text) and not any(mark in text for mark in NOT_SHARES)
    ]
    assert not wrong, f"write them with robust_core.units, or with \\u00a0 before %: {wrong}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_write_per_cent_in_one_way(path: Path) -> None:
    assert not re.findall(r"\} ?%`", path.read_text(encoding="utf-8"))
