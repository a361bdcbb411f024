import re
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.page.gradients import charts
from app.ui.pictures import mosaic
from robust_core.analysis.alignment import alignment
from robust_core.checkpoints.catalog import load_model
from robust_core.data import load_data
from robust_core.methods.parts.gradient_targets import class_means, score_differences, towards
from robust_core.models.denoiser import Denoiser
from tests.app.examples import MASKED, ROBUST, STANDARD, telling_image
from tests.app.page_driver import check_no_error, open_view, press_where_needed, said


def open_page(view: str = "classes", **more: Any) -> AppTest:
    state = {"model": ROBUST, "image": telling_image()[0], "with": STANDARD, "view": view} | more
    return check_no_error(open_view("gradients", state, timeout=60))


def test_the_first_visit_shows_the_gradients_of_two_kinds_of_models():
    page = check_no_error(open_view("gradients", timeout=60))
    assert ROBUST in page.multiselect[0].value
    assert "98th percentile" in said(page)


@pytest.mark.parametrize("display", ["rgb", "three_deviations", "channels", "maximum", "strength"])
def test_every_display_names_its_source(display: str):
    page = open_page(display=display, score="logit")
    assert page.selectbox(key="gradients.display").value == display
    assert ("All tiles share one symmetric scale" in said(page)) == (display == "rgb")
    assert page.segmented_control(key="gradients.scale").disabled == (display != "rgb")
    assert ("Scaled per tile" in said(page)) == (display != "rgb")


def test_a_masked_gradient_is_named():
    assert "gradient masking, not robustness" in said(open_page(**{"with": MASKED}))
    assert "gradient masking" not in said(open_page())


@pytest.mark.slow
def test_the_cosines_with_class_means_are_those_of_the_engine():
    page = open_page("targets", targets="CM")
    train, test = load_data("digits", "train"), load_data("digits", "test")
    chosen = [test.image_id(i) for i in range(len(test))].index(telling_image()[0])
    means = class_means(train.x, train.y, 10)
    for metric, name in zip(page.metric, (ROBUST, STANDARD), strict=True):
        x = test.x[chosen : chosen + 1]
        found = alignment(load_model(name), x, lambda part, _: towards(part, means))
        assert float(metric.value) == pytest.approx(found.mean, abs=6e-4)


@pytest.mark.slow
def test_score_based_targets_are_there_where_a_denoiser_is():
    page = open_page("targets", targets="SBG")
    cosines = [float(metric.value) for metric in page.metric]
    assert len(cosines) == 2
    assert all(-1 <= cosine <= 1 for cosine in cosines)
    denoiser, test = load_model("digits-denoiser"), load_data("digits", "test")
    assert isinstance(denoiser, Denoiser)
    chosen = [test.image_id(i) for i in range(len(test))].index(telling_image()[0])
    draws = torch.randn((4, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    x = test.x[chosen : chosen + 1]
    targets = score_differences(denoiser, x, 2.0, draws)
    found = alignment(load_model(ROBUST), x, lambda part, _: targets)
    assert cosines[0] == pytest.approx(found.mean, abs=6e-4)
    page = open_page("targets", model="shapes-pgd_at", image="shapes/test/0", **{"with": ""})
    assert "Score-based targets (SBG) need a denoiser" in said(page)


def test_each_model_can_have_a_scale_of_its_own():
    page = open_page(scale="own")
    assert "Each model has a symmetric scale of its own" in said(page)
    ends = re.search(r"at ([\d.e-]+), standard ([\d.e-]+)\.", said(page))
    assert ends is not None and float(ends[1]) != float(ends[2])
    alone = open_page(scale="own", **{"with": ""})  # one model has nothing to share
    assert "All tiles share one symmetric scale" in said(alone)


@pytest.mark.slow
def test_alignment_is_told_against_its_baselines_over_many_images():
    page = press_where_needed(open_page("alignment", targets="NN"), "Measure alignment")
    text = said(page)
    assert re.search(r"over a sample of 100 test images the mean cosine .* more\*\* than", text)
    assert "95\u00a0% interval" in text and "another image's target gives" in text
    assert re.search(r"Conflict between the targets of an image: \*\*0\.[1-9]", text)


@pytest.mark.slow
def test_alignment_is_measured_for_every_model_of_the_data_set():
    page = press_where_needed(open_page("alignment", targets="NN"), "Measure alignment")
    page = press_where_needed(page, "Measure all models")
    assert "Best aligned here" in said(page)


@pytest.mark.slow
def test_the_class_morph_stays_within_epsilon_and_the_link_keeps_it():
    page = press_where_needed(open_page("morph", epsilon=4.0), "Morph")
    assert page.slider(key="gradients.epsilon").value == 4.0
    assert "Targeted PGD, L2 4, 40 steps of 0.25" in said(page)


@pytest.mark.slow
def test_methods_that_do_not_apply_are_named():
    page = press_where_needed(open_page("attribution", **{"with": MASKED}), "Explain")
    assert "do not apply to **masked**: its part quantize passes no gradient on" in said(page)
    page = press_where_needed(page, "Measure quality")
    assert "pgd_at, infidelity" in said(page)
    assert "masked, sensitivity" in said(page)


def test_a_bad_link_says_so_and_the_page_works():
    page = open_page("nothing")
    assert "unknown view 'nothing'" in said(page)
    assert "98th percentile" in said(page)


@pytest.mark.slow
def test_the_page_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    press_where_needed(open_page("attribution"), "Explain")
    assert torch.equal(torch.rand(1), expected)


def test_the_shared_limit_is_the_98th_percentile_and_never_zero():
    values = np.concatenate([-np.arange(51.0), np.arange(51.0)]).astype(np.float32)
    assert charts.shared_limit(values) == pytest.approx(49.0, abs=0.1)
    assert charts.shared_limit(np.zeros((2, 3), dtype=np.float32)) == 1.0


def test_a_mosaic_holds_every_tile_and_nothing_between():
    tiles = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    sheet = mosaic(tiles)
    assert np.array_equal(sheet[6:10, 12:16], tiles[1, 2])
    assert np.isnan(sheet[4]).all()
    assert np.isfinite(sheet).sum() == tiles.size


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_signed_maps_have_their_zero_in_the_middle_and_end_at_the_limit(theme: str):
    tiles = np.array([[[[0.0, 4.0], [9.0, -4.0]]]], dtype=np.float32)
    found = 255 * charts.signed_colours(tiles, 4.0, theme)[0, 0]
    low, _, zero, _, high = (
        [int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in charts.SIGNED[theme]
    )
    assert np.allclose(found, [[zero, high], [high, low]], atol=1e-3)


@pytest.mark.parametrize(("task", "words"), [("seed", "(seed 3)"), ("hole", "without its middle")])
@pytest.mark.slow
def test_synthesis_starts_where_it_says_and_stays_within_epsilon(task: str, words: str):
    page = open_page("synthesis", epsilon=4.0, task=task, seed=3)
    page = press_where_needed(page, "Generate")
    assert words in said(page)
    assert "40 steps of 0.25 along the gradient of log p(class), within L2 4" in said(page)
    assert page.segmented_control(key="gradients.task").value == task
