"""What a person may hand over by mistake is refused or warned of, never silently wrong."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import load_model
from robust_core.command_line.main import main
from robust_core.data import ImageSet, load_data
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation_runs import EvaluationDirectory, evaluator, measurement
from tests.checkpoints.examples import write_checkpoint
from tests.shelves import use_only
from tests.toys import LinearModel, SmallNet, labels, middle_images

SHAPE = (1, 4, 4)
PGD = create_attack("pgd", epsilon=0.1, num_steps=3)


class Outputs(nn.Module):
    """A model whose logits pass through a function."""

    def __init__(self, model: nn.Module, change: Any) -> None:
        super().__init__()
        self.model, self.change = model, change
        self.num_classes = model.num_classes
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.change(self.model(x))


def some_nan(logits: Tensor) -> Tensor:
    return torch.where(torch.arange(len(logits))[:, None] == 1, torch.nan, logits)


REFUSED = [
    (some_nan, "finite logits, got NaN or infinity for 1 of"),
    (lambda z: z / 0.0, "finite logits, got NaN or infinity for"),
    (lambda z: z[:, :1], "two classes at least, got 1 logits"),
    (lambda z: (z, z), "must return logits [N,K], got a tuple"),
    (lambda z: z.argmax(1), "must return logits ["),
    (lambda z: {"logits": z}, "must return logits [N,K], got a dict"),
]
NAMES = ["nan", "infinity", "number of classes", "tuple", "classes", "dict"]


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=NAMES)
@pytest.mark.parametrize("attack", [None, PGD], ids=["clean", "pgd"])
def test_outputs_that_are_no_logits_are_refused(change, sentence, attack):
    model = Outputs(LinearModel(SHAPE), change)
    with pytest.raises(InputError) as caught:
        evaluate(model, middle_images(6), labels(6), attack)
    assert sentence in str(caught.value)


def test_probabilities_are_warned_of_and_counted_right():
    model = LinearModel(SHAPE)
    x, y = middle_images(6), labels(6)
    with pytest.warns(UserWarning, match="probabilities instead of logits"):
        report = evaluate(Outputs(model, lambda z: z.softmax(1)), x, y)
    assert torch.equal(report.clean_correct, evaluate(model, x, y).clean_correct)


def test_outputs_of_a_sigmoid_are_warned_of_where_they_are_many():
    model = Outputs(LinearModel(SHAPE), torch.sigmoid)
    with pytest.warns(UserWarning, match="of a sigmoid instead of logits"):
        evaluate(model, middle_images(12), labels(12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(model, middle_images(6), labels(6))


def test_an_attacked_image_without_a_finite_output_counts_as_fallen():
    def overflow(logits: Tensor) -> Tensor:
        if len(logits) == 1:  # the trial at the door
            return logits
        moved = logits.sum(dim=1, keepdim=True) - clean.sum(dim=1, keepdim=True)
        return torch.where(moved.abs() > 1e-3, torch.nan, logits)

    model = LinearModel(SHAPE)
    x = middle_images(6)
    clean = model(x).detach()
    y = clean.argmax(1)
    attack = create_attack("random_search", epsilon=0.01, num_queries=1)
    assert evaluate(model, x, y, attack).robust_accuracy == 1.0
    assert evaluate(Outputs(model, overflow), x, y, attack).robust_accuracy == 0.0


@pytest.mark.parametrize("stated", [True, False], ids=["classes stated", "classes unknown"])
@pytest.mark.parametrize("wrong", [-1, 3], ids=["below", "above"])
def test_labels_out_of_range_are_refused(wrong, stated):
    model = LinearModel(SHAPE)
    if not stated:
        del model.num_classes
    y = labels(6)
    y[2] = wrong
    with pytest.raises(InputError, match=r"labels must be in \[0, "):
        evaluate(model, middle_images(6), y, PGD)


@pytest.mark.parametrize("value", [-0.1, 1.5, 255.0, float("nan")])
def test_images_outside_the_box_are_refused(value):
    x = middle_images(6)
    x[0, 0, 0, 0] = value
    with pytest.raises(InputError, match=r"images must lie in \[0, 1\]"):
        evaluate(LinearModel(SHAPE), x, labels(6))


def test_a_model_in_train_mode_is_warned_of_judged_in_eval_mode_and_left_as_it_was():
    model = SmallNet(num_classes=3)
    model.train()
    x, y = middle_images(8, (1, 8, 8)), labels(8)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match="train mode: it is evaluated in eval mode"):
        report = evaluate(model, x, y, PGD)
    assert model.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(evaluate(model.eval(), x, y, PGD).distance, report.distance)


def test_a_layer_in_train_mode_is_warned_of():
    model = SmallNet(num_classes=3).eval()
    model.layers[3].train()  # Monte Carlo dropout
    with pytest.warns(UserWarning, match="a layer of it, is in train mode"):
        evaluate(model, middle_images(8, (1, 8, 8)), labels(8), PGD)


def test_outputs_that_are_no_numbers_under_attack_are_warned_of():
    model, x = LinearModel(SHAPE), middle_images(6)
    with torch.no_grad():
        smallest, y = model(x).max(dim=1)

    def spoilt(logits: Tensor) -> Tensor:
        if len(logits) == 1:  # the trial at the door
            return logits
        lowered = logits.gather(1, y[:, None]) < smallest[:, None]
        return torch.where(lowered, torch.nan, logits)

    with pytest.warns(UserWarning, match=r"outputs for 6 adversarial image\(s\) are not finite"):
        evaluate(Outputs(model, spoilt), x, y, PGD)


@pytest.mark.filterwarnings("error")
def test_outputs_that_are_no_numbers_beyond_the_radius_count_for_nothing():
    model, x = LinearModel(SHAPE), middle_images(20)
    seen = model(x).argmax(dim=1)
    x, y = x[seen == seen[0]], seen[seen == seen[0]]

    def spoilt(logits: Tensor) -> Tensor:
        return torch.where((logits.argmax(dim=1) == y[0])[:, None], logits, torch.nan)

    attack = create_attack("deepfool", epsilon=1e-4)
    assert evaluate(Outputs(model, spoilt), x, y, attack).robust_accuracy == 1.0


@pytest.mark.parametrize("name", ["batch_size", "eot_samples", "num_repeats"])
def test_counts_below_one_are_refused(name):
    wrong: dict[str, Any] = {name: 0}
    with pytest.raises(InputError, match=f"{name} must be at least 1, got 0"):
        evaluate(LinearModel(SHAPE), middle_images(6), labels(6), PGD, **wrong)


def test_the_largest_seed_is_good_for_several_batches():
    attack = create_attack("worst_case", epsilon=0.1, seed=2**31 - 1)
    report = evaluate(LinearModel(SHAPE), middle_images(6), labels(6), attack, batch_size=3)
    assert report.num_images == 6


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with the checkpoint "tiny"."""
    use_only(tmp_path, monkeypatch)
    (tmp_path / "pretrained").mkdir()
    write_checkpoint(tmp_path / "pretrained" / "tiny.safetensors", seed=0)
    return tmp_path


def command(folder: Path) -> list[str]:
    arguments = ["evaluate", "--model", "tiny", "--attack", "fgsm", "--num-images", "6"]
    return [*arguments, "--run", str(folder)]


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=NAMES)
def test_the_command_line_says_it_in_one_sentence(change, sentence, shelf, monkeypatch, capsys):
    monkeypatch.setattr(measurement, "load_model", lambda name: Outputs(load_model(name), change))
    assert main(command(shelf / "run")) == 2
    err = capsys.readouterr().err.splitlines()
    assert sentence in err[-1]
    status = EvaluationDirectory(shelf / "run").status()
    assert status.state == "failed"
    assert sentence in str(status.error)


@pytest.mark.slow
def test_the_command_line_warns_once(shelf, monkeypatch, capsys):
    def load(name: str) -> nn.Module:
        return Outputs(load_model(name), lambda z: z.softmax(1)).train()

    monkeypatch.setattr(measurement, "load_model", load)
    assert main([*command(shelf / "run"), "--batch-size", "2"]) == 0
    run = EvaluationDirectory(shelf / "run")
    log = "\n".join(run.log_tail())
    assert log.count("the model returns probabilities instead of logits") == 1
    assert "probabilities" in str(run.status().note)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("x_value", "label", "sentence"),
    [(2.0, 0, "images must lie in [0, 1]"), (0.5, 10, "labels must be in [0, 9]")],
)
def test_a_data_set_out_of_range_is_refused(x_value, label, sentence, shelf, monkeypatch, capsys):
    own = load_data("digits").subset(slice(6))
    spoilt = ImageSet(
        own.name,
        own.split,
        torch.full_like(own.x, x_value),
        torch.full_like(own.y, label),
        own.class_names,
        own.index,
    )
    monkeypatch.setattr(evaluator, "images_for", lambda *choice: spoilt)
    assert main(command(shelf / "run")) == 2
    assert sentence in capsys.readouterr().err
