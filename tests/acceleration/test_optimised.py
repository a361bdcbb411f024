import copy
import gc
import threading
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust_core.acceleration.compilation import CompiledStep
from robust_core.acceleration.memory import keep_freed_memory
from robust_core.acceleration.mode import (
    Acceleration,
    current_acceleration,
    use_acceleration,
)
from robust_core.acceleration.optimised import exact_model, is_optimised, optimised, search_model
from robust_core.attacks.base import create_attack
from robust_core.attacks.criterion import Criterion
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import (
    class_difference_gradients,
    class_gradients,
    input_gradient,
    predict_logits,
)
from robust_core.models.base import Classifier, create_model
from robust_core.models.small_cnn import SmallCNN, SmallCNNParameters

EPSILON = 0.01
NETWORKS = [
    ("small_cnn", {"width": 4}),
    ("preact_resnet18", {"width": 4}),
    ("preact_resnet18", {"width": 4, "head": "cosine"}),
    ("wide_resnet", {"depth": 10, "widen_factor": 1}),
    ("resnet18", {"width": 4}),
    *(("preact_resnet18", {"width": 4, "activation": a}) for a in ("silu", "gelu", "softplus")),
    ("preact_resnet18", {"width": 4, "shortcut_input": "raw"}),
    ("preact_resnet18", {"width": 4, "shortcut_kernel": 3}),
    ("preact_resnet18", {"width": 4, "shortcut_kernel": 3, "padding": "same"}),
    (
        "preact_resnet18",
        {"width": 4, "shortcut_input": "raw", "shortcut_kernel": 3, "padding": "same"},
    ),
    ("preact_resnet18", {"width": 4, "last_norm": False}),
    ("preact_resnet18", {"width": 4, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.2)}),
    ("preact_resnet18", {"width": 4, "per_image": True}),
    ("wide_resnet", {"depth": 10, "widen_factor": 1, "padding": "same"}),
    ("wide_resnet", {"depth": 10, "widen_factor": 1, "padding": "same", "activation": "silu"}),
    *(("resnet18", {"width": 4, "activation": a}) for a in ("silu", "gelu", "softplus")),
    ("resnet34", {"width": 4}),
    ("resnet50", {"width": 4, "mean": (0.0,), "std": (1.0,)}),
    ("fast_at_cnn", {"width": 4, "mean": (0.0,), "std": (1.0,)}),
]


def network(name="preact_resnet18", parameters=None, *, spread=1.0, seed=0) -> Classifier:
    """A frozen network whose norms have met data: all their numbers differ from the initial."""
    model = create_model(name, (3, 12, 16), 5, parameters or {"width": 4}, seed=seed)
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.copy_(uniform(norm.bias, -0.3, 0.3))
            norm.running_var.copy_(uniform(norm.bias, 0.3, 2.0))
            norm.weight.data.copy_(uniform(norm.bias, 1.1 - spread, 1.5))
            norm.bias.data.copy_(uniform(norm.bias, -0.3, 0.3))
    model.eval().requires_grad_(False)
    head: Any = model.classifier
    if head.bias is not None:  # so that the classes are close, and an attack can win
        head.bias.sub_(model(images(12)).mean(dim=0))
    return model


def images(n=4) -> Tensor:
    return torch.rand(n, 3, 12, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("name", "parameters"), NETWORKS, ids=str)
@pytest.mark.parametrize("spread", [1.0, 2.0], ids=["positive scales", "negative ones too"])
def test_the_twin_is_the_same_function(name, parameters, spread):
    model, x = network(name, parameters, spread=spread), images()
    state = torch.get_rng_state()
    twin = optimised(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert is_optimised(twin)
    assert not is_optimised(model)
    assert type(twin) is type(model)
    torch.testing.assert_close(twin(x), model(x), atol=1e-5, rtol=1e-4)
    assert isinstance(twin, Classifier)
    torch.testing.assert_close(twin.features(x), model.features(x), atol=1e-5, rtol=1e-4)
    criterion = Criterion("cross_entropy", torch.tensor([0, 1, 2, 3]))
    ours, plain = input_gradient(twin, x, criterion), input_gradient(model, x, criterion)
    torch.testing.assert_close(ours.gradient, plain.gradient, atol=1e-5, rtol=1e-3)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in twin.modules())


def test_huge_shifts_stay_where_they_are():
    model, x = network(), images()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.data[0] = 1e-6  # shift / scale is of the order of 10^5
    torch.testing.assert_close(optimised(model)(x), model(x), atol=1e-5, rtol=1e-4)


def test_twins_are_kept_until_the_weights_change():
    model, x = network(), images()
    twin = optimised(model)
    assert optimised(model) is twin
    other = network(seed=1)
    model.load_state_dict(other.state_dict())
    assert optimised(model) is not twin
    torch.testing.assert_close(optimised(model)(x), other(x), atol=1e-5, rtol=1e-4)
    head: Any = model.classifier
    with torch.no_grad():
        head.bias.add_(1.0)
    torch.testing.assert_close(optimised(model)(x), model(x), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_twins_do_not_keep_a_model_alive():
    model = network()
    optimised(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def _hooked(model: Classifier) -> None:
    head: Any = model.classifier
    head.register_forward_hook(lambda module, inputs, output: 2 * output)


def _replaced(model: Classifier) -> None:
    model.set_submodule("normalize", Doubling())


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.requires_grad_(True),
        lambda model: model.train(),
        lambda model: model.get_submodule("trunk.blocks.0.norm1").train(),
        _hooked,
        _replaced,
        lambda model: model.double(),
    ],
)
def test_what_is_not_known_is_attacked_as_it_is(change):
    model = network()
    change(model)
    assert optimised(model) is model


def test_masked_and_foreign_models_are_attacked_as_they_are():
    masked = create_model("quantized_cnn", (3, 8, 8), 3).eval().requires_grad_(False)
    assert optimised(masked) is masked
    foreign = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval().requires_grad_(False)
    assert optimised(foreign) is foreign


def test_the_fused_form_of_a_class_is_not_that_of_its_subclass():
    class Louder(SmallCNN):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    louder = Louder((3, 8, 8), 3, SmallCNNParameters()).eval().requires_grad_(False)
    assert louder.fused_form is not None
    assert optimised(louder) is louder


def test_the_engine_belongs_to_a_context_and_a_thread():
    model = network()
    assert current_acceleration() == Acceleration("float32", "no")
    with use_acceleration(Acceleration("reference")):
        assert optimised(model) is model
        seen: list[Acceleration] = []
        thread = threading.Thread(target=lambda: seen.append(current_acceleration()))
        thread.start()
        thread.join()
        assert seen == [Acceleration()]
    assert optimised(model) is not model


@pytest.mark.parametrize("name", ["pgd", "apgd", "fab", "square", "mim"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.slow
def test_the_same_images_fall_as_in_the_reference(name, precision):
    model, x = network(), images(12)
    y = model(x).argmax(dim=1)
    quick = {"square": {"num_queries": 30}, "fab": {"num_targets": 2, "num_steps": 8}}
    given = quick.get(name, {"num_steps": 5})
    attack = create_attack(name, epsilon=0.06 if name == "square" else EPSILON, **given)
    with use_acceleration(Acceleration("reference")):
        expected = evaluate(model, x, y, attack)
    with use_acceleration(Acceleration(precision)):
        found = evaluate(model, x, y, attack)
    assert 0 < expected.robust_accuracy < 1
    changed = int((found.robust_correct != expected.robust_correct).sum())
    # the margins of an untrained network are near the rounding of bfloat16: a random search that
    # compares them goes another way there
    assert changed <= (0 if precision == "float32" else 6 if name in {"square", "fab"} else 1)
    assert found.forward_passes > 0
    assert (found.backward_passes > 0) == (name != "square")


def test_low_precision_decides_nothing():
    model, x = network(), images(6)
    y = model(x).argmax(dim=1)
    with use_acceleration(Acceleration("bfloat16")):
        ready = optimised(model)
    assert exact_model(ready) is not search_model(ready)
    torch.testing.assert_close(ready(x), model(x), atol=1e-5, rtol=1e-4)
    lies = torch.zeros(6, 5).scatter_(1, ((y + 1) % 5)[:, None], 1.0)  # "all have fallen"
    criterion = Criterion("margin", y)
    assert criterion.is_met(lies).all()
    assert not criterion.fooled(ready, x, lies).any()


def test_what_only_the_low_precision_broke_is_attacked_in_float32():
    model, x = network(), images(6)
    y = model(x).argmax(dim=1)
    attack = create_attack("pgd", num_steps=3, epsilon=EPSILON)
    with use_acceleration(Acceleration("bfloat16")):
        ready: Any = copy.deepcopy(optimised(model))
        ready.search_model.classifier.bias[(y[0] + 1) % 5] += 100.0  # it sees all fallen
        x_adv = attack._settle(ready, x, y, None, x.clone())
    expected = attack(model, x, y)
    stands = predict_logits(model, x).argmax(dim=1) == y
    assert stands.all()
    torch.testing.assert_close(x_adv, expected, atol=2 * EPSILON, rtol=0)
    fallen = predict_logits(model, x_adv).argmax(dim=1) != y
    assert torch.equal(fallen, predict_logits(model, expected).argmax(dim=1) != y)


@pytest.mark.parametrize("num_images", [1, 3])
def test_class_gradients_together_are_those_one_by_one(num_images):
    model, x = network(), images(num_images)
    y = torch.zeros(num_images, dtype=torch.int64)
    ours = class_difference_gradients(optimised(model), x, y)
    plain = class_difference_gradients(model, x, y)
    assert ours.gradient.shape == (num_images, 4, 3, 12, 16)
    torch.testing.assert_close(ours.gradient, plain.gradient, atol=1e-5, rtol=1e-3)
    classes = torch.tensor([[4, 0, 2]]).expand(num_images, -1)

    def score(logits: Tensor, chosen: Tensor) -> Tensor:
        return logits.log_softmax(dim=1).gather(1, chosen[:, None]).squeeze(1)

    together, _ = class_gradients(optimised(model), x, classes, score)
    one_by_one, _ = class_gradients(model, x, classes, score)
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_compiled_step_gives_the_gradient(precision):
    model = network("small_cnn", {"width": 4})
    with use_acceleration(Acceleration(precision)):
        network_ = search_model(optimised(model))
    step = CompiledStep(network_, in_background=False, backend="eager")
    for n in (1, 3, 4):
        x = images(n)
        criterion = Criterion("cross_entropy", torch.arange(n))
        found, plain = step(x, criterion), input_gradient(network_, x, criterion)
        assert found is not None
        torch.testing.assert_close(found[0], plain.gradient, atol=1e-5, rtol=1e-2)
        torch.testing.assert_close(found[1], plain.loss)
        torch.testing.assert_close(found[2], plain.logits)
    assert step(images(), lambda logits: logits.sum(dim=1)) is None  # of no known kind


@pytest.mark.slow
def test_nobody_waits_for_a_compiler_in_the_background(monkeypatch):
    begin, finished = threading.Event(), threading.Event()
    network_ = optimised(network("small_cnn", {"width": 4}))
    step = CompiledStep(network_, in_background=True, backend="eager")
    compile_ = step._compile

    def slowly(*arguments) -> None:
        begin.wait(10)
        compile_(*arguments)
        finished.set()

    monkeypatch.setattr(step, "_compile", slowly)
    x, criterion = images(2), Criterion("margin", torch.tensor([0, 1]))
    assert step(x, criterion) is None
    begin.set()
    assert finished.wait(60)
    found = step(x, criterion)
    assert found is not None
    torch.testing.assert_close(found[0], input_gradient(network_, x, criterion).gradient)


@pytest.mark.slow
def test_without_a_compiler_it_goes_on_eagerly(caplog):
    def no_compiler(graph, inputs):
        raise RuntimeError("no C++ compiler\nand more")

    model, x = network("small_cnn", {"width": 4}), images(2)
    y = model(x).argmax(dim=1)
    step = CompiledStep(optimised(model), in_background=False, backend=no_compiler)
    assert step(x, Criterion("margin", y)) is None
    assert step(x, Criterion("margin", y)) is None
    ours = [record for record in caplog.records if record.name == "robust_core.acceleration"]
    assert len(ours) == 1
    assert "going on without" in ours[0].getMessage()


def test_keeping_memory_does_not_fail():
    assert keep_freed_memory() in {True, False}
