"""Two processes of torchrun train every method as one process does that sees the whole batch.

Up to rounding where a loss is a mean over images and nothing is drawn but the order of the images.
Elsewhere the second process draws noise of its own, and what is computed of a whole batch is that
of a process's half; the curves then agree as far as that noise and that half let them.
"""

import pytest

from robust_core.config.run import RunConfig
from robust_core.methods.base import METHODS
from robust_core.training.trainer import train
from tests.methods.examples import PARAMETERS, smallest_network
from tests.training.test_distributed import LONG, curve, plain, train_with

pytestmark = pytest.mark.slow

ROUNDING = 1e-4
# method -> largest relative difference of an epoch's loss, where it is more than rounding: two to
# ten times what was measured
TOLERANCES = {
    "atld": 2e-2,  # random start; ratio of gradients and the discriminator's batch norm of a half
    "ciiv": 7e-2,  # random views, one mask for all images of a process; batch norm of a half
    "denoising": 5e-2,  # random noise, noise levels and withheld labels
    "fast_at": 1e-3,  # random start
    "feature_scattering": 1e-2,  # random start; transport within a half
    "mart": 1e-3,  # random start
    "pgd_at": 1e-3,  # random start
    "spat": 5e-3,  # random start
    "trades": 1e-2,  # random start
}
# with longer steps training overshoots, and rounding grows without bound
SLOW = ("denoising", "free_at", "pag", "spat")


def config_of(name: str) -> RunConfig:
    architecture, size = smallest_network(name)
    few_steps = {"num_steps": 1} if "num_steps" in METHODS.get(name).Parameters.model_fields else {}
    return plain(
        model={"name": architecture, "parameters": size},
        method={"name": name, "parameters": PARAMETERS.get(name, {}) | few_steps},
        optimiser={"name": "sgd", "learning_rate": 0.05 if name in SLOW else 0.2},
        epochs=3,
    )


@pytest.mark.skipif(not LONG, reason="two processes start for each: set ROBUST_LONG_TESTS=1")
@pytest.mark.parametrize("name", METHODS.names())
def test_two_processes_follow_the_curve_of_one(name, tmp_path) -> None:
    config = config_of(name)
    shared, alone = curve(train_with(2, config, tmp_path)), curve(train(config))
    assert shared == pytest.approx(alone, rel=TOLERANCES.get(name, ROUNDING))
