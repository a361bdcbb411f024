"""A model that was not trained here, and that nothing has attacked yet, on every page."""

import pytest

from app.page.latent import link
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.importing.importer import import_model
from tests.app.page_driver import check_no_error, open_view, press, said
from tests.importing.examples import SCALE, SIZE, digits_network
from tests.shelves import use_only

VIEWS = (
    *("start", "attack", "compare", "gradients", "retina", "hard_pairs", "latent"),
    *("robustness", "models", "train", "learn"),
)
MODEL = "imported/theirs"
STEP = {"attack": "pgd", "num_steps": 1}


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory):
    """A catalogue with a model from elsewhere for digits, and one without a data set."""
    with pytest.MonkeyPatch.context() as patch:
        use_only(tmp_path_factory.mktemp("shelf"), patch)
        patch.setattr(link.IMAGES, "low", 10)
        parameters = {**SIZE, **SCALE}
        import_model(digits_network(), parameters=parameters, data="digits", name="theirs")
        names, shape = list("abcdefghij"), (1, 32, 32)
        words = {"class_names": names, "image_shape": shape, "name": "bare"}
        import_model(digits_network(), parameters=parameters, **words)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_every_page_opens_with_it(view):
    check_no_error(open_view(view, {"model": MODEL}, timeout=60))


@pytest.mark.slow
@pytest.mark.parametrize("view", [view for view in VIEWS if view not in ("train", "learn")])
def test_every_page_opens_with_one_that_has_no_images(view):
    open_view(view, {"model": "imported/bare"}, timeout=60)


@pytest.mark.slow
def test_it_can_be_attacked():
    page = open_view("attack", {"model": MODEL, **STEP}, timeout=60)
    assert not page.error
    if any(button.label == "Run attack" for button in page.button):
        page = check_no_error(press(page, "Run attack"))
    assert page.metric[0].label == "Prediction"
    assert "Robust accuracy: not measured yet" in said(page)
    assert "Imported, opened as wide_resnet" in said(page)


@pytest.mark.slow
def test_the_start_page_lists_it_as_not_measured():
    page = open_view("start")
    assert checkpoint_info(MODEL).measured is None
    rows = [row for table in page.dataframe for row in table.value.to_dict("records")]
    assert {"not measured yet"} == {row["Checks"] for row in rows if "Gap" in row}
