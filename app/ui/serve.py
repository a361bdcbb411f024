"""The dashboard's server: Streamlit's, while the engine is imported beside it.

`robust-lab app` starts this file by its path. Importing PyTorch and SciPy takes seconds, in which
the server would otherwise wait for the first browser.
"""

import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path
from threading import Thread

ENGINE = (  # what every page needs
    "robust_core.training.directory",
    "robust_core.evaluation_runs",
    "robust_core.checkpoints.catalog",
)


def main() -> None:
    """Serve the dashboard; the arguments are those of `streamlit run`."""
    if importlib.util.find_spec("robust_core") is None:  # a checkout that is not installed
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    Thread(target=_import_engine, name="import", daemon=True).start()
    from streamlit.web.cli import main as streamlit  # noqa: PLC0415 - beside the other imports

    sys.argv = ["streamlit", "run", *sys.argv[1:]]
    streamlit()


def _import_engine() -> None:
    for name in ENGINE:
        with contextlib.suppress(Exception):  # the page that needs it meets it again, and says so
            importlib.import_module(name)


if __name__ == "__main__":
    main()
