"""The names that other people's scripts use, as the design shows them."""

import robust_core as rc
from robust_core.data import ImageSet


def test_every_public_name_is_there_and_documented():
    for name in rc.__all__:
        assert getattr(rc, name).__doc__, name


def test_the_example_of_the_design_runs():
    data = rc.load_data("digits", split="test")
    assert isinstance(data, ImageSet)
    model = rc.load_model("digits-pgd_at")
    attack = rc.create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=5, seed=0)
    x_adv = attack(model, data.x[:64], data.y[:64])
    assert x_adv.shape == data.x[:64].shape
    report = rc.evaluate(model, data.x[:64], data.y[:64], attack)
    assert 0.5 < report.robust_accuracy <= report.clean_accuracy <= 1.0
    found = rc.check_reliability(
        rc.ReliabilityCase(model, data.x[:4], data.y[:4], attack, effort=0.1)
    )
    assert {"gradients", "black_box"} <= {finding.name for finding in found}


def test_lists_name_what_is_there():
    assert {"fgsm", "pgd", "mim"} <= set(rc.list_attacks())
    assert {"standard", "pgd_at", "fast_at", "trades"} <= set(rc.list_methods())
    assert {"small_cnn", "preact_resnet18", "wide_resnet", "vit"} <= set(rc.list_models())
    assert {"digits", "shapes", "mnist", "cifar10"} <= set(rc.list_data())
    assert "digits-standard" in rc.list_checkpoints()
