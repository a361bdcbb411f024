import os
import signal
import subprocess
import sys

import pytest
import torch

from robust_core.checkpoints.catalog import checkpoint_info, list_checkpoints, load_model
from robust_core.config.run import RunConfig
from robust_core.errors import InputError
from robust_core.training import evaluator
from robust_core.training.averaging import WeightAverage
from robust_core.training.directory import RunDirectory
from robust_core.training.schedules import epoch_batches, seed_epoch
from robust_core.training.state import create_state
from robust_core.training.trainer import train
from tests.training.conftest import tiny_config
from tests.training.stops import stop_at_call

EVERYTHING = {
    "method": {"name": "fast_at", "parameters": {"epsilon": 0.1, "largest_drop": None}},
    "schedule": {"name": "cyclic"},
    "ema_decay": 0.5,
    "rand_augment": True,
    "epochs": 3,
}


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    return load_model(run.best).state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def last_model(run: RunDirectory) -> dict[str, torch.Tensor]:
    return torch.load(run.last, weights_only=True)["model"]


@pytest.mark.slow
def test_a_run_leaves_everything_behind() -> None:
    statuses = []
    run = train(tiny_config(), on_progress=statuses.append)
    status = run.status()
    assert (status.state, status.epoch, status.error) == ("finished", 2, None)
    assert not run.last.exists()  # nothing is left to resume
    assert status.step == status.num_steps == 10
    assert {"starting", "training", "validation", "test", ""} >= {s.phase for s in statuses}
    assert statuses[0].state == "starting"
    metrics = run.metrics()
    assert [record.epoch for record in metrics] == [1, 2]
    assert metrics[0].model_dump().keys() == {
        "epoch",
        "terms",
        "floors",
        "clean_accuracy",
        "robust_accuracy",
        "warning",
        "num_images",
        "learning_rate",
        "seconds",
    }
    assert "adversarial_cross_entropy" in metrics[0].terms
    assert any("epoch 2" in line for line in run.log_tail())
    assert list_checkpoints() == [f"runs/{run.run_id}"]
    card = checkpoint_info(f"runs/{run.run_id}").card
    assert (card.split, card.num_images) == ("test", 50)
    assert card.robust[0].attack.parameters["num_steps"] == 1
    assert not [path for path in run.path.iterdir() if path.suffix == ".part"]


@pytest.mark.slow
def test_a_model_at_chance_is_told_in_the_curve_and_the_log() -> None:
    run = train(tiny_config(optimiser={"name": "sgd", "learning_rate": 1e-9}, epochs=1))
    (record,) = run.metrics()
    assert "is at chance level" in record.warning
    assert any("is at chance level" in line for line in run.log_tail())
    adam = {"name": "adam", "learning_rate": 0.02}
    run = train(tiny_config(method={"name": "standard"}, optimiser=adam, epochs=4))
    assert run.metrics()[-1].warning == ""


@pytest.mark.slow
def test_training_learns_and_is_repeatable_and_leaves_the_generator_alone() -> None:
    config = tiny_config(
        method={"name": "standard"}, optimiser={"name": "adam", "learning_rate": 0.02}, epochs=4
    )
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, second = train(config), train(config)
    assert torch.equal(before, torch.random.get_rng_state())
    assert same(weights(first), weights(second))
    assert first.metrics()[-1].clean_accuracy > 0.6
    other = train(tiny_config(**{**config.model_dump(mode="json"), "seed": 1}))
    assert not same(weights(first), weights(other))


@pytest.mark.slow
@pytest.mark.parametrize(("best_by", "epoch"), [("robust_accuracy", 3), ("clean_accuracy", 5)])
def test_best_epoch_is_by_robust_then_clean_accuracy_or_the_other_way_round(
    monkeypatch, best_by, epoch
) -> None:
    results = iter([(0.5, 0.2), (0.4, 0.3), (0.6, 0.3), (0.6, 0.3), (0.9, 0.1)])
    real = evaluator.evaluate

    def scripted(model, x, y, attack, **rest):
        report = real(model, x, y, attack, **rest)
        clean, robust = next(results, (0.0, 0.0))
        mask = torch.arange(report.num_images)
        object.__setattr__(report, "clean_correct", mask < round(clean * report.num_images))
        object.__setattr__(report, "robust_correct", mask < round(robust * report.num_images))
        return report

    monkeypatch.setattr(evaluator, "evaluate", scripted)
    config = tiny_config(epochs=5).model_dump(mode="json")
    config["evaluation"]["best_by"] = best_by
    assert checkpoint_info(train(RunConfig.create(config)).best).epoch == epoch


@pytest.mark.usefixtures("keep_resume_state")
@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 4, 9])
def test_stop_and_resume_end_like_an_uninterrupted_run(limit) -> None:
    config = tiny_config(**EVERYTHING)
    whole = train(config)
    run = RunDirectory.create(config)
    train(run=run, should_stop=stop_at_call(limit))
    status = run.status()
    assert status.state == "stopped"
    assert status.epoch == len(run.metrics())
    train(run=run)
    assert run.status().state == "finished"
    assert same(weights(run), weights(whole))
    assert same(last_model(run), last_model(whole))
    strip = [record.model_copy(update={"seconds": 0}) for record in run.metrics()]
    assert strip == [record.model_copy(update={"seconds": 0}) for record in whole.metrics()]


@pytest.mark.slow
def test_a_run_goes_on_under_the_present_names_of_its_fields() -> None:
    run = RunDirectory.create(tiny_config(epochs=4))
    train(run=run, should_stop=stop_at_call(12))
    assert (run.status().state, run.status().epoch) == ("stopped", 1)
    saved, config = torch.load(run.last), run.path / "config.json"
    old = config.read_text().replace("stop_when_fooled", "stop_when_fallen")
    assert old != config.read_text()
    config.write_text(old)
    torch.save(saved | {"config": old}, run.last)
    train(run=run)
    assert (run.status().state, run.status().epoch) == ("finished", 4)


@pytest.mark.slow
def test_stop_request_before_the_start_stops_during_start_up() -> None:
    run = RunDirectory.create(tiny_config())
    run.request_stop()
    train(run=run)
    assert (run.status().state, run.status().epoch) == ("stopped", 0)
    assert not run.last.exists()
    train(run=run)
    assert run.status().state == "finished"


KILLED_CHILD = """
import os, signal, sys
from pathlib import Path
from robust_core.training.directory import RunDirectory
from robust_core.training.trainer import train

count = iter(range(10**9))
def kill_in_the_middle_of_epoch_two():
    if next(count) == 2 + 5 + 2 + 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return False
train(run=RunDirectory(Path(sys.argv[1])), should_stop=kill_in_the_middle_of_epoch_two)
"""


@pytest.mark.usefixtures("keep_resume_state")
@pytest.mark.slow
def test_sigkill_in_the_middle_of_an_epoch_then_resume_is_bit_for_bit_the_same() -> None:
    config = tiny_config(**EVERYTHING)
    run = RunDirectory.create(config)
    child = subprocess.run(
        [sys.executable, "-c", KILLED_CHILD, str(run.path)],
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert child.returncode == -signal.SIGKILL
    assert run.status().state == "lost"
    assert len(run.metrics()) == 1
    train(run=run)
    whole = train(config)
    assert same(weights(run), weights(whole))
    assert same(last_model(run), last_model(whole))


def test_keyboard_interrupt_is_a_stop_that_goes_on_upwards() -> None:
    run = RunDirectory.create(tiny_config())

    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run=run, should_stop=interrupt)
    assert run.status().state == "stopped"


@pytest.mark.slow
def test_bfloat16_trains_and_saves_float32() -> None:
    run = train(tiny_config(precision="bfloat16", epochs=1))
    assert {value.dtype for value in weights(run).values()} == {torch.float32}
    assert any("in bfloat16" in line for line in run.log_tail())


def test_average_follows_the_formula() -> None:
    state = create_state(tiny_config(), (1, 32, 32), 10, torch.device("cpu"))
    average = WeightAverage(state.model, decay=0.5)
    start = next(average.model.parameters()).clone()
    with torch.no_grad():
        next(state.model.parameters()).add_(1.0)
    average.update(state.model, step=0)
    assert torch.allclose(next(average.model.parameters()), start + 0.9)
    average.update(state.model, step=1000)
    assert torch.allclose(next(average.model.parameters()), start + 0.95)
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_order_of_the_data_comes_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        with torch.random.fork_rng():
            seed_epoch(seed, epoch)
            return torch.cat(epoch_batches(50, 7)).tolist()

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.parametrize(("num_images", "batch_size"), [(50, 7), (10, 3), (9, 3), (2, 5), (7, 7)])
def test_batches_cover_the_images_without_a_last_single_one(num_images, batch_size) -> None:
    batches = epoch_batches(num_images, batch_size)
    seen = torch.cat(batches).tolist()
    assert len(set(seen)) == len(seen) >= num_images - 1
    assert min(len(batch) for batch in batches) > 1


@pytest.mark.slow
def test_card_lists_every_attack_that_was_asked_for() -> None:
    config = tiny_config(epochs=1).model_dump(mode="json")
    fgsm = {"name": "fgsm", "parameters": {"epsilon": 0.2}, "num_repeats": 2}
    config["evaluation"]["further_attacks"] = [fgsm]
    card = checkpoint_info(train(RunConfig.create(config)).best).card
    attacks = [result.attack.model_dump(include={"name", "parameters"}) for result in card.robust]
    assert [attack["name"] for attack in attacks] == ["pgd", "fgsm"]
    assert attacks[1]["parameters"]["epsilon"] == 0.2
    assert [result.attack.num_repeats for result in card.robust] == [1, 2]
    assert all(result.accuracy <= card.clean_accuracy for result in card.robust)
    config["evaluation"]["further_attacks"] = [{"name": "fgsn"}]
    with pytest.raises(InputError, match="unknown attack 'fgsn'"):
        RunConfig.create(config)
