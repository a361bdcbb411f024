"""The main button of every page, for every shipped model."""

from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.page.gradients import measure as gradients_work
from app.page.latent import link
from app.page.retina import attack
from app.ui import measure
from robust_core import jobs
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.evaluation_runs import EvaluationDirectory
from robust_core.paths import REPOSITORY
from tests.app.page_driver import check_no_error, open_view, press, press_where_needed, said
from tests.pretended import pretend_processes
from tests.shelves import use_only

PRETRAINED = REPOSITORY / "checkpoints" / "pretrained"
MODELS = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
OF_A_KIND = ("awp", "fast_at", "feature_scattering", "gradient_norm", "mart", "pag_sbg", "trades")
FAMILIES = [name for name in MODELS if not name.endswith(OF_A_KIND)]  # those are like pgd_at here
CLASSIFIERS = [name for name in FAMILIES if not name.endswith("-denoiser")]
RIVALS = {
    "digits-standard": "digits-pgd_at",
    "mnist-standard": "mnist-pgd_at",
    "shapes-standard": "shapes-pgd_at",
    "shapes-colour_standard": "shapes-colour_ciiv",
    "shapes-colour_ciiv": "shapes-colour_standard",
}
GRADIENTS = {"morph": "Morph", "attribution": "Explain", "synthesis": "Generate"}
STEP = {"attack": "pgd", "num_steps": 1}
HARD_PAIRS = ("Similarity", "Gradient", "Self-paced loss")  # what looks inside the network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def slow_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A catalogue of the shipped models on a machine so slow that all work waits for its button."""
    shelf = tmp_path_factory.mktemp("shelf")
    (shelf / "pretrained").symlink_to(PRETRAINED)
    with pytest.MonkeyPatch.context() as patch:
        use_only(shelf, patch)
        patch.setattr("app.ui.models.seconds_per_pass", lambda info, batch_size=1: 10.0)
        patch.setattr(link.IMAGES, "low", 10)
        patch.setattr(gradients_work, "MORPH_STEPS", 1)
        patch.setattr(gradients_work, "DRAW_STEPS", 1)
        patch.setattr(attack, "NUM_STEPS", 1)
        patch.setattr("app.ui.job_controls.DOUBLE_CLICK", 0.0)
        pretend_processes(patch)
        patch.setattr("robust_core.jobs.control._check_room", lambda max_jobs: None)
        yield


@pytest.fixture(autouse=True)
def nothing_measured() -> None:
    """What another test has measured would be shown at once, with the buttons behind it."""
    measure._results.clear()


def press_main(view: str, label: str, state: dict[str, Any]) -> AppTest:
    """Open a page and press its main button, which says no error; return the page."""
    page = check_no_error(open_view(view, state, timeout=60))
    assert not [one.value for one in page.warning if "link" in one.value]
    (main,) = (button for button in page.button if button.proto.type == "primary")
    assert main.label == label
    return check_no_error(press(page, label))


@pytest.mark.parametrize("model", MODELS)
def test_attack(model):
    page = press_main("attack", "Run attack", {"model": model, **STEP})
    assert page.metric[0].label == "Prediction"


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_compare(model):
    state = {"model": model, "with": RIVALS.get(model, f"{model.split('-')[0]}-standard"), **STEP}
    page = press_main("compare", "Run attack on all", state)
    assert "Transferability" in [one.value for one in page.subheader]


@pytest.mark.parametrize("model", [*(n for n in CLASSIFIERS if "digits" in n), "shapes-ciiv"])
@pytest.mark.parametrize("view", GRADIENTS)
def test_gradients(model, view):
    press_main("gradients", GRADIENTS[view], {"model": model, "with": "", "view": view})


def test_alignment_of_all_models():
    state = {"model": "digits-standard", "view": "alignment"}
    page = open_view("gradients", state, timeout=60)
    page = press_where_needed(page, "Measure alignment")
    check_no_error(press(page, "Measure all models"))


@pytest.mark.parametrize("model", FAMILIES)
def test_hard_pairs(model):
    state = {"model": model, "num_images": 10, "num_steps": 1}
    page = press_main("hard_pairs", "Run attack", state)
    for view in HARD_PAIRS:
        page.session_state["hard_pairs.view"] = view
        check_no_error(page.run())


@pytest.mark.parametrize("model", FAMILIES)
def test_latent(model):
    page = press_main("latent", "Map the features", {"model": model, "images": 10, **STEP})
    assert "10 images of the test split" in said(page)


@pytest.mark.parametrize("model", FAMILIES)
def test_retina(model):
    page = check_no_error(open_view("retina", {"model": model}, timeout=60))
    if checkpoint_info(model).config.model.name != "retinotopic":
        assert "only the sampler is shown" in said(page)
        return
    page.toggle[0].set_value(True)  # predict at every change
    check_no_error(press(check_no_error(page.run()), "Attack this image"))


@pytest.mark.parametrize("model", FAMILIES)
def test_robustness(model):
    before = len(jobs.summaries(EvaluationDirectory))
    press_main("robustness", "Start evaluation", {"model": model})
    assert len(jobs.summaries(EvaluationDirectory)) == before + 1
