import pytest

from app.navigation import page_script
from app.page.train import form
from robust_core import jobs
from robust_core.config.presets import preset
from robust_core.methods import list_methods
from robust_core.training.directory import RunDirectory
from tests.app.page.train.runs import open_page
from tests.app.page_driver import check, labels, press, said

FORM = "train.form.digits.pgd_at.quick"


@pytest.mark.slow
def test_the_three_choices_alone_start_the_quick_preset() -> None:
    page = press(open_page(), "Start training")
    (run,) = jobs.summaries(RunDirectory)
    expected = preset("digits", "pgd_at", "quick").model_copy(update={"title": ""})
    assert jobs.find(RunDirectory, run.run_id).config() == expected
    assert page.query_params["run"] == run.run_id
    assert "Stop" in labels(page)


@pytest.mark.slow
def test_the_switches_of_published_networks_are_asked_for_and_reach_the_run() -> None:
    page = open_page(data="shapes", method="trades", budget="paper")
    key = "train.form.shapes.trades.paper"
    check(page.selectbox(key=f"{key}.network").set_value("wide_resnet").run())
    (more,) = [part for part in page.expander if part.label == "More settings"]
    own = f"{key}.wide_resnet.Architecture settings"
    asked = {widget.key for kind in ("text_input", "checkbox") for widget in more.get(kind)}
    assert asked == {f"{own}.mean", f"{own}.std", f"{own}.per_image"}
    page.text_input(key=f"{own}.mean").set_value("0.4, 0.5, 0.6")
    page.selectbox(key=f"{own}.activation").set_value("silu")
    press(check(page.run()), "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    found = {name: config.model.parameters[name] for name in ("mean", "std", "activation")}
    assert found == {"mean": [0.4, 0.5, 0.6], "std": [0.5], "activation": "silu"}


@pytest.mark.slow
def test_every_setting_reaches_the_run() -> None:
    page = open_page(data="shapes", method="trades", budget="paper")
    key = "train.form.shapes.trades.paper"
    check(page.selectbox(key=f"{key}.network").set_value("small_cnn").run())
    page.text_input(key=f"{key}.run.title").set_value("my run")
    page.number_input(key=f"{key}.run.epochs").set_value(3)
    page.number_input(key=f"{key}.run.seed").set_value(7)
    page.number_input(key=f"{key}.small_cnn.Architecture settings.width").set_value(8)
    page.number_input(key=f"{key}.trades.Method.beta").set_value(2.5)
    page.segmented_control(key=f"{key}.Optimiser.name").set_value("adam")
    page.selectbox(key=f"{key}.Learning rate schedule.name").set_value("cosine")
    page.number_input(key=f"{key}.shapes.Data.confounding").set_value(0.5)
    page.number_input(key=f"{key}.Data split.seed").set_value(9)
    page.checkbox(key=f"{key}.Evaluation.num_images.automatic").check()
    page.segmented_control(key=f"{key}.run.precision").set_value("float32")
    page.checkbox(key=f"{key}.run.ema_decay.automatic").uncheck()
    press(check(page.run()), "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    assert (config.title, config.epochs, config.seed) == ("my run", 3, 7)
    assert (config.model.name, config.model.parameters["width"]) == ("small_cnn", 8)
    assert (config.method.name, config.method.parameters["beta"]) == ("trades", 2.5)
    assert (config.optimiser.name, config.schedule.name) == ("adam", "cosine")
    assert config.data.parameters["confounding"] == 0.5
    assert config.data.seed == 9
    assert config.evaluation.num_images is None
    assert config.precision == "float32"
    assert config.ema_decay is not None


@pytest.mark.slow
@pytest.mark.parametrize("method", list_methods())
@pytest.mark.parametrize("budget", ["quick", "paper"])
def test_every_method_and_preset_has_a_form_that_gives_the_preset(method: str, budget: str) -> None:
    press(open_page(method=method, budget=budget), "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    expected = preset("digits", method, budget)
    assert config.model_dump(exclude={"title"}) == expected.model_dump(exclude={"title"})


@pytest.mark.slow
def test_an_option_chosen_in_the_form_changes_what_is_started() -> None:
    page = open_page(method="trades")
    check(page.segmented_control(key=form.OPTION.key).set_value("awp").run())
    press(page, "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    assert config.method.parameters["awp_gamma"] == 0.005


@pytest.mark.slow
def test_an_option_of_a_method_is_in_the_form_and_the_link() -> None:
    page = open_page(method="trades", option="he")
    check(page.segmented_control(key=form.OPTION.key).set_value("awp").run())
    check(page.selectbox(key=form.METHOD.key).set_value("atld").run())
    assert not [one for one in page.segmented_control if one.key == form.OPTION.key]
    check(page.selectbox(key=form.METHOD.key).set_value("trades").run())
    check(page.segmented_control(key=form.OPTION.key).set_value("he").run())
    press(page, "Start training")
    config = jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config()
    expected = preset("digits", "trades", "quick", "he")
    assert config.model_dump(exclude={"title"}) == expected.model_dump(exclude={"title"})


@pytest.mark.slow
def test_a_setting_that_cannot_be_used_is_one_sentence_and_nothing_is_lost() -> None:
    page = open_page()
    page.number_input(key=f"{FORM}.run.epochs").set_value(5)
    page.text_input(key=f"{FORM}.Learning rate schedule.milestones").set_value("0.5, soon")
    check(page.run())
    assert "milestones" in said(page).lower()
    assert next(button for button in page.button if button.label == "Start training").disabled
    assert page.number_input(key=f"{FORM}.run.epochs").value == 5
    check(page.text_input(key=f"{FORM}.Learning rate schedule.milestones").set_value("0.5").run())
    press(page, "Start training")
    assert jobs.find(RunDirectory, jobs.summaries(RunDirectory)[0].run_id).config().epochs == 5


@pytest.mark.slow
def test_the_form_survives_a_visit_to_another_page_and_another_preset() -> None:
    page = open_page()
    check(page.number_input(key=f"{FORM}.run.epochs").set_value(5).run())
    check(page.selectbox(key=form.METHOD.key).set_value("trades").run())
    check(page.selectbox(key=form.METHOD.key).set_value("pgd_at").run())
    check(page.switch_page(page_script("attack")).run())
    check(page.switch_page(page_script("train")).run())
    assert check(page).number_input(key=f"{FORM}.run.epochs").value == 5


@pytest.mark.slow
def test_a_third_run_waits_and_an_eleventh_is_refused_in_one_sentence() -> None:
    page = open_page()
    for _ in range(3):
        press(page, "Start training")
    assert "Waits for a free place, 0 before you" in said(page)
    for _ in range(7):
        jobs.start(preset("digits", "pgd_at"))
    press(page, "Start training")
    assert len(jobs.summaries(RunDirectory)) == 10
    assert len(page.error) == 1
    assert "At most 2 runs may be active at once and 8 wait" in page.error[0].value


@pytest.mark.slow
def test_a_double_click_starts_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ui.job_controls.DOUBLE_CLICK", 60.0)
    page = press(open_page(), "Start training")
    press(page, "Start training")
    assert len(jobs.summaries(RunDirectory)) == 1
