"""What is special to each architecture: sizes of the papers, structure, wrong parameters."""

import math

import pytest
import torch
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import create_model
from robust_core.models.preact_trunk import PreActBlock
from robust_core.models.resnet import ResNetBlock
from robust_core.models.vit import SelfAttention


def num_parameters(name: str, shape=(3, 32, 32), num_classes=10, **parameters) -> int:
    with torch.device("meta"):
        model = create_model(name, shape, num_classes, parameters)
    return sum(parameter.numel() for parameter in model.parameters())


def preact_resnet18_count(width: int, channels: int, num_classes: int) -> int:
    """The count written out: 3x3 and 1x1 convolutions without bias, two numbers a BN channel."""
    count = 9 * channels * width
    before = width
    for group, after in enumerate(width * 2**power for power in range(4)):
        for block in range(2):
            count += 2 * before + 9 * before * after + 2 * after + 9 * after * after
            count += before * after if group > 0 and block == 0 else 0
            before = after
    return count + 2 * before + (before + 1) * num_classes


def test_preact_resnet18_count():
    """ResNet-18 has 11,173,962; pre-activation saves the BN of its three shortcuts, 2 * 896.

    The BN before each convolution and the last one together are as many as ResNet-18's others.
    """
    assert preact_resnet18_count(64, 3, 10) == 11_172_170 == 11_173_962 - 2 * (128 + 256 + 512)
    assert num_parameters("preact_resnet18") == 11_172_170
    assert num_parameters("preact_resnet18", (1, 28, 28), 7, width=24) == preact_resnet18_count(
        24, 1, 7
    )


def test_resnet18_count():
    """11,173,962: the sheets of SPAT and PAG."""
    assert num_parameters("resnet18") == 11_173_962


@pytest.mark.parametrize(
    ("depth", "widen_factor", "num_classes", "millions"),
    [(28, 10, 10, 36.48), (28, 10, 100, 36.54), (40, 4, 10, 8.95), (16, 8, 10, 10.96)],
)
def test_wide_resnet_counts_of_the_papers(depth, widen_factor, num_classes, millions):
    """Table 4 of the WRN paper (8.9 M, 11.0 M, 36.5 M) and the counts of ATLD's classifier."""
    count = num_parameters(
        "wide_resnet", num_classes=num_classes, depth=depth, widen_factor=widen_factor
    )
    assert count / 1e6 == pytest.approx(millions, abs=0.005)


def test_wide_resnet_34_10_count():
    """46,160,474: the sheet of SPAT."""
    assert num_parameters("wide_resnet", depth=34, widen_factor=10) == 46_160_474


def test_vit_count():
    assert num_parameters("vit") == 6_268_810


def test_small_cnn_count():
    conv = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128
    expected = conv + (128 * 4 * 4 + 1) * 128 + (128 + 1) * 10
    assert num_parameters("small_cnn", (1, 32, 32)) == expected
    assert num_parameters("small_cnn", (1, 28, 28)) == expected


def test_residual_networks_shrink_the_map_by_their_strides():
    for name, last in [("preact_resnet18", 4), ("resnet18", 4), ("wide_resnet", 8)]:
        with torch.device("meta"):
            model = create_model(name, (3, 32, 32), 10)
            trunk = model.get_submodule("trunk")
            maps = trunk.blocks(trunk.stem(torch.empty(1, 3, 32, 32)))  # pyright: ignore
        assert maps.shape == (1, model.num_features, last, last)


def test_shortcut_starts_after_the_first_activation_where_shape_changes():
    """Equation by hand, in eval mode with fresh statistics: bn(x) = x / sqrt(1 + 1e-5)."""
    torch.manual_seed(0)
    block = PreActBlock(4, 6, 2).double().eval()
    same = PreActBlock(4, 4, 1).double().eval()
    x = torch.randn(2, 4, 8, 8).double()
    scale = 1 / math.sqrt(1 + 1e-5)

    def active(z: Tensor) -> Tensor:
        return (z * scale).clamp(min=0)

    assert block.shortcut is not None and same.shortcut is None
    expected = block.conv2(active(block.conv1(active(x)))) + block.shortcut(active(x))
    torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(same(x), same.conv2(active(same.conv1(active(x)))) + x)


def test_resnet_block_ends_with_an_activation():
    """Equation by hand, in eval mode with fresh statistics: bn(x) = x / sqrt(1 + 1e-5)."""
    torch.manual_seed(0)
    block = ResNetBlock(4, 6, 2).double().eval()
    same = ResNetBlock(4, 4, 1).double().eval()
    x = torch.randn(2, 4, 8, 8).double()
    scale = 1 / math.sqrt(1 + 1e-5)
    assert block.shortcut is not None and same.shortcut is None
    inner = (scale * block.conv1(x)).clamp(min=0)
    expected = scale * (block.conv2(inner) + block.shortcut.conv(x))
    torch.testing.assert_close(block(x), expected.clamp(min=0))
    inner = (scale * same.conv1(x)).clamp(min=0)
    torch.testing.assert_close(same(x), (scale * same.conv2(inner) + x).clamp(min=0))


def test_wide_resnet_starts_from_the_fan_out_distribution():
    model = create_model("wide_resnet", (3, 32, 32), 10, {"depth": 10, "widen_factor": 2})
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.weight.shape[0] * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    assert not model.get_parameter("classifier.bias").any()


def test_attention_is_that_of_torch_up_to_the_scale():
    """torch's attention divides by sqrt(hidden / heads): four heads are a factor 2 in the query."""
    torch.manual_seed(0)
    hidden, heads = 16, 4
    ours = SelfAttention(hidden, heads).double()
    theirs = nn.MultiheadAttention(hidden, heads, batch_first=True).double()
    with torch.no_grad():
        query = ours.query.weight / 2, ours.query.bias / 2
        theirs.in_proj_weight.copy_(torch.cat([query[0], ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([query[1], ours.key.bias, ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    tokens = torch.randn(3, 7, hidden).double()
    expected, _ = theirs(tokens, tokens, tokens, need_weights=False)
    torch.testing.assert_close(ours(tokens), expected)


def test_vit_sees_where_a_patch_is():
    model = create_model("vit", (1, 8, 8), 3, {"depth": 1, "hidden": 8, "heads": 2}).eval()
    left, right = torch.zeros(2, 1, 1, 8, 8)
    left[..., :4, :4] = 1.0
    right[..., :4, 4:] = 1.0
    with torch.no_grad():
        assert not torch.allclose(model(left), model(right), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("small_cnn", {"width": 3}, "width must be >= 4, got 3"),
        ("small_cnn", {"width": 2000}, "width must be <= 128, got 2000"),
        (
            "small_cnn",
            {"witdh": 8},
            "unknown parameter 'witdh' (did you mean 'width'?); known: width, head, head_bias, "
            "head_normalisation",
        ),
        ("preact_resnet18", {"width": 512}, "width must be <= 128, got 512"),
        (
            "wide_resnet",
            {"depth": 20},
            "depth must be 6n + 4 (one of 10, 16, 22, 28, 34, 40, 46, 52, 58, 64, 70, 76, 82, 88, "
            "94, 100, 106), got 20",
        ),
        ("wide_resnet", {"depth": 4}, "depth must be >= 10, got 4"),
        ("wide_resnet", {"widen_factor": 24}, "widen_factor must be <= 20, got 24"),
        (
            "vit",
            {"hidden": 100},
            "hidden must be a multiple of heads, got hidden 100 and heads 12",
        ),
        ("vit", {"depth": 13}, "depth must be <= 12, got 13"),
        (
            "vit",
            {"patch_size": 5},
            "patch_size must divide the image's height and width, got patch_size 5 for 32x32",
        ),
    ],
)
def test_wrong_parameters(name, parameters, message):
    with pytest.raises(InputError) as error:
        create_model(name, (3, 32, 32), 10, parameters)
    assert str(error.value) == message


def test_vit_with_too_many_patches():
    with pytest.raises(InputError) as error:
        create_model("vit", (3, 96, 96), 10, {"patch_size": 2})
    assert str(error.value) == (
        "vit takes at most 576 patches, got 2304 with patch_size 2 for 96x96: "
        "choose a larger patch_size"
    )


def test_unknown_architecture():
    with pytest.raises(InputError, match=r"unknown model 'wide_resnets' .*did you mean"):
        create_model("wide_resnets", (3, 32, 32), 10)
