import torch

from robust_core.attacks.base import create_attack
from robust_core.evaluation.accuracy import evaluate
from robust_core.models.base import create_model
from robust_core.models.wrappers import ScaledLogits, with_substituted_backward


def test_scaled_logits_keep_every_prediction():
    model = create_model("small_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ScaledLogits(model, 7.0)(x), 7.0 * model(x))
    assert not ScaledLogits(model, 7.0).training


def test_substituted_backward_keeps_the_forward_pass_and_finds_a_gradient():
    model = create_model("quantized_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    twin = with_substituted_backward(model, model.masking_parts)
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(twin(x), model(x))
    for network, blind in ((model, True), (twin, False)):
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(leaf).sum(), leaf)
        assert (gradient.abs().max() == 0) == blind
    assert {id(p) for p in twin.parameters()} == {id(p) for p in model.parameters()}
    assert model.get_submodule("quantize") is not twin.get_submodule("quantize")


def test_bpda_breaks_what_masks_plain_pgd_and_its_passes_are_counted():
    model = create_model("quantized_cnn", (1, 32, 32), 10, {"width": 8}).eval()
    x = torch.rand(10, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    plain = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    through = create_attack("bpda", epsilon=0.1, num_steps=10, random_start=False)
    assert evaluate(model, x, y, plain).robust_accuracy == 1.0
    report = evaluate(model, x, y, through)
    assert report.robust_accuracy < 0.5
    assert report.backward_passes == 100


def test_bpda_on_a_model_without_masking_parts_is_pgd():
    model = create_model("small_cnn", (1, 16, 16), 5, {"width": 4}).eval()
    x = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    first, second = (create_attack(name, epsilon=0.05)(model, x, y) for name in ("pgd", "bpda"))
    assert torch.equal(first, second)
