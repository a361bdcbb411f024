"""What the form of the page Robustness offers, plans, counts and starts."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.page.robustness.attack_choices import Randomness, preset_label, preset_titles
from app.page.robustness.planning import Extent, make_plan
from app.page.robustness.rows import TRANSFER, result_rows
from robust_core.acceleration.mode import Acceleration
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.config.attack_run import AttackRun
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationPlan, run_evaluation
from robust_core.evaluation_runs.units import plan_cost
from robust_core.paths import REPOSITORY
from robust_core.threat_model import Norm, ThreatModel
from tests.app.page.robustness.examples import (
    MODEL,
    STOCHASTIC_MODEL,
    open_page,
    the_only_run,
    use_folder,
)
from tests.app.page_driver import check, labels, press, said


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped checkpoints and no evaluation yet."""
    root = tmp_path / "checkpoints"
    shutil.copytree(REPOSITORY / "checkpoints" / "pretrained", root / "pretrained")
    use_folder(root, monkeypatch)


def test_attacks_on_the_base_network_need_an_inference_mode() -> None:
    info = checkpoint_info(MODEL)
    ball = ThreatModel(Norm.LINF, 0.1)
    with pytest.raises(InputError, match="need models with an inference mode"):
        make_plan([info], ["PGD-20"], ball, Extent(also_on_base_network=True))
    used = replace(info, name=f"{MODEL}:imt", inference="imt")
    plan = make_plan([used], ["PGD-20"], ball, Extent(also_on_base_network=True))
    assert [(one.surrogate, one.role) for one in plan.attacks] == [(":", "claim"), (None, "check")]


@pytest.mark.slow
def test_the_address_chooses_the_model() -> None:
    page = open_page(model="shapes-pgd_at")
    assert page.selectbox(key="robustness.data").value == "shapes"
    assert page.multiselect(key="robustness.models.shapes").value == ["shapes-pgd_at"]
    assert len(open_page(model="nobody").warning) == 1


@pytest.mark.slow
def test_start_begins_what_the_form_says() -> None:
    page = open_page()
    page.multiselect(key="robustness.models.digits").set_value(["digits-trades"])
    page.number_input(key="robustness.extent.num_images").set_value(7)
    page.checkbox(key="robustness.extent.check_reliability").uncheck()
    press(check(page.run()), "Start evaluation")
    run = the_only_run()
    plan = run.plan()
    assert page.query_params["evaluation"] in (run.run_id, [run.run_id])
    assert plan.checkpoints == ("digits-trades",)
    assert [choice.name for choice in plan.attacks] == ["pgd", "apgd", "square"]
    assert {choice.parameters["epsilon"] for choice in plan.attacks} == {0.1}
    assert (plan.num_images, plan.check_reliability) == (7, False)
    assert "Cancel" in labels(page)


def test_the_cost_grows_with_everything_that_is_asked_for() -> None:
    info = checkpoint_info(MODEL)
    ball = ThreatModel(Norm.LINF, 0.1)
    plain = Extent(num_images=50, check_reliability=False)
    alone = plan_cost(make_plan([info], ["PGD-20"], ball, plain), 50)
    assert alone == 50 * (1 + 21)  # one clean pass; 20 steps and a final prediction
    checked = plan_cost(make_plan([info], ["PGD-20"], ball, Extent(num_images=50)), 50)
    assert checked > alone
    for curve in ("epsilon_curve", "steps_curve", "restarts_curve", "eot_curve"):
        drawn = make_plan([info], ["PGD-20"], ball, plain.model_copy(update={curve: True}))
        assert plan_cost(drawn, 50) > 2 * alone
    queries = plain.model_copy(update={"queries_curve": True})
    assert make_plan([info], ["PGD-20"], ball, queries).curves == ()  # PGD asks no queries
    assert plan_cost(make_plan([info], ["AutoAttack"], ball, plain), 50) > 100 * alone


@pytest.mark.parametrize("norm", list(Norm))
def test_every_offer_works_in_both_norms(norm: Norm) -> None:
    ball = ThreatModel(norm, 0.25)
    extent = Extent(epsilon_curve=True, steps_curve=True)
    plan = make_plan([checkpoint_info(MODEL)], preset_titles(), ball, extent)
    elsewhere = [one.name for one in plan.attacks if one.attack().threat_model != ball]
    bound = ["cw"] if norm is Norm.LINF else []
    assert elsewhere == [*bound, "spatial"]  # bound by their own norm and limits
    assert [curve.parameter for curve in plan.curves] == ["epsilon", "num_steps"]
    assert plan.curves[0].values[0] == 0.0


@pytest.mark.slow
def test_what_cannot_be_planned_is_one_sentence() -> None:
    infos, ball = [checkpoint_info(MODEL)], ThreatModel(Norm.LINF, 0.1)
    with pytest.raises(InputError, match="AutoAttack averages 20 passes or none"):
        make_plan(infos, ["PGD-20", "AutoAttack"], ball, Extent(eot_curve=True))
    used = [replace(infos[0], name=f"{MODEL}:imt", inference="imt")]
    with pytest.raises(InputError, match="not on both: choose one"):
        make_plan(
            used, ["PGD-20"], ball, Extent(also_on_base_network=True), surrogate="digits-trades"
        )
    page = open_page()
    page.multiselect(key="robustness.attacks").set_value(["AutoAttack"])
    page.checkbox(key="robustness.extent.eot_curve").check()
    check(page.run())
    assert [str(one.value)[:37] for one in page.error] == ["AutoAttack averages 20 passes or none"]


@pytest.mark.slow
def test_the_cost_names_attacks_with_another_threat_model() -> None:
    page = open_page()
    assert "3 attacks with Linf 25.5/255. Cost" in said(page)
    page.multiselect(key="robustness.attacks").set_value(["FGSM", "Spatial (turns and shifts)"])
    words = "2 attacks with Linf 25.5/255, spatial with its own limits. Cost"
    assert words in said(check(page.run()))
    page.multiselect(key="robustness.attacks").set_value(["CW (L2 only)"])
    assert "1 attack, CW with its own L2 0.5. Cost" in said(check(page.run()))


@pytest.mark.slow
def test_an_attack_of_another_norm_keeps_its_own_and_says_so() -> None:
    page = open_page()
    page.multiselect(key="robustness.models.digits").set_value([MODEL])
    page.multiselect(key="robustness.attacks").set_value(["FGSM", "CW (L2 only)"])
    page.number_input(key="robustness.extent.num_images").set_value(2)
    page.checkbox(key="robustness.extent.check_reliability").uncheck()
    check(page.run())
    assert not page.error
    assert "2 attacks with Linf 25.5/255, CW with its own L2 0.5. Cost" in said(page)
    press(page, "Start evaluation")
    plan = the_only_run().plan()
    assert [str(one.attack().threat_model) for one in plan.attacks] == [
        str(ThreatModel(Norm.LINF, 0.1)),
        str(ThreatModel(Norm.L2, 0.5)),
    ]
    quick = AttackRun(name="cw", parameters={"num_steps": 5, "num_binary_searches": 1})
    attacks = (plan.attacks[0], quick)
    found = run_evaluation(EvaluationPlan(checkpoints=(MODEL,), attacks=attacks, num_images=2))
    (result,) = found.results().checkpoints
    rows = [(row.norm, row.epsilon) for row in result_rows(result)[1:]]
    assert rows == [("Linf", "25.5/255"), ("L2", "0.5"), ("several", "")]
    inside = make_plan(
        [checkpoint_info(MODEL)], ["CW (L2 only)"], ThreatModel(Norm.L2, 2.0), Extent()
    )
    assert inside.attacks[0].attack().epsilon == 2.0


@pytest.mark.slow
def test_attacks_can_be_computed_on_a_surrogate_model_of_the_same_data() -> None:
    page = open_page()
    key = "robustness.surrogate.digits"
    assert page.selectbox(key=key).value == ""
    page.multiselect(key="robustness.models.digits").set_value([MODEL])
    page.multiselect(key="robustness.attacks").set_value(["FGSM"])
    page.number_input(key="robustness.extent.num_images").set_value(4)
    page.checkbox(key="robustness.extent.check_reliability").uncheck()
    offered = check(page.run()).selectbox(key=key).options
    assert "digits-trades" in offered and MODEL not in offered
    assert not any(name.startswith("shapes") for name in offered)
    page.selectbox(key=key).set_value("digits-trades")
    words = (
        "1 attack with Linf 25.5/255; transfer attack from the surrogate model digits-trades. Cost"
    )
    assert words in said(check(page.run()))
    press(page, "Start evaluation")
    plan = the_only_run().plan()
    assert [one.surrogate_words for one in plan.attacks] == ["digits-trades"]
    (result,) = run_evaluation(plan).results().checkpoints
    row = result_rows(result)[1]
    assert (row.surrogate, row.checks) == ("digits-trades", TRANSFER)
    page.multiselect(key="robustness.models.digits").set_value([MODEL, "digits-trades"])
    assert check(page.run()).selectbox(key=key).value == ""  # it is evaluated itself now
    assert "transfer attack" not in "".join(str(one.value) for one in page.caption)


@pytest.mark.slow
def test_the_settings_of_a_stochastic_surrogate_are_offered_too() -> None:
    page = open_page()
    page.multiselect(key="robustness.models.digits").set_value([MODEL])
    check(page.run())
    page.selectbox(key="robustness.surrogate.digits").set_value(STOCHASTIC_MODEL)
    assert "Passes per gradient" in settings_for_randomness(check(page.run()))


def test_attacks_on_a_stochastic_model_average_and_passes_per_prediction_are_chosen() -> None:
    infos, ball = [checkpoint_info(STOCHASTIC_MODEL)], ThreatModel(Norm.LINF, 0.1)
    titles = ["PGD-20", "Square-200", "CW (L2 only)", "FAB", "AutoAttack"]
    plan = make_plan(infos, titles, ball, Extent(), Randomness())
    assert [one.attack().averaged_passes for one in plan.attacks] == [10, 1, 10, 10, 20]
    assert plan.attacks[-1].parameters["version"] == "rand"
    chosen = Randomness(passes_per_prediction=3, num_repeats=4, passes_per_gradient=30)
    plan = make_plan(infos, titles, ball, Extent(), chosen)
    assert [one.attack().averaged_passes for one in plan.attacks] == [30, 1, 30, 30, 30]
    assert (plan.eot_samples, plan.num_repeats) == (3, 4)
    plain = make_plan(infos, titles, ball, Extent())
    assert {one.attack().averaged_passes for one in plain.attacks} == {1}
    assert (plain.eot_samples, plain.num_repeats) == (1, 1)
    assert preset_label("AutoAttack", Randomness()) == "AutoAttack (up to 4,040 passes)"


@pytest.mark.slow
def test_settings_for_randomness_are_offered_for_stochastic_models_only() -> None:
    page = open_page()
    assert not settings_for_randomness(page)
    page.multiselect(key="robustness.attacks").set_value(["AutoAttack", "PGD-20"])
    check(page.run())
    page.multiselect(key="robustness.models.digits").set_value([STOCHASTIC_MODEL, MODEL])
    check(page.run())
    assert settings_for_randomness(page) == [
        "Passes per prediction",
        "Number of repeats",
        "Passes per gradient",
    ]
    assert f"{STOCHASTIC_MODEL} is a stochastic model; the other models" in said(page)
    page.number_input(key="robustness.randomness.passes_per_prediction").set_value(2)
    press(check(page.run()), "Start evaluation")
    plan = the_only_run().plan()
    assert [one.name for one in plan.attacks] == ["autoattack", "pgd"]
    assert [one.attack().averaged_passes for one in plan.attacks] == [20, 10]
    assert (plan.eot_samples, plan.num_repeats) == (2, 1)
    page.multiselect(key="robustness.models.digits").set_value([MODEL])
    assert not settings_for_randomness(check(page.run()))


def settings_for_randomness(page: AppTest) -> list[str]:
    return [one.label for one in page.number_input if str(one.key).startswith("robustness.randomn")]


@pytest.mark.slow
def test_the_cost_of_a_stochastic_model_is_an_upper_bound() -> None:
    infos, ball = [checkpoint_info(STOCHASTIC_MODEL)], ThreatModel(Norm.LINF, 0.1)
    extent = Extent(num_images=2, check_reliability=False)
    chosen = Randomness(passes_per_prediction=3, num_repeats=2, passes_per_gradient=4)
    plan = make_plan(infos, ["FGSM"], ball, extent, chosen)
    (result,) = run_evaluation(plan).results().checkpoints
    attacked = int(result.clean.clean_correct.sum())
    assert attacked > 0
    taken = result.clean.forward_passes + result.attacks[0].report.forward_passes
    assert taken == 2 * 6 + attacked * (4 + 6)
    assert plan_cost(plan, 2, stochastic=True) == 2 * (6 + 4 + 6)


def test_evaluations_are_as_fast_as_the_machine_allows() -> None:
    plan = make_plan([checkpoint_info(MODEL)], ["PGD-20"], ThreatModel(Norm.LINF, 0.1), Extent())
    assert plan.acceleration == Acceleration("fastest")
