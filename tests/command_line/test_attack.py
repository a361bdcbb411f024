import pytest
import torch

from robust_core.attacks.base import ATTACKS
from robust_core.checkpoints.catalog import load_model
from robust_core.command_line.main import main
from robust_core.command_line.options import help_text
from robust_core.command_line.selection import with_threat_models
from robust_core.data import load_data
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.threat_model import Norm, ThreatModel


@pytest.mark.slow
def test_attack_reports_and_saves(model, tmp_path, capsys) -> None:
    output = tmp_path / "adv.png"
    arguments = ["attack", "pgd", "--model", model, "--index", "3", "--num-steps", "2"]
    assert main([*arguments, "--epsilon", "25.5/255", "--output", str(output)]) == 0
    out = capsys.readouterr().out
    for word in ("digits/test/", "num_steps 2", "distance", "before", "after", "outcome"):
        assert word in out
    assert output.read_bytes().startswith(b"\x89PNG")
    assert main(["attack", "fgsm", "--model", model, "--image", str(output), "--target", "3"]) == 0
    assert "taken for" in capsys.readouterr().out


@pytest.mark.slow
def test_attack_takes_the_standard_threat_model_of_the_data(model, capsys) -> None:
    assert main(["attack", "fgsm", "--model", model]) == 0
    assert "Linf, epsilon 25.5/255" in capsys.readouterr().out


LINF, L2 = ThreatModel(Norm.LINF, 0.1), ThreatModel(Norm.L2, 2.0)


CW, SPATIAL = ThreatModel(Norm.L2, 0.5), ThreatModel(Norm.LINF, 1.0)  # their own


@pytest.mark.parametrize(
    ("names", "given", "balls"),
    [
        (["pgd"], {}, [LINF]),
        (["deepfool"], {"epsilon": "0.1"}, [LINF]),  # its own default norm is L2
        (["pgd"], {"norm": "Linf"}, [LINF]),
        (["pgd"], {"norm": "L2", "epsilon": "2"}, [L2]),
        (["cw"], {}, [CW]),
        (["cw"], {"norm": "L2"}, [CW]),
        (["cw"], {"epsilon": "2"}, [L2]),
        (["spatial"], {}, [SPATIAL]),
        (["spatial"], {"norm": "Linf", "epsilon": "1"}, [SPATIAL]),
        (["pgd", "cw", "spatial"], {}, [LINF, CW, SPATIAL]),
        (["fgsm", "cw", "spatial"], {"norm": "L2", "epsilon": "2"}, [L2, L2, SPATIAL]),
        ([], {}, []),
    ],
)
def test_every_attack_gets_as_much_of_the_ball_as_it_can_have(names, given, balls) -> None:
    attacks = [ATTACKS.get(name) for name in names]
    found = with_threat_models(attacks, {"seed": 3, **given}, lambda: [LINF])
    made = [attack.create(values) for attack, values in zip(attacks, found, strict=True)]
    assert [attack.threat_model for attack in made] == balls
    assert {attack.seed for attack in made} <= {3}


def test_standards_that_differ_are_asked_for_only_where_they_matter() -> None:
    pgd, spatial = ATTACKS.get("pgd"), ATTACKS.get("spatial")
    standards = [LINF, ThreatModel(Norm.LINF, 8 / 255)]
    with pytest.raises(InputError, match=r"different standards, .* expected --epsilon"):
        with_threat_models([pgd], {}, lambda: standards)
    (values,) = with_threat_models([pgd], {"epsilon": "0.2"}, lambda: standards)
    assert pgd.create(values).threat_model == ThreatModel(Norm.LINF, 0.2)
    assert with_threat_models([spatial], {}, lambda: standards) == [{"norm": Norm.LINF}]


def test_attacks_of_the_worst_case_are_json(model, capsys) -> None:
    members = '[{"name": "fgsm"}, {"name": "random_search", "parameters": {"num_queries": 2}}]'
    assert main(["attack", "worst_case", "--model", model, "--attacks", members]) == 0
    out = capsys.readouterr().out
    assert "'num_queries': 2" in out
    assert "at most 3 " in out
    default = help_text(ATTACKS.get("worst_case").model_fields["attacks"])
    assert '[{"name":"pgd","parameters":{}},' in default


def test_attack_says_that_the_model_answers_at_random(monkeypatch, model, capsys) -> None:
    assert main(["attack", "fgsm", "--model", model]) == 0
    assert "at random" not in capsys.readouterr().out
    network = type(load_model(model))
    monkeypatch.setattr(network, "stochastic", True)
    assert main(["attack", "fgsm", "--model", model]) == 0
    assert "note      the model is stochastic" in capsys.readouterr().out


def test_a_target_that_is_seen_without_an_attack_is_no_success(model, capsys) -> None:
    subject = load_model(model)
    images = load_data("digits", "test")
    seen = predict_logits(subject, images.x).argmax(dim=1)
    wrong = int((seen != images.y).nonzero()[0])
    target = str(int(seen[wrong]))
    arguments = ["attack", "fgsm", "--model", model, "--index", str(wrong), "--target", target]
    assert main(arguments) == 0
    assert f"misclassified as {target}, the target" in capsys.readouterr().out


def test_outputs_that_are_no_numbers_are_no_answers(monkeypatch, model, capsys) -> None:
    network, index = type(load_model(model)), []
    images = load_data("digits", "test")
    clean = load_model(model)
    right = int((predict_logits(clean, images.x).argmax(dim=1) == images.y).nonzero()[0])
    own = network.forward

    def breaks(spoilt, x):
        logits = own(spoilt, x)
        changed = (x != images.x[right]).flatten(1).any(dim=1, keepdim=True)
        return torch.where(changed | torch.tensor(bool(index)), torch.nan, logits)

    monkeypatch.setattr(network, "forward", breaks)
    arguments = ["attack", "fgsm", "--model", model, "--index", str(right)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "after     outputs that are not finite" in out
    assert "the attack succeeded" in out and "nan" not in out
    index.append("every image")
    assert main(arguments) == 2
    assert "finite logits, got NaN or infinity for 1 of 1 images" in capsys.readouterr().err
