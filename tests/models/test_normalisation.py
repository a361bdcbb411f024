"""What networks do with their pixels first, and what a person may say about it."""

import pytest
import torch

from robust_core.errors import InputError
from robust_core.models.base import Normalize, create_model
from robust_core.models.normalisation import NormalizeChannels, NormalizeImages
from tests.models.examples import images


def first_layer(shape=(3, 16, 16), **parameters) -> torch.nn.Module:
    return create_model("preact_resnet18", shape, 5, {"width": 4, **parameters}).normalize  # pyright: ignore[reportReturnType]


def test_the_convention_needs_no_device():
    assert type(first_layer()) is Normalize
    assert Normalize()(torch.empty(1, 3, 4, 4, device="meta")).is_meta
    assert not list(Normalize().buffers())


def test_channels_have_their_own_numbers_and_leave_no_trace_in_the_state():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    layer, x = first_layer(mean=mean, std=std), images()
    assert type(layer) is NormalizeChannels and not layer.state_dict()
    for channel in range(3):
        expected = (x[:, channel] - mean[channel]) / std[channel]
        torch.testing.assert_close(layer(x)[:, channel], expected)
    torch.testing.assert_close(first_layer(mean=(0.0,), std=(1.0,))(x), x)


def test_each_image_by_itself():
    layer, x = first_layer(per_image=True), images(3)
    assert type(layer) is NormalizeImages
    for normalised in layer(x):
        assert normalised.mean().item() == pytest.approx(0.0, abs=1e-6)
        assert normalised.std().item() == pytest.approx(1.0, rel=1e-6)
    flat = torch.full((1, 3, 16, 16), 0.3)
    flat[0, 0, 0, 0] = 0.31  # its deviation is far below 1 / sqrt(768), which divides it
    assert layer(flat).max().item() == pytest.approx((0.01 - 0.01 / 768) * 768**0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "parameters", "message"),
    [
        (
            (3, 16, 16),
            {"mean": (0.5, 0.5)},
            "mean should have one number or 3 for images of 3 channels, got 2",
        ),
        (
            (1, 16, 16),
            {"std": (0.5, 0.5, 0.5)},
            "std should have one number for images of 1 channel, got 3",
        ),
        (
            (3, 16, 16),
            {"per_image": True, "mean": (0.1,)},
            "with per_image true, mean and std should be left out: each image has its own",
        ),
        ((3, 16, 16), {"std": (0.0,)}, "std.0 must be >= 0.001, got 0.0"),
        (
            (3, 20, 20),
            {"padding": "same"},
            'with padding "same" height and width must be multiples of 8, got 20x20',
        ),
    ],
)
def test_what_cannot_be_is_refused(shape, parameters, message):
    with pytest.raises(InputError) as error:
        first_layer(shape, **parameters)
    assert str(error.value) == message


def test_a_shortcut_of_3x3_takes_any_size_with_padding_same():
    parameters = {"width": 4, "padding": "same", "shortcut_kernel": 3}
    model = create_model("preact_resnet18", (3, 21, 20), 5, parameters).eval()
    with torch.no_grad():
        assert model(images(2, (3, 21, 20))).shape == (2, 5)
