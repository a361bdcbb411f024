"""From which model images may transfer to the judged one, in a check of its number."""

from dataclasses import replace

import pytest

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.evaluation_runs import EvaluationPlan
from robust_core.evaluation_runs.subjects import (
    default_attacks,
    transfer_source,
    undefended_model,
    version_of,
)
from robust_core.paths import REPOSITORY
from tests.checkpoints.examples import write_checkpoint
from tests.evaluation_runs.plans import make_plan

STANDARD = {"name": "standard", "parameters": {}}


def plan_of(*names: str, check: bool = True) -> EvaluationPlan:
    return make_plan(checkpoints=names, check_reliability=check)


@pytest.mark.parametrize(
    ("judged", "others", "source"),
    [
        ("digits-masked", [], "digits-standard"),
        ("digits-standard", [], None),
        ("digits-standard", ["digits-masked"], None),
        ("digits-standard", ["digits-masked", "digits-pgd_at"], "digits-pgd_at"),
        ("digits-masked", ["digits-pgd_at"], "digits-pgd_at"),
        ("digits-atld:imt", ["digits-atld"], "digits-standard"),
        ("shapes-masked", ["digits-standard"], "shapes-standard"),
        ("shapes-colour_ciiv", [], "shapes-colour_standard"),
    ],
)
def test_images_transfer_from_a_model_that_masks_nothing(judged, others, source) -> None:
    found = transfer_source(checkpoint_info(judged), plan_of(judged, *others))
    assert (None if found is None else found.name) == source


@pytest.mark.slow
def test_models_made_here_are_not_taken_for_shipped_ones(shelf) -> None:
    info = checkpoint_info("tiny")
    assert undefended_model(info) is None
    for folder, found in (("imported", None), ("pretrained", "plain")):
        (shelf.parent / folder).mkdir(exist_ok=True)
        write_checkpoint(shelf.parent / folder / "plain.safetensors", seed=2, method=STANDARD)
        other = undefended_model(info)
        assert (None if other is None else other.name) == found


def test_a_shipped_surrogate_that_has_changed_makes_another_version(shelf) -> None:
    def versions() -> list[str]:
        return [version_of(info, plan_of("tiny", check=check)) for check in (True, False)]

    info = checkpoint_info("tiny")
    write_checkpoint(shelf / "plain.safetensors", seed=2, method=STANDARD)
    before = versions()
    write_checkpoint(shelf / "plain.safetensors", seed=3, method=STANDARD)
    after = versions()
    assert after[0] != before[0] and after[1] == before[1]


def test_the_default_attack_is_the_adaptive_one_where_a_defence_may_hide_its_weakness(monkeypatch):
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(REPOSITORY / "checkpoints"))
    infos = {
        name: checkpoint_info(name)
        for name in ("digits-pgd_at", "digits-atld", "digits-atld:imt", "digits-ciiv")
    }
    found = {name: default_attacks([info]) for name, info in infos.items()}
    assert found["digits-pgd_at"] == found["digits-atld"] == ("pgd",)
    assert found["digits-atld:imt"] == found["digits-ciiv"] == ("adaptive",)
    brought = replace(infos["digits-pgd_at"], name="imported/somebodys")
    assert default_attacks([brought]) == ("pgd", "adaptive")
