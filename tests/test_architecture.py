"""The plan of the house, read from its imports: what may know what, and how far that is true.

The lists of known exceptions and the ratchets only shrink: a list that names something that is no
longer so fails, too. `pytest tests/test_architecture.py` writes the figures.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [  # of the engine, from below; what shares a floor does not know each other
    {"errors"},
    {"aliases", "distributed", "files", "losses", "network", "paths", "registry", "units"},
    {"parameters"},
    {"threat_model"},
    {"data", "models"},
    {"acceleration"},
    {"gradients"},
    {"inference"},
    {"attacks"},
    {"evaluation", "methods"},
    {"config"},
    {"checkpoints", "jobs"},
    {"analysis", "evaluation_runs", "importing", "training"},
    {"bench"},
    {"command_line"},
    {"__init__", "__main__"},
]
FLOOR = {part: i for i, parts in enumerate(FLOORS) for part in parts}
FOLDER = "page"  # in app/, a folder each page
DRAWINGS = r"(\w+_)?charts"  # modules that draw and know neither torch nor streamlit

# Ratchets: today's figures; lower them whenever they fall.
LONGEST_CHAIN = {"robust_core": 19, "app": 13, "all": 26}
MOST_IMPORTS, LONGEST_FILE, LONGEST_SCRIPT = 15, 350, 120
SESSION_WRITERS = 30  # modules of the app that write into the session

# Known exceptions, each of them to go.
MANY_IMPORTS: dict[str, int] = {
    "app.page.learn.scenes": 36,
}
LONG_FILES: dict[str, int] = {}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ENGINE = sorted((ROOT / "robust_core").rglob("*.py"))
APP = sorted((ROOT / "app").rglob("*.py"))
PATHS = {module_of(path): path for path in ENGINE + APP}
SCRIPTS = [path for path in APP if path.stem == path.parent.name and FOLDER in path.parts]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def length_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@cache
def imported_names(path: Path) -> frozenset[str]:
    """Every module that a file imports, ours or another's; names of a module count as it."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in PATHS else node.module)
    return frozenset(names)


def own_imports(path: Path) -> set[str]:
    return {name for name in imported_names(path) if name in PATHS} - {module_of(path)}


@cache
def imports() -> dict[str, set[str]]:
    """The modules of ours that each of them imports; read when a test asks, not when collected."""
    return {module: own_imports(path) for module, path in PATHS.items()}


def knows(path: Path, *libraries: str) -> bool:
    return any(name.split(".")[0] in libraries for name in imported_names(path))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def longest_chain(top: str) -> list[str]:
    """The longest walk along imports among the modules of `top`, of both for "all"."""
    walk: dict[str, list[str]] = {}

    def from_(module: str, way: tuple[str, ...]) -> list[str]:
        assert module not in way, f"a circle of imports: {' > '.join([*way, module])}"
        if module not in walk:
            below = [
                from_(name, (*way, module)) for name in sorted(imports()[module]) if inside(name)
            ]
            walk[module] = [module, *max(below, key=len, default=[])]
        return walk[module]

    def inside(module: str) -> bool:
        return top in ("all", module.split(".", maxsplit=1)[0])

    return max((from_(module, ()) for module in PATHS if inside(module)), key=len)


# -- the engine ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ENGINE, ids=short)
def test_engine_imports_only_floors_below(path):
    own = path.relative_to(ROOT / "robust_core").parts[0].removesuffix(".py")
    assert own in FLOOR, f"{own} has no floor: say where it stands"
    assert not knows(path, "streamlit", "plotly", "app")
    for name in imports()[module_of(path)]:
        other = name.split(".")[1] if "." in name else "__init__"
        assert other == own or FLOOR[other] < FLOOR[own], f"{short(path)} imports {name}"


def test_the_notes_of_the_engine_name_every_floor():
    notes = (ROOT / "robust_core" / "README.md").read_text(encoding="utf-8")
    assert not {part for part in FLOOR if not re.search(rf"\b{part}\b", notes)}


@pytest.mark.parametrize("path", ENGINE, ids=short)
def test_engine_never_prints(path):
    if "command_line" in path.parts or path.name == "__main__.py":
        return
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    assert not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls)


def concrete_networks() -> set[str]:
    """Registered networks that the contract of an attack reaches."""
    seen, todo = set(), ["robust_core.attacks.base"]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += imports()[module]
    networks = {m for m in seen if m.startswith("robust_core.models.")}
    return {m for m in networks if "@MODELS.register(" in PATHS[m].read_text(encoding="utf-8")}


def test_the_contract_of_an_attack_depends_on_no_network():
    assert not concrete_networks()


# -- the app ---------------------------------------------------------------------------------------


def place(module: str) -> str:
    """Where a module of the app stands: navigation, ui, a page's name, main, or nowhere."""
    parts = module.split(".")
    if parts[:2] == ["app", FOLDER]:
        return f"page/{parts[2]}" if len(parts) > 2 else "page"
    return parts[1] if len(parts) > 1 else "app"


def cross_pages() -> set[tuple[str, str]]:
    """Imports from one page into another, but those of Learn, whose tours show all."""
    return {
        (module, name)
        for module, names in imports().items()
        for name in names
        if place(module).startswith("page/")
        and place(name).startswith("page/")
        and place(name) != place(module) != "page/learn"
    }


def test_every_file_of_the_app_has_a_place():
    allowed = ("app", "main", "navigation", "ui", "page")
    stray = {short(p) for p in APP if place(module_of(p)).split("/", maxsplit=1)[0] not in allowed}
    assert not stray
    assert {path.parent.name for path in SCRIPTS} == {
        path.name for path in (ROOT / "app" / FOLDER).iterdir() if (path / "__init__.py").exists()
    }


def test_the_pages_are_not_in_a_folder_that_streamlit_has_a_meaning_for():
    """Beside the main script `pages` is its first kind of multipage app until navigation has run.

    The first visitor of a fresh server who comes by a link into a page would be told that there is
    no such page.
    """
    assert not (ROOT / "app" / "pages").exists()


@pytest.mark.parametrize("path", APP, ids=short)
def test_navigation_stands_below_the_kit_and_the_kit_below_the_pages(path):
    own = place(module_of(path))
    for name in imports()[module_of(path)]:
        other = place(name) if name.startswith("app") else "engine"
        if own == "navigation":
            pytest.fail(f"navigation imports {name}")
        if own == "ui":
            assert other in ("engine", "navigation", "ui"), f"{short(path)} imports {name}"
        if own == "main":
            assert other == "navigation", f"{short(path)} imports {name}"


def test_pages_do_not_know_each_other():
    assert not cross_pages()


def writes_session(path: Path) -> bool:
    code = path.read_text(encoding="utf-8")
    return bool(
        re.search(r"session_state(\[.+\]|\.\w+) = |session_state\.(setdefault|update)", code)
    )


def gate_users() -> set[str]:
    """Modules that name superseded work, or keep a cache beside Streamlit's."""
    inside = {"BoundedSemaphore", "Gate", "OrderedDict", "Semaphore", "Superseded"}
    users = set()
    for path in APP:
        names = {n.id for n in ast.walk(tree_of(path)) if isinstance(n, ast.Name)}
        names |= {n.attr for n in ast.walk(tree_of(path)) if isinstance(n, ast.Attribute)}
        if names & inside:
            users.add(short(path))
    return users - {"app/ui/gate.py", "app/ui/idle_cache.py", "app/ui/measure.py"}


def caching_outside_ui() -> set[str]:
    return {
        short(path)
        for path in APP
        if place(module_of(path)) != "ui"
        and any(
            isinstance(node, ast.Attribute) and node.attr.startswith("cache_")
            for node in ast.walk(tree_of(path))
        )
    }


def test_downloads_are_made_when_a_button_is_pressed():
    """What a page made beforehand would be gone before a quick browser asked for it."""
    users = {
        short(path)
        for path in APP
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr == "download_button"
    }
    assert users == {"app/ui/downloads.py"}


def test_only_the_kit_caches_and_only_the_gate_ends_work():
    assert not caching_outside_ui()
    assert not gate_users()
    assert len([path for path in APP if writes_session(path)]) <= SESSION_WRITERS


def torch_without_streamlit() -> set[str]:
    """Modules of the app that compute, and know neither Streamlit nor the kit that shows it."""
    return {
        short(path)
        for path in APP
        if knows(path, "torch")
        and not knows(path, "streamlit")
        and not any(name.startswith("app.ui.") for name in own_imports(path))
    }


def test_what_computes_without_streamlit_and_kit_is_the_engines():
    assert not torch_without_streamlit()


@pytest.mark.parametrize("path", APP, ids=short)
def test_drawings_know_neither_torch_nor_streamlit(path):
    if re.fullmatch(DRAWINGS, path.stem):
        assert not knows(path, "torch", "streamlit")


@pytest.mark.parametrize("path", APP, ids=short)
def test_only_navigation_knows_where_the_scripts_of_pages_are(path):
    strings = [n.value for n in ast.walk(tree_of(path)) if isinstance(n, ast.Constant)]
    found = [
        value for value in strings if isinstance(value, str) and value.startswith(f"{FOLDER}/")
    ]
    assert not found or path.stem == "navigation"


# -- measures --------------------------------------------------------------------------------------


def many_imports() -> dict[str, int]:
    return {m: len(names) for m, names in imports().items() if len(names) > MOST_IMPORTS}


def long_files() -> dict[str, int]:
    scripts = {path: LONGEST_SCRIPT for path in SCRIPTS}
    return {
        short(path): length_of(path)
        for path in ENGINE + APP
        if length_of(path) > scripts.get(path, LONGEST_FILE)
    }


def test_no_file_imports_more_than_it_can_explain():
    found = {module: n for module, n in many_imports().items() if n > MANY_IMPORTS.get(module, 0)}
    assert not found
    assert MANY_IMPORTS.keys() <= many_imports().keys()


def test_no_file_is_longer_than_one_sitting():
    found = {path: n for path, n in long_files().items() if n > LONG_FILES.get(path, 0)}
    assert not found
    assert LONG_FILES.keys() <= long_files().keys()


@pytest.mark.parametrize("top", LONGEST_CHAIN)
def test_the_longest_walk_along_imports_gets_no_longer(top):
    assert len(longest_chain(top)) <= LONGEST_CHAIN[top]


def figures() -> str:
    learn = {
        (a, b)
        for a, names in imports().items()
        for b in names
        if place(a) == "page/learn" != place(b) and place(b).startswith("page/")
    }
    lines = [
        f"robust_core: {len(ENGINE)} files, {sum(map(length_of, ENGINE)):,} lines",
        f"app: {len(APP)} files, {sum(map(length_of, APP)):,} lines, "
        f"{len({place(module_of(p)) for p in APP} - {'app', 'page'})} places",
        *(f"longest chain, {top}: {len(longest_chain(top))}" for top in LONGEST_CHAIN),
        f"imports between pages: {len(cross_pages())}, of Learn into others: {len(learn)}",
        f"networks under the contract of an attack: {len(concrete_networks())}",
        f"pages' modules that cache: {len(caching_outside_ui())}, that know the gate's inside: "
        f"{len(gate_users())}",
        f"modules of the app that write into the session: {sum(map(writes_session, APP))}",
        f"app modules with torch and without streamlit: {len(torch_without_streamlit())}",
        f"files with more than {MOST_IMPORTS} imports: {len(many_imports())}, "
        f"too long: {len(long_files())}",
    ]
    return "\n".join(lines)


def test_the_figures_can_be_read(capsys):
    text = figures()
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")
    assert len(ENGINE) > 15 and len(APP) > 15
