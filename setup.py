"""What `pyproject.toml` cannot say: the dashboard and the shipped models travel inside the engine.

At the top level of site-packages a package `app` would collide with others of that name. So the
wheel holds `app/` and `checkpoints/` in `robust_core/_lab/`, where `robust_core.paths` finds them;
the dashboard's main script puts that folder on the path of its own process only.
"""

from setuptools import find_packages, setup

ENGINE = find_packages(include=["robust_core", "robust_core.*"])
APP = find_packages(include=["app", "app.*"])
DATA = [
    "app.pictures",
    "checkpoints",
    *(f"checkpoints.{one}" for one in ("packaged", "pretrained", "recipes")),
]

setup(
    packages=[*ENGINE, *(f"robust_core._lab.{name}" for name in APP + DATA)],
    package_dir={"robust_core._lab.app": "app", "robust_core._lab.checkpoints": "checkpoints"},
    package_data={
        "": ["*.js", "*.css", "*.png", "*.md", "*.json", "*.safetensors"],
        "robust_core._lab.app": [".streamlit/config.toml"],
    },
)
