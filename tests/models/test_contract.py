"""What every registered architecture promises."""

import copy
import pickle
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from robust_core.acceleration.optimised import is_optimised, optimised
from robust_core.errors import InputError
from robust_core.models.base import MODELS, create_model, list_models
from robust_core.models.trades_cnn import SMALLEST_SIDE
from tests.models.examples import SMALL, images, settled_model, small_model

SHAPES = [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 32, 32), (3, 16, 24)]


def missing(name: str):
    """A mark for a network whose library is not installed."""
    absent = name == "timm" and find_spec("timm") is None
    return [pytest.mark.skip(reason="timm is not installed")] if absent else []


NAMES = [name for name in list_models() if not MODELS.get(name).from_file]
every_model, every_repeatable_model, every_smooth_model = (
    pytest.mark.parametrize(
        "name", [pytest.param(name, marks=missing(name)) for name in NAMES if usable(name)]
    )
    for usable in (
        lambda name: True,
        lambda name: not MODELS.get(name).stochastic,  # the others have tests of their own
        lambda name: not MODELS.get(name).masking_parts,
    )
)


def test_the_architectures_are_listed():
    assert {"small_cnn", "preact_resnet18", "resnet18", "wide_resnet", "vit"} <= set(list_models())


@every_model
def test_a_network_says_itself_how_it_is_made_fast_or_that_it_is_not(name):
    declared = vars(MODELS.get(name))
    assert "fused_form" in declared, "a form, or None: it is not inherited"
    form, model = declared["fused_form"], small_model(name).requires_grad_(False)
    assert is_optimised(optimised(model)) == (form is not None)
    if form is not None:
        body = form.fuse(model.get_submodule(form.body), torch.float32)
        assert not any(isinstance(part, nn.BatchNorm2d) for part in body.modules())


@every_repeatable_model
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_and_split(name, shape):
    if name == "trades_cnn" and min(shape[1:]) < SMALLEST_SIDE:
        with pytest.raises(InputError, match="at least 16x16 pixels, got 8x8"):
            small_model(name, shape)
        return
    model = small_model(name, shape, num_classes=7)
    x = images(3, shape)
    with torch.no_grad():
        features = model.features(x)
        logits = model(x)
        assert torch.equal(model.head(features), logits)
        assert model(x[:1]).shape == (1, 7)
    assert features.shape == (3, model.num_features)
    assert logits.shape == (3, 7)
    assert logits.isfinite().all()
    assert (model.image_shape, model.num_classes, model.stochastic) == (shape, 7, False)


@every_model
def test_the_class_layer_fits_what_it_weighs(name):
    model = small_model(name)
    layer = model.class_layer
    assert (layer is None) == (name == "denoiser"), "whose one weight is shared by all classes"
    if layer is None:
        return
    with torch.no_grad():
        layer.bias.zero_()
        z = model.features(images())
        torch.testing.assert_close(layer(model.class_features(z)), model.head(z))


@every_model
def test_stl_images_fit(name):
    model = small_model(name, (3, 96, 96))
    with torch.no_grad():
        assert model(images(2, (3, 96, 96))).shape == (2, 5)


@every_repeatable_model
def test_eval_mode_is_deterministic_and_ignores_the_rest_of_the_batch(name):
    model = settled_model(name)
    x = images(6).double()
    with torch.no_grad():
        logits = model(x)
        assert torch.equal(model(x), logits)
        alone = torch.cat([model(image[None]) for image in x])
    torch.testing.assert_close(alone, logits, rtol=1e-10, atol=1e-12)


@every_repeatable_model
def test_normalisation_is_inside(name):
    model = small_model(name)
    seen = []
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(  # without what is padded
        lambda _, inputs: seen.append(inputs[0][:, :, :16, :16])
    )
    with torch.no_grad():
        model(torch.stack([torch.zeros(3, 16, 16), torch.ones(3, 16, 16)]))
    assert torch.equal(seen[0][0], -torch.ones(3, 16, 16))
    assert torch.equal(seen[0][1], torch.ones(3, 16, 16))


@every_smooth_model
def test_input_gradient_agrees_with_finite_differences(name):
    model = settled_model(name)
    x = images(2).double().requires_grad_(True)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).double()
    weights = torch.randn(2, 5, generator=torch.Generator().manual_seed(6)).double()

    def value(step: float) -> torch.Tensor:
        return (weights * model(x + step * direction)).sum()

    (gradient,) = torch.autograd.grad(value(0.0), x)
    with torch.no_grad():
        numeric = (value(1e-6) - value(-1e-6)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-5, atol=1e-7)


@every_smooth_model
def test_double_backward_agrees_with_finite_differences(name):
    """d/dw |grad_x loss|^2, what a gradient penalty such as PAG's needs."""
    model = settled_model(name)
    x = images(2).double().requires_grad_(True)
    weight = model.get_parameter("classifier.weight")
    first = next(p for p in model.parameters() if p.dim() == 4)
    direction = torch.randn(first.shape, generator=torch.Generator().manual_seed(5)).double()

    def penalty() -> torch.Tensor:
        loss = model(x).log_softmax(1)[:, 0].sum()
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        return gradient.square().sum()

    by_first, by_last = torch.autograd.grad(penalty(), [first, weight])
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            first.add_(step * direction)
        values.append(penalty().item())
        with torch.no_grad():
            first.sub_(step * direction)
    numeric = (values[0] - values[1]) / 2e-6
    assert (by_first * direction).sum().item() == pytest.approx(numeric, rel=1e-4)
    assert by_last.abs().sum() > 0


@every_repeatable_model
def test_every_module_is_called_once(name):
    model = small_model(name)
    calls = {}
    for path, module in model.named_modules():
        if not list(module.children()):
            if isinstance(module, nn.Sequential):
                continue  # an empty one stands for nothing to do
            calls[path] = 0

            def count(*_, path=path):
                calls[path] += 1

            module.register_forward_hook(count)
    model(images(2))
    assert set(calls.values()) == {1}


@every_model
def test_nothing_is_modified_in_place(name):
    model = small_model(name)
    written = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func._schema.is_mutable:
                written.append(str(func))
            return func(*args, **(kwargs or {}))

    x = images(2)
    before = x.clone()
    with Watch():
        model(x)
    assert written == []
    assert torch.equal(x, before)
    assert not any(getattr(module, "inplace", False) for module in model.modules())


@every_repeatable_model
def test_activations_are_modules_and_never_bare_functions(name):
    """Captum sees modules only; a functional ReLU gives wrong maps without a word."""
    kinds = {"relu": nn.ReLU, "hardtanh": nn.ReLU6, "gelu": nn.GELU}
    kinds |= {"softmax": nn.Softmax, "max_pool2d": nn.MaxPool2d}
    model = small_model(name)
    called = dict.fromkeys(kinds, 0)

    class Watch(TorchFunctionMode):
        depth = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            function = getattr(func, "__name__", "")
            if function in called and self.depth == 0:
                called[function] += 1
            self.depth += 1
            try:
                return func(*args, **(kwargs or {}))
            finally:
                self.depth -= 1

    with Watch():
        model(images(2))
    for function, kind in kinds.items():
        number = sum(isinstance(module, kind) for module in model.modules())
        assert called[function] == number, function
    assert sum(called.values()) > 0


@every_model
def test_seed_decides_the_weights_and_the_global_generator_is_left_alone(name):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (small_model(name, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@every_repeatable_model
def test_state_dict_travels(name):
    model, other = small_model(name, seed=0), small_model(name, seed=1)
    other.load_state_dict(pickle.loads(pickle.dumps(model.state_dict())))
    x = images(2)
    with torch.no_grad():
        assert torch.equal(other(x), model(x))
        assert torch.equal(copy.deepcopy(model)(x), model(x))


@every_repeatable_model
def test_channels_last_gives_the_same(name):
    model = settled_model(name)
    x = images(3).double()
    with torch.no_grad():
        expected = model(x)
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        actual = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@every_repeatable_model
def test_bfloat16_autocast_trains(name):
    """On 32x32: oneDNN's gradient of a grouped convolution on one pixel can be NaN in bfloat16."""
    shape = (3, 32, 32)
    model = small_model(name, shape).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images(4, shape))
    assert logits.dtype == torch.bfloat16
    logits.float().square().mean().backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path


@every_repeatable_model
def test_no_decision_depends_on_the_data(name):
    """What `torch.compile` needs for one whole graph: a trace that never looks at a value."""
    model = small_model(name)
    traced = torch.fx.symbolic_trace(model)
    with torch.no_grad():
        for x in (images(1), images(3)):
            assert torch.equal(traced(x), model(x))


@every_model
def test_builds_on_the_meta_device(name):
    with torch.device("meta"):
        model = create_model(name, (3, 32, 32), 10)
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert all(parameter.is_meta for parameter in model.parameters())


@every_model
def test_every_parameter_has_help_and_limits_and_defaults_are_valid(name):
    model = small_model(name)
    schema = model.Parameters.model_json_schema()["properties"]
    assert schema
    for field in schema.values():
        assert field["description"].endswith(".")
        if "enum" in field or "anyOf" in field or field.get("type") in ("boolean", "string"):
            continue  # a choice, a switch, a name, or a value that may be automatic
        number = field.get("items", field)  # of one or several
        assert {"minimum", "maximum"} <= number.keys()
        default = field["default"] if number is not field else (field["default"],)
        assert all(number["minimum"] <= one <= number["maximum"] for one in default)
    values = model.Parameters.create(SMALL.get(name, {}))
    assert model.Parameters.create(values.model_dump()) == values
    assert isinstance(hash(values), int)


@every_model
@pytest.mark.parametrize(
    ("shape", "num_classes", "message"),
    [
        ((2, 32, 32), 10, "images must have 1 or 3 channels, got 2"),
        ((3, 4, 32), 10, "images must have a height and a width from 8 to 256 pixels, got 4x32"),
        (
            (3, 32, 512),
            10,
            "images must have a height and a width from 8 to 256 pixels, got 32x512",
        ),
        ((3, 32, 32), 1, "the number of classes must be in [2, 1000], got 1"),
        ((3, 32, 32), 1001, "the number of classes must be in [2, 1000], got 1001"),
    ],
)
def test_shapes_that_no_model_takes(name, shape, num_classes, message):
    with pytest.raises(InputError) as error:
        create_model(name, shape, num_classes)
    assert str(error.value) == message
