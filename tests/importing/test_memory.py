"""A large file is opened without being held in memory several times."""

import subprocess
import sys

import pytest
import torch

from robust_core.models.base import create_model
from tests.importing.examples import published_names_of

MOST = 2.5  # times the size of the file
SCRIPT = """
import resource, sys
import torch
from robust_core import import_model, load_data
from robust_core.importing import arrival

load_data("digits")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
import_model(
    sys.argv[1], architecture="wide_resnet", parameters={"activation": "relu", "head": "linear"},
    mean=0, std=1, class_names=list("abcdefghij"), image_shape=(3, 32, 32),
)
print(peak() - before)
"""


@pytest.mark.slow
def test_importing_a_wide_network_takes_little_more_than_its_weights(tmp_path):
    model = create_model("wide_resnet", (3, 32, 32), 10, {"depth": 28, "widen_factor": 10})
    path = tmp_path / "wrn-28-10.pt"
    torch.save({"state_dict": published_names_of(model)}, path)
    size = path.stat().st_size
    assert size > 139 << 20
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        env={"ROBUST_CHECKPOINTS": str(tmp_path), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) < MOST * size, f"{int(found.stdout) / size:.2f} times"
