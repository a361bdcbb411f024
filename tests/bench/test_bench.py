import time

import pytest
import torch

from robust_core.bench import contestants as contestants_module
from robust_core.bench.contestants import contestants
from robust_core.bench.sections import all_classes, linearity, robust_accuracy, trained, untrained
from robust_core.bench.timing import gradient_flops, interleaved_medians, peak_memory
from robust_core.bench.training import methods
from robust_core.command_line import bench_command
from robust_core.command_line.main import main

CPU = torch.device("cpu")


def test_medians_take_turns_and_leave_out_the_first():
    order: list[str] = []

    def first() -> None:
        order.append("a")
        time.sleep(0.1 if len(order) == 1 else 0.0)

    seconds = interleaved_medians({"a": first, "b": lambda: order.append("b")}, 3, CPU)
    assert order == ["a", "b"] * 4
    assert 0 <= seconds["a"] < 0.1
    assert list(seconds) == ["a", "b"]


def test_flops_of_a_gradient_are_those_of_the_layers():
    model, x, _ = untrained("small_cnn", {"width": 4}, 1, CPU)
    convolutions = 9 * (3 * 4 * 16**2 + 4 * 8 * 8**2 + 8 * 16 * 4**2)
    products = 16 * 16 * 16 + 16 * 10
    assert gradient_flops(model, x) == 2 * 2 * (convolutions + products)


def test_all_contestants_attack_with_the_same_budget():
    model, x, y = untrained("small_cnn", {"width": 4}, 2, CPU)
    everybody = contestants(CPU)
    assert {"fastest", "float32", "reference"} <= set(everybody)
    for attack in everybody.values():
        x_adv = attack(model, x, y, 2)
        assert 0.02 < float((x_adv - x).abs().max()) <= 8 / 255 + 1e-6


@pytest.mark.slow
def test_sections_say_what_they_measured():
    subject, epsilon = trained("digits-standard", 4, CPU)
    assert epsilon == 0.1
    active = list(robust_accuracy(subject, epsilon, 3, 2))
    assert len(active) == 2
    assert "active set" in active[1]
    assert active[0].split()[-2:] == active[1].split()[-2:]  # the same share stands
    subject = untrained("small_cnn", {"width": 4}, 4, CPU)
    assert len(list(linearity(subject, 1))) == 5
    assert "10 classes" in next(all_classes(subject, 1))


@pytest.mark.slow
def test_the_command_prints_peaks_and_shares(monkeypatch, capsys):
    monkeypatch.setattr(bench_command, "NETWORKS", {"tiny": ("small_cnn", {"width": 4})})
    for module in (contestants_module, bench_command):
        monkeypatch.setattr(module, "is_installed", lambda package: False)
    arguments = ["--repeats", "1", "--networks", "tiny", "--batches", "2", "--steps", "2"]
    assert main(["bench", *arguments, "--sections", "speed", "classes"]) == 0
    out = capsys.readouterr().out
    assert "peak of float32, GFLOP/s: matmul" in out
    assert "small_cnn width 4, 2 images" in out
    assert "GFLOP/s" in out
    assert out.count("torchattacks") == 1
    assert "not installed, so not compared: torchattacks, foolbox, pyautoattack" in out
    assert "fastest: input gradients are computed by" in out


@pytest.mark.slow
def test_the_robust_section_takes_checkpoints(monkeypatch, capsys):
    for module in (contestants_module, bench_command):
        monkeypatch.setattr(module, "is_installed", lambda package: False)
    monkeypatch.setattr(bench_command, "autoattack", lambda subject, epsilon: ["none"])
    arguments = ["--checkpoints", "digits-standard", "--batches", "2", "--sections", "robust"]
    assert main(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    assert "PGD-50x5, Linf 0.1, digits-standard, the first 2 test images" in out
    assert "small_cnn" not in out


@pytest.mark.slow
def test_a_training_step_is_measured_beside_pgd_at():
    lines = list(methods("digits", CPU, 1, ["standard"]))
    assert [line.split()[0] for line in lines] == ["pgd_at", "standard"]
    assert lines[0].count("1.00 x") == 2
    ratios = [float(part.split()[-1]) for part in lines[1].split(" x")[:2]]
    assert 0 < ratios[0] < 0.8  # one pass, not eleven


def test_peak_memory_is_what_is_held_at_once():
    def work() -> None:
        first = torch.zeros(2**20)  # 4 MiB
        del first
        second = torch.zeros(2**21)  # 8 MiB
        _third = second + 1

    assert peak_memory(work, CPU) == pytest.approx(16, rel=0.01)
