import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.ui.browser.assets import data_url
from app.ui.browser.player import likeliest_classes, perturbation_picture, player_data
from robust_core.attacks.base import create_attack
from robust_core.evaluation.trace import AttackTrace, Frame

NAMES = ("zero", "one", "two", "three")
CLEAN = (0.7, 0.2, 0.1, 0.0)
LOST = (0.25, 0.125, 0.5, 0.125)


def trace_of(*rows: tuple[float, ...], epsilon: float = 0.2, target: int | None = None):
    """An attack on a grey image of class zero: a frame for each row of probabilities.

    Step i adds 0.1 i to the only pixel.
    """
    x = torch.full((1, 1, 1), 0.4)
    frames = tuple(
        Frame(i, 0, x + 0.1 * i, np.array(row, np.float32), float(i), 1.0 - i, 0.1 * i)
        for i, row in enumerate(rows)
    )
    return AttackTrace(
        attack=create_attack("pgd", epsilon=epsilon, num_steps=5),
        label=0,
        target=target,
        x=x,
        x_adv=frames[-1].x_adv,
        clean=np.array(CLEAN, np.float32),
        adversarial=frames[-1].probabilities,
        distance=frames[-1].distance,
        success=False,
        frames=frames,
        survival=(),
        seconds=0.0,
    )


def data_of(*traces: AttackTrace, gain: float = 2) -> dict[str, Any]:
    return player_data(traces, "abcd"[: len(traces)], NAMES, gain)


def level(url: str) -> int:
    """The one pixel of a picture."""
    return int(np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))[0, 0])


def test_mid_grey_is_no_change_and_the_gain_is_as_stated():
    delta = torch.tensor([[[0.0, 0.02, -0.02, 1.0]]])
    shown = perturbation_picture(delta, 10)
    assert shown[0, 0] == pytest.approx([0.5, 0.6, 0.4, 1.0])


def test_pictures_reach_the_browser_without_loss():
    levels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4) * 5
    url = data_url(torch.from_numpy(levels).float() / 255)
    kind, content = url.split(",")
    assert kind == "data:image/png;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert np.array_equal(picture.transpose(2, 0, 1), levels)


def test_every_frame_of_every_model_is_there_with_its_pictures_and_numbers():
    data = data_of(trace_of(CLEAN, LOST), trace_of(CLEAN, CLEAN, CLEAN, LOST))
    assert [len(model["frames"]) for model in data["models"]] == [2, 4]  # each to its own end
    assert [model["num_steps"] for model in data["models"]] == [1, 3]
    assert [model["name"] for model in data["models"]] == ["a", "b"]
    assert (data["width"], data["height"], level(data["clean"])) == (1, 1, 102)
    assert (data["label"], data["norm"], data["epsilon_words"]) == ("zero", "Linf", "51/255")
    for model in data["models"]:
        assert model["other"] == "two"
        assert model["clean"]["prediction"] == "zero"
        assert model["clean"]["confidence"] == pytest.approx(0.7)
        for i, frame in enumerate(model["frames"]):
            assert frame["index"] == i and frame["restart"] == 0
            assert level(frame["adversarial"]) == round(255 * (0.4 + 0.1 * i))
            assert abs(level(frame["delta"]) - 255 * min(0.5 + 0.1 * i, 1.0)) <= 0.5 + 1e-4
            assert frame["distance_words"] == f"{25.5 * i:.3g}/255"
        last = model["frames"][-1]
        assert (last["prediction"], last["confidence"]) == ("two", 0.5)
        assert (last["p_label"], last["p_other"]) == (0.25, 0.5)


def test_all_models_show_the_probabilities_of_the_same_classes():
    other = (0.0, 0.0, 0.1, 0.9)
    data = data_of(trace_of(CLEAN, LOST), trace_of(CLEAN, other))
    assert data["classes"] == list(NAMES)
    assert data["models"][1]["clean"]["shown"] == pytest.approx(CLEAN)
    assert data["models"][1]["frames"][1]["shown"] == pytest.approx(other)


def test_the_likeliest_classes_hold_every_models_winners_in_a_fixed_order():
    traces = [trace_of(CLEAN, (0.0, 0.1, 0.1, 0.8)), trace_of(CLEAN, (0.0, 0.3, 0.7, 0.0))]
    assert likeliest_classes(traces, 3) == [0, 2, 3]
    assert likeliest_classes(traces[:1], 2) == [0, 3]


def test_new_attacks_are_told_from_the_ones_that_are_shown():
    one, two = trace_of(CLEAN, LOST), trace_of(CLEAN, LOST, epsilon=0.3)
    shown = data_of(one, two)["id"]
    assert data_of(one, two, gain=10)["id"] == shown
    others = [data_of(one), data_of(two, one), data_of(one, two, two), data_of(one, one)]
    assert len({shown, *(data["id"] for data in others)}) == 5


def test_a_target_is_the_class_to_watch():
    assert data_of(trace_of(CLEAN, LOST, target=3))["models"][0]["other"] == "three"


def test_what_is_no_number_becomes_a_value_that_json_has():
    trace = trace_of(CLEAN, LOST)
    first = replace(trace.frames[0], loss=float("nan"), margin=float("inf"))
    data = data_of(replace(trace, frames=(first, trace.frames[1])))
    frame = data["models"][0]["frames"][0]
    assert frame["loss"] is None and frame["margin"] is None
    assert json.dumps(data, allow_nan=False)
