"""Every page with photographs of 224x224 pixels and 1,000 classes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.page.gradients import measure as gradients_work
from app.page.latent import link
from app.ui import measure
from robust_core import jobs, paths
from robust_core.evaluation_runs import EvaluationDirectory
from robust_core.paths import REPOSITORY
from tests.app.page_driver import check_no_error, open_view, press, said
from tests.pretended import pretend_processes

MODEL, DIGITS = "imagenet-efficientnet_lite0", "digits-standard"
STATE = {"model": MODEL, "num_steps": 1}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What ships is this model only, on a machine so slow that all work waits for its button."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "packaged").symlink_to(REPOSITORY / "checkpoints" / "packaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUST_CHECKPOINTS", str(folder))
        patch.setattr(paths, "SHIPPED", folder)
        patch.setattr("app.ui.models.seconds_per_pass", lambda info, batch_size=1: 10.0)
        patch.setattr(link.IMAGES, "low", 10)
        patch.setattr(gradients_work, "MORPH_STEPS", 1)
        patch.setattr(gradients_work, "DRAW_STEPS", 1)
        patch.setattr(gradients_work, "METHODS", gradients_work.METHODS[:3])
        pretend_processes(patch)
        patch.setattr("robust_core.jobs.control._check_room", lambda max_jobs: None)
        yield folder


@pytest.fixture
def digits(shelf: Path) -> Iterator[None]:
    """A model of digits beside it."""
    (shelf / "pretrained").mkdir()
    (shelf / "pretrained" / f"{DIGITS}.safetensors").symlink_to(
        REPOSITORY / "checkpoints" / "pretrained" / f"{DIGITS}.safetensors"
    )
    yield
    shutil.rmtree(shelf / "pretrained")


@pytest.fixture(autouse=True)
def nothing_measured() -> None:
    measure._results.clear()


def pressed(view: str, label: str, **state: str | int) -> AppTest:
    """The page after its main button, which told its cost before."""
    page = check_no_error(open_view(view, STATE | state, timeout=120))
    assert not [one.value for one in page.warning if "link" in one.value]
    assert "Cost: " in said(page)
    return check_no_error(press(page, label))


def test_start_shows_a_photograph_that_an_invisible_change_turns_into_another_thing():
    """And leads to the page Attack, where that very attack is known by then."""
    page = check_no_error(open_view(timeout=120))
    assert "imagenet_samples/test/13, PGD-10, Linf 2/255 on imagenet-efficientnet_lite0" in said(
        page
    )
    links = {link.proto.label: link.proto.query_string for link in page.get("page_link")}
    state = dict(part.split("=") for part in links["**Attack the photograph**"].split("&"))
    state = {name: value.replace("%2F", "/") for name, value in state.items()}
    page = check_no_error(open_view("attack", state, timeout=120))
    assert [one.value for one in page.warning] == [
        "cannon becomes tricycle: PGD fools the model. Confidence 99\u00a0% in cannon before, "
        ">99\u00a0% in tricycle now."
    ]


@pytest.mark.usefixtures("digits")
def test_attack_opens_with_the_photograph_and_gradients_with_a_digit():
    for view, first in (("attack", MODEL), ("gradients", DIGITS)):
        page = check_no_error(open_view(view, timeout=120))
        assert page.selectbox(key="attack.model").value == first


@pytest.mark.usefixtures("digits")
def test_without_the_photographs_attack_opens_with_digits(monkeypatch):
    monkeypatch.setattr("robust_core.data.samples.package_folder", lambda name: None)
    assert open_view("attack", timeout=120).selectbox(key="attack.model").value == DIGITS
    page = check_no_error(open_view(timeout=120))
    assert "**Attack the photograph**" not in [link.proto.label for link in page.get("page_link")]


def test_attack():
    page = pressed("attack", "Run attack")
    assert page.metric[0].label == "Prediction"
    assert len(page.selectbox(key="attack.class.imagenet_samples").options) == 20  # all, 19 classes


@pytest.mark.parametrize(
    ("view", "label"), [("classes", ""), ("morph", "Morph"), ("attribution", "Explain")]
)
def test_gradients(view, label):
    """Ten of the thousand classes, a backward pass each."""
    state = {"model": MODEL, "view": view}
    page = check_no_error(open_view("gradients", state, timeout=120))
    if label:
        page = check_no_error(press(page, label))
    if view != "attribution":
        assert "Shown are 10 of 1,000 classes" in said(page)


@pytest.mark.parametrize("view", ["targets", "alignment"])
def test_targets_need_training_images(view):
    page = open_view("gradients", {"model": MODEL, "view": view}, timeout=120)
    assert not page.exception
    assert [one.value for one in page.error] == [
        "imagenet_samples has no images to train on, only those of a test."
    ]


def test_hard_pairs():
    page = pressed("hard_pairs", "Run attack")
    assert "of 1,000 classes are labels or predictions here" in said(page)
    for view in ("Pairs", "Similarity", "Gradient", "Self-paced loss"):
        page.session_state["hard_pairs.view"] = view
        check_no_error(page.run())
    assert "This view is for models of up to 100 classes" in said(page)


def test_latent():
    page = pressed("latent", "Map the features", images=10)
    assert "10 images of the test split" in said(page)


def test_retina():
    page = check_no_error(open_view("retina", {"model": MODEL}, timeout=120))
    assert "only the sampler is shown" in said(page)


def test_compare_says_that_there_is_no_other_model():
    page = check_no_error(open_view("compare", {"model": MODEL}, timeout=120))
    assert "Choose at least one more model" in said(page)


def test_robustness():
    before = len(jobs.summaries(EvaluationDirectory))
    page = check_no_error(open_view("robustness", {"model": MODEL}, timeout=120))
    assert "20 test images" in said(page)
    check_no_error(press(page, "Start evaluation"))
    assert len(jobs.summaries(EvaluationDirectory)) == before + 1
