"""The wheel: built, installed into an empty environment, used where no checkout is near."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from robust_core.paths import REPOSITORY

pytestmark = pytest.mark.slow
PARTS = ("app", "robust_core", "README.md", "pyproject.toml", "requirements.txt", "setup.py")
SHIPPED = ("README.md", "packaged", "pretrained", "recipes")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
PAGE = """
from streamlit.testing.v1 import AppTest
from robust_core.paths import dashboard_file
page = AppTest.from_file(str(dashboard_file()), default_timeout=60).run()
print([error.message for error in page.exception], page.title[0].value)
"""


def run(*command: str | Path, folder: Path) -> str:
    environment = {
        key: os.environ[key] for key in os.environ if not key.startswith(("PYTHON", "ROBUST_"))
    }
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        cwd=folder,
        env=environment | {"HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, which sees this one's libraries; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    source, home = folder / "source", folder / "environment"
    for part in (*PARTS, *(f"checkpoints/{one}" for one in SHIPPED), "tests/requirements.txt"):
        (source / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (REPOSITORY / part).is_dir() else shutil.copy
        copy(REPOSITORY / part, source / part)
    options = ("--no-deps", "--no-index", "--no-build-isolation")
    run(*PIP, "wheel", *options, "--wheel-dir", folder, source, folder=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    run(*PIP, "--python", python, "install", *options[:2], wheel, folder=folder)
    packages = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder
    )
    (Path(packages.strip()) / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return home


def test_it_holds_the_engine_the_dashboard_and_the_models_and_nothing_beside(environment: Path):
    (packages,) = environment.glob("lib/*/site-packages")
    assert {path.name for path in packages.iterdir() if path.suffix != ".dist-info"} == {
        "libraries.pth",
        "robust_core",
    }
    lab = packages / "robust_core" / "_lab"
    for folder, where in (("app", lab), ("checkpoints/pretrained", lab), ("robust_core", packages)):
        assert contents(where / folder) == contents(REPOSITORY / folder)


def contents(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", "_lab"} & set(path.parts[len(folder.parts) :])
    }


def test_it_lists_the_models_and_opens_the_dashboard_from_an_empty_folder(
    environment: Path, tmp_path: Path
):
    programs = environment / "bin"
    (tmp_path / "app").mkdir()  # somebody else's, which is none of ours
    (tmp_path / "app" / "__init__.py").touch()
    listed = run(programs / "robust-lab", "list", "checkpoints", folder=tmp_path)
    assert "digits-pgd_at" in listed
    page = run(programs / "python", "-c", PAGE, folder=tmp_path)
    assert page.splitlines()[0] == "[] Is this classifier really robust?"
    assert {path.name for path in tmp_path.iterdir()} == {"app"}, "nothing is left behind"
