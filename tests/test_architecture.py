"""The layers of the design, enforced by reading imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [
    {
        "errors",
        "registry",
        "parameters",
        "paths",
        "threat_model",
        "losses",
        "data",
        "memory",
        "team",
    },
    {"engine", "gradients", "models"},
    {"attacks"},
    {"methods", "evaluation"},
    {"training", "evaluation_runs", "jobs", "bench"},
    {"__main__", "command_line", "__init__"},
]
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
ENGINE = sorted((ROOT / "robust_core").rglob("*.py"))
APP = sorted((ROOT / "app").rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module}
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "robust_core").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(ROOT)))
def test_engine_imports_only_layers_below(path):
    own = part_of(path)
    assert own in RANK, f"{own} has no layer: say where it stands"
    for name in imported_modules(path):
        parts = name.split(".")
        assert parts[0] not in {"streamlit", "plotly", "app"}, f"{path} imports {name}"
        if parts[0] != "robust_core" or len(parts) < 2 or parts[1] == own:
            continue
        other = parts[1]
        if other in RANK:
            same_foundation = RANK[own] == RANK[other] and RANK[own] in {0, 1, 4, 5}
            assert RANK[other] < RANK[own] or same_foundation, f"{path} imports {name}"


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: str(path.relative_to(ROOT)))
def test_engine_never_prints(path):
    if part_of(path) in {"__main__", "command_line"}:
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls)


@pytest.mark.parametrize("path", APP, ids=lambda path: str(path.relative_to(ROOT)))
def test_views_do_not_import_each_other_and_plots_know_no_framework(path):
    names = imported_modules(path)
    if path.parent.name == "views":
        assert not any(name.startswith("app.views") for name in names)
        assert len(path.read_text().splitlines()) <= 130
    if path.name == "plots.py":
        assert not any(name.split(".")[0] in {"torch", "streamlit"} for name in names)


def test_every_source_file_is_parsed():
    assert len(ENGINE) > 15
