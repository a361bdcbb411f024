"""A person's own code: run only where it is trusted, kept as data where that can be done."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import robust_core as rc
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.command_line.main import main
from robust_core.errors import InputError
from robust_core.importing.importer import import_model
from robust_core.importing.own_code import Stated, network_of_factory, network_of_program
from robust_core.models.own_code import TRUST, build_network
from tests.importing.test_sources import MEAN, NAMES, SHAPE, STD, Mine, images, normalised
from tests.shelves import use_only

STATED = Stated(MEAN, STD, class_names=NAMES, image_shape=SHAPE)
CODE = """
import torch
from torch import nn

PLAIN = 3

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 5, 3, stride=2), nn.Linear(5, 4)

    def forward(self, x):
        logits = self.fc(self.conv(x).relu().mean(dim=(2, 3)))
        return logits * (2 if float(x.sum()) > 0 else 1)

class Noisy(Branching):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x))

def looking():
    network = Branching()
    values = [float(one) for one in network.conv.weight.flatten()]
    if sorted(values) != sorted(FIRST_VALUES):
        raise ValueError("somebody has taken its first values")
    return network

FIRST_VALUES = [float(one) for one in Branching().conv.weight.flatten()]

def branching():
    return Branching()

def noisy():
    return Noisy()

def failing():
    raise KeyError("width")

def number():
    return 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    use_only(tmp_path / "shelf", monkeypatch)
    monkeypatch.setenv(TRUST, "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "their_code.py").write_text(CODE)
    monkeypatch.delitem(sys.modules, "their_code", raising=False)
    return tmp_path


def command(*more: str) -> list[str]:
    asked = ["import", *more, "--mean", *map(str, MEAN), "--std", *map(str, STD)]
    Path("names.txt").write_text("\n".join(NAMES))
    return [*asked, "--classes", "names.txt", "--image-shape", "3x32x32"]


def import_factory(name: str, weights: Path | None = None):
    model = network_of_factory(name, STATED, weights)
    return import_model(model, class_names=NAMES)


def test_code_runs_only_where_it_is_trusted(folder, capsys, monkeypatch):
    factory = ["--factory", "their_code:branching"]
    assert main(command(*factory)) == 2
    assert "their_code:branching is code, which will run: say so" in capsys.readouterr().err
    assert not list((folder / "shelf").rglob("*.safetensors"))
    monkeypatch.setenv(TRUST, "their_code:noisy")
    with pytest.raises(InputError, match="runs only where it is trusted: robust-lab app --trust-c"):
        build_network("their_code:branching")


@pytest.mark.slow  # tries to export it
def test_what_no_graph_can_say_is_stored_as_weights_and_a_reference(folder, monkeypatch):
    info = import_factory("their_code:branching")
    config: Any = info.config
    assert (info.name, info.config.model.name) == ("imported/branching", "own_code")
    assert "opened as what code of its owner returns, their_code:branching" in config.words
    x = images().clamp(min=0.6)  # bright enough for its first branch
    with torch.no_grad():
        torch.testing.assert_close(rc.load_model(info.name)(x), 2 * Mine()(normalised(x)))
    monkeypatch.setenv(TRUST, "")
    assert checkpoint_info(info.name).class_names == NAMES  # is listed all the same
    with pytest.raises(InputError, match="built by code of its owner, their_code:branching"):
        rc.load_model(info.name)


@pytest.mark.slow
def test_code_may_look_at_the_first_values_of_its_network(folder):
    assert rc.load_model(import_factory("their_code:looking").name).num_classes == len(NAMES)


@pytest.mark.slow
def test_a_stochastic_network_of_a_persons_own_stays_one(folder):
    info = import_factory("their_code:noisy")
    model = rc.load_model(info.name)
    assert model.stochastic
    x = images()
    assert not torch.equal(model(x), model(x))


@pytest.mark.slow
def test_weights_for_a_factory_come_from_a_file(folder):
    theirs = Mine()
    with torch.no_grad():
        theirs.fc.bias.add_(1.0)
    save_file(theirs.state_dict(), folder / "trained.safetensors")
    info = import_factory("their_code:branching", folder / "trained.safetensors")
    x = images().clamp(min=0.6)
    with torch.no_grad():
        torch.testing.assert_close(rc.load_model(info.name)(x), 2 * theirs(normalised(x)))
    save_file({"fc.bias": torch.zeros(4)}, folder / "part.safetensors")
    with pytest.raises(InputError, match=r"part\.safetensors does not fit what their_code:branch"):
        import_factory("their_code:branching", folder / "part.safetensors")


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("their_code:missing", r"cannot be found from .*; start from the folder"),
        ("no_such_module:make", r"cannot be found from .*No module named 'no_such_module'"),
        ("their_code:PLAIN", "should be a function, got a int"),
        ("their_code:failing", "fails when it is called: KeyError: 'width'"),
        ("their_code:number", "should return a network, got a int"),
    ],
)
def test_a_factory_that_does_not_work(factory, sentence):
    with pytest.raises(InputError, match=sentence):
        import_factory(factory)


def test_pixels_of_code_must_be_said():
    with pytest.raises(InputError, match="Say how the code expects its pixels"):
        network_of_factory("their_code:branching", replace(STATED, mean=None, std=None))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--trust-code"], "import needs a file or a folder, --factory, or --list"),
        (["m.pth", "--trust-code"], "--trust-code is for --factory and .pt2 files"),
        (
            ["--factory", "a:b", "--trust-code", "--architecture", "resnet"],
            "code says its network itself",
        ),
    ],
)
def test_what_does_not_go_with_code(capsys, more, sentence):
    assert main(command(*more)) == 2
    assert sentence in capsys.readouterr().err


def exported(module: nn.Module, path: Path, **how: Any) -> Path:
    torch.export.save(torch.export.export(module.eval(), (torch.rand(2, *SHAPE),), **how), path)
    return path


@pytest.mark.slow
def test_an_exported_program_becomes_a_graph(folder, capsys):
    free = {"dynamic_shapes": ({0: torch.export.Dim("n")},)}
    path = exported(Mine(), folder / "mine.pt2", **free)
    assert main(command(str(path))) == 2
    assert "import it on the command line with --trust-code" in capsys.readouterr().err
    assert main(command(str(path), "--trust-code")) == 0
    with torch.no_grad():
        torch.testing.assert_close(
            rc.load_model("imported/mine")(images()), Mine()(normalised(images()))
        )


@pytest.mark.slow
def test_programs_that_cannot_be_used(folder):
    path = exported(Mine(), folder / "two.pt2")
    with pytest.raises(InputError, match=r"two\.pt2 was exported for 2 images at a time"):
        network_of_program(path, STATED)
    (folder / "broken.pt2").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"broken\.pt2 cannot be opened as an exported program"):
        network_of_program(folder / "broken.pt2", STATED)
    with pytest.raises(InputError, match=r"absent\.pt2 cannot be opened"):
        network_of_program(folder / "absent.pt2", STATED)


def test_the_dashboard_trusts_what_is_named(monkeypatch, capsys):
    seen: dict[str, str] = {}

    def start(path: str, command: list[str], environment: dict[str, str]) -> None:
        seen.update(environment)
        raise SystemExit(0)

    monkeypatch.setattr("os.execve", start)
    with pytest.raises(SystemExit):
        main(["app", "--trust-code", "their_code:noisy", "--trust-code", "their_code:branching"])
    assert seen[TRUST] == "their_code:noisy,their_code:branching"
    assert main(["app", "--trust-code", "imported/nothing"]) == 2
    assert "imported/nothing" in capsys.readouterr().err
