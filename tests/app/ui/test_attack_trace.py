import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from app.ui import charts, models
from app.ui.browser.player import player_data
from app.ui.forms import has_form
from app.ui.traces import attack_image
from app.ui.units import duration_words
from app.ui.words import attack_outcome, permissions
from robust_core.attacks.base import ATTACKS, create_attack
from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info
from robust_core.errors import InputError
from robust_core.evaluation.trace import MOST_FRAMES, trace_attack
from robust_core.models.base import create_model
from robust_core.threat_model import Norm

NAMES = ("zero", "one", "two", "three")


@pytest.fixture
def model():
    return (
        create_model("small_cnn", (1, 8, 8), len(NAMES), {"width": 4}).eval().requires_grad_(False)
    )


@pytest.fixture
def x():
    return torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(3))


def info(method="standard", digest="a", low=0.0) -> CheckpointInfo:
    """A checkpoint whose lowest number has a 95 % interval from `low`."""
    network = SimpleNamespace(name="small_cnn")
    config: Any = SimpleNamespace(method=SimpleNamespace(name=method), model=network)
    result = SimpleNamespace(accuracy=low + 0.05, interval=(low, low + 0.1))
    better = SimpleNamespace(accuracy=0.99, interval=(0.9, 1.0))
    card: Any = SimpleNamespace(results_of=lambda inference: [better, result])
    return CheckpointInfo(
        digest, Path(), digest, config, (1, 8, 8), len(NAMES), NAMES, epoch=1, measured=card
    )


def own_label(model, x) -> int:
    return int(model(x[None]).argmax())


def test_the_trace_has_every_step_and_ends_with_the_result(model, x):
    attack = create_attack("pgd", epsilon=0.1, num_steps=6)
    trace = trace_attack(model, x, own_label(model, x), attack)
    assert [frame.index for frame in trace.frames] == list(range(7))
    assert torch.equal(trace.frames[-1].x_adv, trace.x_adv)
    assert torch.equal(trace.x_adv, attack(model, x[None], torch.tensor([trace.label]))[0])
    assert trace.distance == pytest.approx(float(trace.delta.abs().max()))
    assert trace.distance <= 0.1 + 1e-6


def test_long_attacks_are_thinned_and_still_end_with_the_result(model, x):
    attack = create_attack("pgd", epsilon=0.001, num_steps=170, num_restarts=3)
    trace = trace_attack(model, x, own_label(model, x), attack)
    assert len(trace.frames) <= MOST_FRAMES + 2 * 3 + 1
    assert {frame.restart for frame in trace.frames} == {0, 1, 2}
    assert max(frame.index for frame in trace.frames) == 170
    assert torch.equal(trace.frames[-1].x_adv, trace.x_adv)


def test_success_is_decided_by_the_prediction_not_by_the_attack(model, x):
    label = own_label(model, x)
    weak = trace_attack(model, x, label, create_attack("pgd", epsilon=0.0, num_steps=1))
    strong = trace_attack(model, x, label, create_attack("pgd", epsilon=1.0, num_steps=20))
    assert not weak.success and weak.prediction == label
    assert strong.success and strong.prediction != label
    missed = next(k for k in range(len(NAMES)) if k not in (label, weak.prediction))
    aimed = trace_attack(model, x, label, create_attack("fgsm", epsilon=0.0), target=missed)
    assert not aimed.success


def test_survival_looks_at_each_format(model, x):
    trace = trace_attack(model, x, own_label(model, x), create_attack("fgsm", epsilon=1.0))
    assert [row.change for row in trace.survival] == [
        "As computed",
        "Rounded to 8 bits",
        "PNG",
        "JPEG, quality 90",
        "JPEG, quality 75",
    ]
    assert trace.survival[1].confidence == pytest.approx(trace.survival[2].confidence, abs=1e-6)


def test_a_trace_never_comes_back_for_another_request(model, x, monkeypatch):
    monkeypatch.setattr(models, "load_model", lambda info: model)
    label, attack = own_label(model, x), create_attack("pgd", epsilon=0.05, num_steps=2)

    def run(x=x, label=label, attack=attack, target=None, digest="a"):
        shipped = replace(checkpoint_info("digits-standard"), digest=digest)
        return attack_image(shipped, x, label, attack, target)

    first = run()
    assert run() is first
    others = [
        run(x=x.flip(2)),
        run(x=x.flip(1)),
        run(label=(label + 1) % 4),
        run(attack=create_attack("pgd", epsilon=0.05, num_steps=2, seed=1)),
        run(attack=create_attack("mim", epsilon=0.05, num_steps=2)),
        run(target=(label + 1) % 4),
        run(digest="b"),
    ]
    assert len({id(trace) for trace in [first, *others]}) == 8


def test_verdicts_name_what_happened(model, x):
    label = own_label(model, x)
    still = trace_attack(model, x, label, create_attack("pgd", epsilon=0.0, num_steps=1))
    assert attack_outcome(still, info("pgd_at")).outcome == "resists"
    assert "the model resists PGD" in attack_outcome(still, info("pgd_at", low=0.3)).sentence
    assert "robust model resists PGD" in attack_outcome(still, info("pgd_at", low=0.6)).sentence
    assert "standard model resists PGD" in attack_outcome(still, info()).sentence
    broken = trace_attack(model, x, label, create_attack("pgd", epsilon=1.0, num_steps=20))
    assert attack_outcome(broken, info()).outcome == "fooled"
    assert (
        f"{NAMES[label]} becomes {NAMES[broken.prediction]}"
        in attack_outcome(broken, info()).sentence
    )
    wrong = trace_attack(model, x, (label + 1) % 4, create_attack("fgsm", epsilon=0.0))
    assert attack_outcome(wrong, info()).outcome == "wrong"


def test_what_was_wrong_before_is_not_counted_as_the_work_of_a_targeted_attack(model, x):
    own = own_label(model, x)
    strong = create_attack("pgd", epsilon=1.0, num_steps=40)
    others = [k for k in range(4) if k != own]
    goal = next(k for k in others if trace_attack(model, x, own, strong, target=k).success)
    label = next(k for k in others if k != goal)
    still = trace_attack(model, x, label, create_attack("fgsm", epsilon=0.0), target=own)
    found = attack_outcome(still, info())
    assert found.outcome == "wrong"
    assert f"classifies this {NAMES[label]} as {NAMES[own]}, the target," in found.sentence
    led = trace_attack(model, x, label, strong, target=goal)
    assert led.success
    found = attack_outcome(led, info())
    assert found.outcome == "moved"
    assert f"classifies this {NAMES[label]} as {NAMES[own]} without any attack" in found.sentence
    assert f"makes it {NAMES[goal]}, the target" in found.sentence
    weak = trace_attack(model, x, label, create_attack("fgsm", epsilon=0.0), target=goal)
    assert attack_outcome(weak, info()).outcome == "wrong"


def test_a_label_lost_beyond_the_budget_is_no_success(model, x):
    attack = create_attack("fab", epsilon=0.001, num_steps=6)
    trace = trace_attack(model, x, own_label(model, x), attack)
    assert trace.prediction != trace.label and trace.distance > 0.001
    assert not trace.success
    found = attack_outcome(trace, info())
    assert found.outcome == "beyond"
    assert "beyond the perturbation budget of 0.255/255" in found.sentence


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ATTACKS.names() if has_form(ATTACKS.get(name))])
def test_every_attack_can_be_recorded_played_and_explained(name, model, x):
    cheap = {
        "num_rotations": 3,
        "num_steps": 4,
        "num_queries": 9,
        "num_samples": 2,
        "num_binary_searches": 2,
    }
    fields = ATTACKS.get(name).model_fields
    values: dict[str, Any] = {key: cheap[key] for key in cheap if key in fields}
    if name == "autoattack":
        values["epsilon"] = 0.9  # its parts cannot be shortened, but an image that falls ends them
    attack = create_attack(name, **values)
    label = own_label(model, x)
    for target in (None, (label + 1) % len(NAMES)):
        trace = trace_attack(model, x, label, attack, target=target)
        assert torch.equal(trace.frames[-1].x_adv, trace.x_adv)
        assert json.dumps(player_data([trace], ["a"], NAMES, 10), allow_nan=False)
        assert attack_outcome(trace, info()).sentence.endswith((".", ")."))
        assert len(permissions(attack, None)) == 4


def test_permissions_state_norm_budget_steps_and_starts():
    linf = " ".join(permissions(create_attack("pgd", epsilon=8 / 255, num_restarts=5), None))
    assert "8/255" in linf and "20 steps, 5 restarts" in linf and "any wrong class" in linf
    assert "white box" in linf
    l2 = " ".join(permissions(create_attack("fgsm", norm=Norm.L2, epsilon=0.5), "cat"))
    assert "at most 0.5" in l2 and "at most 1 pass " in l2 and "class cat" in l2
    square = " ".join(permissions(create_attack("square", num_queries=50), None))
    assert "no gradients (black box)" in square and "50 queries" in square


def test_bars_keep_one_class_order_and_show_both_winners():
    before = np.array([0.05, 0.7, 0.1, 0.05, 0.03, 0.03, 0.04], dtype=np.float32)
    after = np.array([0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.9], dtype=np.float32)
    classes = charts.top_classes(before, after)
    assert len(classes) == 5 and classes[0] == 1 and 6 in classes
    clean, adversarial = charts.probability_bars(before, after, "abcdefg").to_dict()["data"]
    assert list(clean["y"]) == list(adversarial["y"])
    assert clean["marker"]["color"] == charts.CLEAN
    assert adversarial["marker"]["color"] == charts.ADVERSARIAL


def test_durations_are_rounded_to_what_matters():
    assert [duration_words(s) for s in (0.01, 2.44, 300)] == ["under 0.1 s", "2.4 s", "5 min"]


def test_outputs_that_are_no_numbers_are_nothing_to_show(model, x):
    attack = create_attack("fgsm", epsilon=0.1)
    with torch.no_grad():
        model.get_parameter("classifier.bias")[0] = float("nan")
    with pytest.raises(InputError, match="outputs for the image are not finite"):
        trace_attack(model, x, 1, attack)
