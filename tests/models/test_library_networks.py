"""Networks of torchvision and timm compute what the libraries do, and are split where they end."""

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from robust_core.errors import InputError
from robust_core.models.adapted import AdaptedClassifier
from robust_core.models.base import create_model
from robust_core.models.guard import why_no_features
from tests.models.examples import images

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPE, K = (3, 32, 32), 7
needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")


def original(library: str, architecture: str) -> nn.Module:
    torch.manual_seed(1)
    if library == "torchvision":
        return get_model(architecture, weights=None, num_classes=K).eval()
    import timm  # noqa: PLC0415 - optional

    return timm.create_model(architecture, pretrained=False, num_classes=K).eval()


def network(library: str, architecture: str, shape=SHAPE, **more) -> AdaptedClassifier:
    values = {"architecture": architecture, "mean": MEAN, "std": STD, **more}
    model = create_model(library, shape, K, values)
    assert isinstance(model, AdaptedClassifier)
    return model.eval()


def gradient(function, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(function(x)[:, 2].sum(), x)[0]


@pytest.mark.parametrize(
    ("library", "architecture", "num_features"),
    [
        ("torchvision", "shufflenet_v2_x0_5", 1024),
        ("torchvision", "squeezenet1_1", 0),
        ("torchvision", "mobilenet_v3_small", 1024),
        ("torchvision", "mnasnet0_5", 1280),
        ("torchvision", "resnet18", 512),
        ("torchvision", "regnet_y_400mf", 440),  # looks at a number while it is built
        pytest.param("timm", "test_resnet", 96, marks=needs_timm),
        pytest.param("timm", "mobilenetv3_small_050", 1024, marks=needs_timm),
        pytest.param("timm", "resnetv2_18", 0, marks=needs_timm),  # ends in a convolution
    ],
)
@pytest.mark.slow
def test_a_state_dict_of_the_library_fits_and_gives_its_logits(library, architecture, num_features):
    theirs, ours, x = (
        original(library, architecture),
        network(library, architecture),
        images(2, SHAPE),
    )
    state = {ours.own_key(key): value for key, value in theirs.state_dict().items()}
    ours.load_state_dict({key: state[key] for key in state if "num_batches" not in key})  # old file
    ours.load_state_dict(state)

    def normalised(x: Tensor) -> Tensor:
        mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
        return theirs((x - mean) / std)

    with torch.no_grad():
        torch.testing.assert_close(ours(x), normalised(x))
    torch.testing.assert_close(gradient(ours, x), gradient(normalised, x), rtol=1e-4, atol=1e-7)
    assert ours.num_features == num_features
    assert ours.has_features == bool(num_features) == (not why_no_features(ours))
    if num_features:
        assert torch.equal(ours.head(ours.features(x)), ours(x))
    with torch.device("meta"):
        unreal = network(library, architecture)
    assert {key: value.shape for key, value in unreal.state_dict().items()} == {
        key: value.shape for key, value in ours.state_dict().items()
    }


@needs_timm
@pytest.mark.parametrize(
    ("architecture", "size"), [("mobilenetv3_small_050", 32), ("test_vit", 160), ("test_vit3", 160)]
)
def test_features_are_those_of_timm(architecture, size):
    theirs, x = original("timm", architecture), images(2, (3, size, size))
    ours = network("timm", architecture, (3, size, size), mean=(0.0,), std=(1.0,))
    ours.load_state_dict({ours.own_key(key): value for key, value in theirs.state_dict().items()})
    with torch.no_grad():
        maps = theirs.forward_features(x)  # pyright: ignore[reportCallIssue]
        expected = theirs.forward_head(maps, pre_logits=True)  # pyright: ignore[reportCallIssue]
        torch.testing.assert_close(ours.features(x), expected)


@needs_timm
def test_attention_of_timm_has_second_derivatives():
    model = network("timm", "test_vit", (3, 16, 16), input_size=160)
    x = images(1, (3, 16, 16)).requires_grad_(True)
    (first,) = torch.autograd.grad(model(x)[:, 0].sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert second.abs().sum() > 0


@pytest.mark.slow
def test_grey_images_and_images_of_another_size():
    model = network("torchvision", "resnet18", (1, 16, 24), input_size=40)
    x = images(2, (1, 16, 24))
    inputs = model.pixels(x)
    assert inputs.shape == (2, 3, 40, 40)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    larger = nn.functional.interpolate(x, (40, 40), mode="bilinear").expand(-1, 3, -1, -1)
    torch.testing.assert_close(inputs, (larger - mean) / std)
    assert gradient(model, x).abs().sum() > 0
    smaller = network("torchvision", "resnet18", (3, 96, 96), input_size=32, mean=(0,), std=(1,))
    checks = torch.zeros(1, 3, 96, 96)
    checks[..., ::2] = 1.0
    assert smaller.pixels(checks).sub(0.5).abs().max() < 0.1  # smoothed, not sampled


def test_no_layer_works_in_place():
    model = network("torchvision", "resnet18")
    assert not any(getattr(part, "inplace", False) for part in model.modules())


@pytest.mark.parametrize(
    ("library", "parameters", "message"),
    [
        (
            "torchvision",
            {"architecture": "resnet5"},
            "unknown architecture of torchvision 'resnet5' (did you mean 'resnet50'?)",
        ),
        ("torchvision", {"architecture": "fcn_resnet50"}, "unknown architecture of torchvision"),
        pytest.param(
            "timm",
            {"architecture": "hf-hub:timm/resnet18"},
            "unknown architecture of timm 'hf-hub:timm/resnet18'",
            marks=needs_timm,
        ),
        (
            "torchvision",
            {"architecture": "vit_b_16"},
            "torchvision's vit_b_16 does not take such images; set input_size to a side that it "
            "was made for, such as 224: ",
        ),
        (
            "torchvision",
            {"architecture": "vit_h_14"},
            "torchvision's vit_h_14 has 631 million weights; at most 268 million are opened",
        ),
        (
            "torchvision",
            {"mean": (0.5, 0.5)},
            "mean should have one number or 3 for images of 3 channels",
        ),
        ("torchvision", {"std": (0.0,)}, "std.0 must be >= 0.001"),
        ("torchvision", {"input_size": 4}, "input_size must be >= 8, got 4"),
    ],
)
def test_wrong_parameters(library, parameters, message):
    with pytest.raises(InputError) as error, torch.device("meta"):
        create_model(library, SHAPE, K, parameters)
    assert str(error.value).startswith(message)


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("robust_core.models.timm_networks.timm_names", lambda: ())
    with pytest.raises(InputError, match="resnet18 needs timm, which is not installed: pip instal"):
        create_model("timm", SHAPE, K)
