"""The lines beside a result make the same result again; commands are understood by their parser."""

import shlex
from typing import Any

import pytest
import torch

from app.page.compare.recipe import transfer_recipe
from app.page.gradients.recipe import alignment_recipe, attribution_recipe
from app.page.hard_pairs.recipe import confusion_recipe
from app.page.latent.recipe import sample_recipe
from app.page.retina.recipe import views_recipe
from app.ui.recipes import Recipe, attack_line, evaluation_recipe, trace_recipe, training_recipe
from robust_core import load_data, load_model
from robust_core.analysis.alignment import alignment, target_directions
from robust_core.analysis.attribution import attribute
from robust_core.analysis.confusion_run import ConfusionPlan, run_confusion
from robust_core.analysis.retina import default_settings, sampled_views
from robust_core.attacks.base import ATTACKS, create_attack
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.command_line.main import main
from robust_core.config.attack_run import AttackRun
from robust_core.config.presets import preset
from robust_core.config.run import RunConfig
from robust_core.evaluation.trace import trace_attack
from robust_core.evaluation.transfer import transfer_matrix
from robust_core.evaluation_runs import EvaluationPlan, run_evaluation

STANDARD, ATLD = (checkpoint_info(f"digits-{name}") for name in ("standard", "atld"))
IMAGE = "digits/test/12"
PGD = create_attack("pgd", epsilon=0.1, num_steps=3, random_start=False, seed=2)


def done(found: Recipe) -> dict[str, Any]:
    """What the Python lines leave behind."""
    left: dict[str, Any] = {}
    exec(compile(found.python, "recipe", "exec"), left)
    return left


@pytest.mark.parametrize("name", ATTACKS.names())
def test_the_line_of_an_attack_creates_it(name):
    attack = create_attack(name)
    left: dict[str, Any] = {}
    exec("import robust_core as rc\n" + attack_line(attack), left)
    assert left["attack"] == attack


def test_an_attack_on_an_image(capsys):
    data = load_data("digits")
    found = trace_recipe(STANDARD, IMAGE, 12, PGD, 3)
    shown = trace_attack(load_model(STANDARD.name), data.x[12], int(data.y[12]), PGD, target=3)
    again = done(found)["trace"]
    assert again.attack == PGD and again.target == 3
    assert torch.equal(again.x_adv, shown.x_adv) and again.distance == shown.distance
    capsys.readouterr()
    assert main(shlex.split(found.command)[1:]) == 0
    told = capsys.readouterr().out
    assert told.startswith(IMAGE) and f"distance  {shown.distance:.5f}" in told
    assert str(data.class_names[shown.prediction]) in told.partition("after")[2].split()[0]


@pytest.mark.parametrize("name", ["autoattack", "square", "worst_case", "spatial", "adaptive"])
def test_commands_have_every_parameter_of_an_attack(name, monkeypatch):
    seen = []
    monkeypatch.setattr("robust_core.command_line.attack_command.load_subject", seen.append)
    attack = create_attack(name, seed=7)
    command = trace_recipe(STANDARD, IMAGE, 12, attack, None).command
    with pytest.raises(AttributeError):  # nothing is loaded
        main(shlex.split(command)[1:])
    given = {key.removeprefix("parameter "): value for key, value in vars(seen[0]).items()}
    assert given["attack"] == name and str(given["seed"]) == "7"


@pytest.mark.slow
def test_an_evaluation(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    run = AttackRun.create({"name": "pgd", "parameters": PGD.model_dump(mode="json")})
    plan = EvaluationPlan.create(
        {"checkpoints": [STANDARD.name], "attacks": [run], "num_images": 12, "batch_size": 6}
    )
    shown = run_evaluation(plan).results().checkpoints[0].worst_case_accuracy
    found = evaluation_recipe(plan)
    results = done(found)["results"]
    assert results.plan == plan and results.checkpoints[0].worst_case_accuracy == shown
    assert command_of(found, tmp_path, "plan.json", EvaluationPlan) == plan


def test_a_training(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path))
    config = preset("digits", "trades", "quick")
    found, seen = training_recipe(config), []
    monkeypatch.setattr("robust_core.train", seen.append, raising=False)
    with pytest.raises(AttributeError):  # it is not trained here
        done(found)
    assert seen == [config]
    assert command_of(found, tmp_path, "config.json", RunConfig) == config


def command_of(found: Recipe, folder, name: str, kind):
    """What the file of a command says; its last line is a command that takes that file."""
    head, *text, end, command = found.command.splitlines()
    assert (head, end) == (f"cat > {name} <<'END'", "END")
    assert shlex.split(command)[0] == "robust-lab" and shlex.split(command)[-1] == name
    (folder / name).write_text("\n".join(text))
    return kind.from_json(folder / name)


def test_transfer():
    infos = [STANDARD, checkpoint_info("digits-pgd_at")]
    data = load_data("digits").sample(8)
    networks = [load_model(info.name) for info in infos]
    shown = transfer_matrix(networks, data.x, data.y, PGD, batch_size=32)
    again = done(transfer_recipe(infos, PGD, 8))["matrix"]
    assert torch.equal(again.robust_accuracy, shown.robust_accuracy)


def test_a_latent_sample():
    sample = done(sample_recipe(ATLD, PGD, 3, 12))["sample"]
    assert set(sample.features) == {"clean", "noisy", "adversarial", "transformed"}
    assert not bool((sample.images.y == 3).any())


def test_hard_pairs():
    plan = ConfusionPlan.create({"epsilon": 0.1, "num_steps": 2, "num_images": 40})
    images = plan.images_of(load_data("digits"))
    shown = run_confusion(load_model(STANDARD.name), images, plan).confusion()
    assert torch.equal(done(confusion_recipe(STANDARD, plan))["found"].attacked, shown.attacked)


def test_alignment():
    find = target_directions("CM", load_data("digits", "train"), seed=0)
    x = load_data("digits").sample(4).x
    shown = alignment(load_model(STANDARD.name), x, lambda part, _: find(part)).mean
    assert done(alignment_recipe(STANDARD, "CM", None, 4))["found"].mean == shown


def test_attribution():
    x = load_data("digits").x[12]
    shown = attribute(load_model(STANDARD.name), x[None], torch.tensor([4]), "saliency", seed=0)
    maps = done(attribution_recipe(STANDARD, IMAGE, 4))["maps"]
    assert torch.equal(maps["saliency"], shown[0]) and len(maps) > 5


def test_views_of_the_retina():
    settings = default_settings("digits").model_copy(update={"num_samples": 3})
    (shown,) = sampled_views(load_data("digits").x[12], settings, (10, 20), 5)
    left = done(views_recipe(STANDARD, IMAGE, settings, (10, 20), 5))
    assert left["settings"] == settings and torch.equal(left["view"].image, shown.image)
