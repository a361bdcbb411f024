import errno

import pytest

from robust_core.command_line.main import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fly"], "unknown command 'fly'"),
        (["train"], "train needs a configuration file"),
        (["train", "none.json"], "no such file"),
        (["train", "--data", "digits"], "needs both --data and --method"),
        (["train", "--data", "digits", "--method", "tradez"], "did you mean 'trades'?"),
        (["train", "--data", "digits", "--method", "trades", "--set", "epochs"], "NAME=VALUE"),
        (
            ["train", "--data", "digits", "--method", "trades", "--set", "method.beta=-1"],
            "beta must be >= 0",
        ),
        (["train", "--resume", "../x"], "unknown run '../x'"),
        (["train", "--run", "/none/there"], "should be a run directory"),
        (["train", "--threads", "0", "x"], "should be a whole number"),
        (["attack"], "required: ATTACK"),
        (["attack", "pdg"], "unknown attack 'pdg' (did you mean 'pgd'?)"),
        (["attack", "pgd"], "required: --model"),
        (["attack", "pgd", "--model", "none"], "unknown checkpoint 'none'"),
        (["attack", "pgd", "--model", "tiny", "--epsilon", "8"], "did you mean 8/255?"),
        (["attack", "pgd", "--model", "tiny", "--epsilon", "8/0"], "divides by zero"),
        (["attack", "pgd", "--model", "tiny", "--epsilon", "none"], "epsilon needs a value"),
        (["attack", "pgd", "--model", "tiny", "--num-steps", "many"], "valid integer"),
        (["attack", "pgd", "--model", "tiny", "--norm", "L7"], "norm must be one of"),
        (["attack", "pgd", "--model", "tiny", "--norm", "L2"], "--norm L2 needs --epsilon"),
        (["attack", "cw", "--model", "tiny", "--norm", "Linf"], "cw has norm L2 only, got --norm"),
        (
            ["attack", "spatial", "--model", "tiny", "--epsilon", "0.1"],
            "spatial has epsilon 1 only",
        ),
        (["attack", "worst_case", "--model", "tiny", "--attacks", "pgd"], "attacks should be JSON"),
        (["attack", "worst_case", "--model", "tiny", "--attacks", "[8]"], "attacks.0 should be"),
        (["attack", "pgd", "--model", "tiny", "--index", "3", "--target", "4"], "the image's own"),
        (["attack", "pgd", "--model", "tiny", "--index", "360"], "must be in [0, 359]"),
        (["attack", "pgd", "--model", "tiny", "--index", "-1"], "must be in [0, 359]"),
        (["attack", "pgd", "--model", "tiny", "--target", "10"], "unknown class in --target"),
        (["attack", "pgd", "--model", "tiny", "--image", "none.png"], "cannot be read"),
        (["attack", "pgd", "--model", "tiny", "--image", __file__], "file that is none"),
        (["attack", "pgd", "--model", "tiny", "--split", "tset"], "did you mean 'test'?"),
        (["attack", "pgd", "--model", "tiny", "--label", "3"], "--label belongs to --image"),
        (["attack", "pgd", "--model", "tiny", "--output", "/none/a.png"], "cannot be written"),
        (["attack", "pgd", "--model", __file__], "damaged, cut short or something else"),
        (
            ["evaluate", "--model", "tiny", "--num-images", "0"],
            "argument --num-images: should be a whole number from 1, got '0'",
        ),
        (["evaluate", "--model", "tiny", "--attack", "pdg"], "unknown attack 'pdg'"),
        (["evaluate", "--model", "tiny", "--norm", "L2"], "--norm L2 needs --epsilon"),
        (
            ["evaluate", "--model", "tiny", "--attack", "spatial", "--norm", "L2"],
            "spatial has norm Linf only, got --norm L2",
        ),
        (
            [
                *["evaluate", "--model", "tiny", "--epsilon", "0.3"],
                *["--attack", "cw", "--attack", "spatial"],
            ],
            "cw has norm L2 only and spatial has epsilon 1 only, got --epsilon 0.3",
        ),
        (["evaluate"], "evaluate needs --model, --plan, --run or --resume"),
        (["evaluate", "--plan", "none.json"], "no such file"),
        (["evaluate", "--plan", "none.json", "--model", "tiny"], "not both"),
        (["evaluate", "--resume", "../x"], "unknown evaluation '../x'"),
        (["evaluate", "--run", "/none/there"], "no such file"),
        (["evaluate", "--model", "tiny", "--curve", "epsilon=1,x"], "--curve expects a parameter"),
        (["evaluate", "--model", "tiny", "--curve", "1,2"], "--curve expects a parameter"),
        (["evaluate", "--model", "tiny", "--curve", "speed=1"], "parameter must be one of"),
        (
            ["evaluate", "--model", "tiny", "--attack", "fgsm", "--curve", "num_steps=1"],
            "no attack of the plan has num_steps",
        ),
        (
            ["evaluate", "--model", "tiny", "--surrogate-mode", "imt"],
            "unknown inference of tiny 'imt'",
        ),
        (["evaluate", "--model", "tiny:imt"], "unknown inference of tiny 'imt'"),
        (["evaluate", "--model", "tiny", "--surrogate", "none"], "unknown checkpoint 'none'"),
        (["evaluate", "--model", "tiny", "--split", "tset"], "did you mean 'test'?"),
        (["evaluate", "--model", "tiny", "--batch-size", "0"], "should be a whole number from 1"),
        (["Evaluate"], "unknown command 'Evaluate' (did you mean 'evaluate'?)"),
        (["attack", "PGD"], "unknown attack 'PGD' (did you mean 'pgd'?)"),
        (
            ["attack", "pgd", "--model", "tiny", "--steps", "5"],
            "unknown option '--steps' (did you mean '--num-steps'?)",
        ),
        (
            ["evaluate", "--model", "tiny", "--eps=0.1"],
            "unknown option '--eps' (did you mean '--epsilon'?)",
        ),
        (["attack", "pgd", "here", "--model", "tiny"], "unexpected here"),
        (["list", "dogs"], "unknown kind 'dogs'"),
        (["list", "--markdown"], "goes with list checkpoints"),
        (["bench", "--repeats", "0"], "should be a whole number"),
        (["bench", "--batches", "1000000000"], "should be at most 16,384, got 1,000,000,000"),
        (["bench", "--steps", "10001"], "should be at most 10,000, got 10,001"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(arguments, sentence, model, capsys) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_full_disk_under_the_output_is_one_sentence(monkeypatch, capsys) -> None:
    def full(text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout.write", full)
        assert main(["list", "attacks"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "error: the output could not be used: no space left on device; what was complete before "
        "is kept\n"
    )


def test_a_bench_without_enough_memory_is_one_sentence(monkeypatch, capsys) -> None:
    def allocate(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("robust_core.command_line.bench_command._measure", allocate)
    assert main(["bench"]) == 2
    assert "expected smaller --batches or --networks" in capsys.readouterr().err
