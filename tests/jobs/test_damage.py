"""Any edit of any file in a folder of work is a sentence or a usable part, never another error."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robust_core import jobs
from robust_core.errors import InputError
from robust_core.evaluation_runs import EvaluationDirectory, EvaluationPlan, run_evaluation
from robust_core.jobs.directory import WorkDirectory
from robust_core.training.directory import RunDirectory
from robust_core.training.metrics import EpochMetrics
from robust_core.training.trainer import train
from tests.checkpoints.examples import write_checkpoint
from tests.pretended import end_processes, pretend_processes
from tests.shelves import use_only
from tests.training.conftest import tiny_config

OTHERS = [True, None, -1, 10**400, "x", [], {}, [True], {"x": [None]}]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, a run that was stopped after an epoch, and a finished evaluation."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "pretrained").mkdir()
    write_checkpoint(folder / "pretrained" / "tiny.safetensors", seed=0)
    with pytest.MonkeyPatch.context() as patch:
        use_only(folder, patch)
        run = RunDirectory.create(tiny_config(data={"name": "digits"}))
        train(run=run, should_stop=run.last.exists)
        attack = {"name": "fgsm"}
        curve = {"parameter": "epsilon", "values": [0.0, 0.1]}
        values = {"checkpoints": ["tiny"], "attacks": [attack], "num_images": 6, "batch_size": 3}
        run_evaluation(EvaluationPlan.create(values | {"curves": [curve]}))
    yield folder


@pytest.fixture
def copied(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "copy"
    shutil.copytree(shelf, folder)
    use_only(folder, monkeypatch)
    pretend_processes(monkeypatch)
    yield folder
    end_processes()


def the_job(kind: type[WorkDirectory[Any, Any]]) -> Any:
    (summary,) = jobs.summaries(kind)
    return jobs.find(kind, summary.run_id)


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe" + file.read_bytes())


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "within").touch()


def removed(file: Path) -> None:
    file.unlink()


def a_list(file: Path) -> None:
    file.write_text("[1, 2]")


def nested(file: Path) -> None:
    file.write_text("[" * 100_000)


DAMAGES = [truncated, emptied, no_text, a_folder, removed, a_list, nested]


def files_of(job: Any) -> list[Path]:
    return sorted(path for path in job.path.rglob("*") if path.is_file())


def read_everything(job: Any) -> None:
    """Read all that a page reads; only sentences may come."""
    assert isinstance(job.status().state, str)
    job.log_tail()
    assert job.summary().run_id == job.run_id
    if isinstance(job, RunDirectory):
        metrics, damage = job.metrics(), job.metrics_damage()
        assert all(isinstance(record, EpochMetrics) for record in metrics)
        assert "\n" not in damage
        attempt(job.config)
    else:
        attempt(job.plan)
        results = attempt(job.results)
        if results is not None:
            results.to_json()
            results.to_csv()


def attempt(action: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except InputError as error:
        assert str(error) and "\n" not in str(error)
        return None


def use_up(job: Any) -> None:
    """Resume a job, or be told why not; then delete it, which always works."""
    attempt(jobs.resume, job)
    end_processes()
    attempt(work_on, job)
    jobs.delete(job)
    assert not job.path.exists()


def work_on(job: Any) -> None:
    if isinstance(job, RunDirectory):
        job.withdraw_stop()
        train(run=job, should_stop=lambda: True)
    else:
        run_evaluation(run=job, should_stop=lambda: True)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", [RunDirectory, EvaluationDirectory])
@pytest.mark.slow
def test_every_file_may_be_damaged(kind, damage, copied) -> None:
    for number in range(len(files_of(the_job(kind)))):
        job = the_job(kind)
        kept = job.path.with_name(f"kept-{job.run_id}")
        shutil.copytree(job.path, kept.parent / ".whole")
        damage(files_of(job)[number])
        read_everything(job)
        use_up(job)
        (kept.parent / ".whole").rename(job.path)


@pytest.mark.parametrize("kind", [RunDirectory, EvaluationDirectory])
@pytest.mark.slow
def test_every_value_may_be_of_another_type(kind, copied) -> None:
    job = the_job(kind)
    for file in files_of(job):
        if file.suffix not in (".json", ".jsonl"):
            continue
        whole = file.read_text()
        values = json.loads(whole)
        for name in values:
            for other in OTHERS:
                file.write_text(json.dumps(values | {name: other}) + "\n")
                read_everything(job)
        file.write_text(whole)


@pytest.mark.slow
def test_whole_lines_before_a_damaged_one_are_kept(copied) -> None:
    run = the_job(RunDirectory)
    file = run.path / "metrics.jsonl"
    (record,) = run.metrics()
    assert run.metrics_damage() == ""
    line = file.read_text()
    for bad in ('{"epoch": 2', line.replace("50", "true"), "null\n", '{"epoch": 2}\n'):
        file.write_text(line + bad)
        assert run.metrics() == [record]
        assert "line 2 of metrics.jsonl" in run.metrics_damage()
    file.write_bytes(line.encode() + b"\xff\n" + line.encode())
    assert run.metrics() == [record]
    assert "line 2 of metrics.jsonl should be JSON, but it is no UTF-8" in run.metrics_damage()


def test_a_term_that_is_not_finite_is_kept() -> None:
    record = EpochMetrics(
        epoch=1,
        terms={"loss": float("inf")},
        clean_accuracy=0.5,
        robust_accuracy=0,
        learning_rate=0.1,
        num_images=5,
        seconds=1,
    )
    text = record.model_dump_json()
    assert json.loads(text)["terms"] == {"loss": None}
    again = EpochMetrics.from_json(text, "line 1")
    assert again.terms["loss"] != again.terms["loss"]


@pytest.mark.parametrize("name", ["epochs", "batch_size", "seed"])
def test_true_is_no_number_in_a_configuration(copied, name) -> None:
    run = the_job(RunDirectory)
    values = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(values | {name: True}))
    with pytest.raises(InputError, match=f"{name} should be a number, got true"):
        run.config()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epoch": True}, "epoch should be a valid integer"),
        ({"state": "dancing"}, "state must be one of"),
        ({"error": 3}, "error should be a valid string"),
        ({"step": -1}, "step must be >= 0"),
    ],
)
def test_a_status_of_other_types_is_a_failed_run(copied, change, sentence) -> None:
    run = the_job(RunDirectory)
    values = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(values | change))
    status = run.status()
    assert status.state == "failed"
    assert "status.json is damaged" in status.error and sentence in status.error
