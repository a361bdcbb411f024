"""The page before any evaluation: what the cards of shipped models say, and how to run it."""

import shutil
from pathlib import Path

import pytest

from app.page.robustness.attack_choices import Randomness
from app.page.robustness.planning import Extent, filled, make_plan
from app.page.robustness.stored import examples
from robust_core.checkpoints.catalog import checkpoint_info, list_infos, other_modes
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan
from robust_core.evaluation_runs.stored import card_plan
from robust_core.paths import REPOSITORY
from robust_core.threat_model import Norm, ThreatModel
from tests.app.page.robustness.examples import open_page, the_only_run, use_folder
from tests.app.page_driver import press, said

BALL = ThreatModel(Norm.LINF, 0.1)
INFOS = [one for info in list_infos() for one in (info, *other_modes(info))]


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped checkpoints and no evaluation yet."""
    root = tmp_path / "checkpoints"
    shutil.copytree(REPOSITORY / "checkpoints" / "pretrained", root / "pretrained")
    use_folder(root, monkeypatch)


def test_the_page_opens_with_a_verdict_on_each_kind_of_defence() -> None:
    found = examples(INFOS)
    assert [info.config.method.name for info in found[1:]] == ["spat", "ciiv", "atld"]
    assert found[0].masks_gradients
    text = said(open_page())
    for info in found:
        assert info.name in text
        words = info.card.headline()
        assert words.partition(": ")[2].split(",")[0] in text
    assert "Not real" in text


def test_no_example_is_needed() -> None:
    assert examples([]) == []
    alone = [info for info in INFOS if info.name == "shapes-ciiv"]
    assert examples(alone) == alone


def again(plan: EvaluationPlan) -> EvaluationPlan:
    """Return what the form asks for once it shows the plan."""
    shown = filled(plan, INFOS)
    by_name = {info.name: info for info in INFOS}
    assert shown.threat_model is not None
    return make_plan(
        [by_name[name] for name in shown.models],
        shown.titles,
        shown.threat_model,
        shown.extent,
        shown.randomness,
        surrogate=shown.surrogate,
        kept=shown.kept,
    )


@pytest.mark.parametrize("info", examples(INFOS), ids=lambda info: info.name)
def test_the_plan_of_a_card_can_be_asked_for_again(info) -> None:
    plan = card_plan(info)
    assert plan.attacks[0].role == info.card.reported.attack.role
    assert plan.attacks[0].surrogate == info.card.reported.attack.surrogate
    assert again(plan) == plan


def test_a_plan_of_the_form_comes_back_as_it_was() -> None:
    extent = Extent(num_images=7, seed=3, reliability_images=5, steps_curve=True)
    titles = ["FGSM", "AutoAttack", "PGD-20"]
    plain = make_plan([checkpoint_info("digits-trades")], titles, BALL, extent)
    assert filled(plain, INFOS).titles == tuple(titles)
    assert not filled(plain, INFOS).kept
    assert again(plain) == plain
    many = Randomness(passes_per_prediction=2, num_repeats=3, passes_per_gradient=12)
    noisy = make_plan([checkpoint_info("digits-ciiv")], ["PGD-20"], BALL, extent, many)
    assert filled(noisy, INFOS).titles == ("PGD-20",)
    assert again(noisy) == noisy
    other = make_plan(
        [checkpoint_info("digits-spat")], ["PGD-20"], BALL, extent, surrogate="digits-standard"
    )
    assert filled(other, INFOS).surrogate == "digits-standard"
    assert again(other) == other


def test_a_plan_of_models_that_are_gone_is_one_sentence() -> None:
    plan = EvaluationPlan.create({"checkpoints": ["runs/gone"]})
    with pytest.raises(InputError, match="no longer here: runs/gone"):
        filled(plan, INFOS)


@pytest.mark.slow
def test_edit_and_run_again_fills_the_form() -> None:
    page = open_page()
    place = [info.name for info in examples(INFOS)].index("digits-atld")
    buttons = [one for one in page.button if one.label == "Edit and run again"]
    buttons[place].click()
    page.run()
    assert not page.exception
    assert page.multiselect(key="robustness.models.digits").value == ["digits-atld:imt"]
    first, second = page.multiselect(key="robustness.attacks").value
    assert first == "PGD-20, computed on the base network, as reported"
    assert second.startswith("Adaptive")
    press(page, "Start evaluation")
    assert the_only_run().plan().attacks == card_plan(examples(INFOS)[place]).attacks
