"""A person's own module in one call: what it is given, what it returns, what is left alone."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

import robust_core as rc
from robust_core.errors import InputError
from robust_core.models.guard import features_of, why_no_features
from robust_core.models.wrapping import WrappedModel
from tests.toys import SmallNet, labels, middle_images

NAMES, SHAPE = ("cat", "dog", "owl"), (3, 16, 16)


class Net(nn.Module):
    """A home-made network, whose forward pass can be varied."""

    def __init__(self, channels: int = 3, change=lambda net, z: net.fc(z)):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 4)  # registered first, called never
        self.conv = nn.Conv2d(channels, 6, 3, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, len(NAMES))
        self.other = nn.Linear(6, len(NAMES))
        self.change = change

    def features_of(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu().mean(dim=(2, 3))

    def forward(self, x: Tensor):
        return self.change(self, self.features_of(x))


class Writes(Net):
    def forward(self, x: Tensor):
        return super().forward(x.sub_(0.5).relu_())


def wrap(module: nn.Module, shape=SHAPE, mean=None, std=None, **more) -> WrappedModel:
    return rc.wrap_model(module, mean=mean, std=std, class_names=NAMES, image_shape=shape, **more)


def gradient(model, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(model(x)[:, 0].sum(), x)[0]


@pytest.mark.parametrize(
    "module",
    [Net(), get_model("shufflenet_v2_x0_5", weights=None, num_classes=3)],
    ids=["home-made", "torchvision"],
)
def test_three_lines_wrap_attack_and_evaluate(module):
    x, y = middle_images(12, SHAPE), labels(12)
    model = wrap(module, mean=(0.5, 0.4, 0.3), std=0.25)
    attack = rc.create_attack("pgd", epsilon=0.1, num_steps=3)
    report = rc.evaluate(model, x, y, attack)
    mean = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)
    expected = copy.deepcopy(module).eval()((x - mean) / 0.25)
    torch.testing.assert_close(model(x), expected)
    assert report.clean_accuracy == (expected.argmax(1) == y).float().mean()
    assert report.robust_accuracy <= report.clean_accuracy
    assert (model.image_shape, model.num_classes, model.class_names) == (SHAPE, 3, NAMES)
    assert model.has_features and not model.stochastic
    torch.testing.assert_close(model.head(model.features(x)), expected)


def test_the_module_itself_is_left_alone_and_does_not_change_what_was_wrapped():
    module = Net().train()
    state = copy.deepcopy(module.state_dict())
    model, x = wrap(module), middle_images(4, SHAPE)
    before = model(x)
    assert module.training and module.fc.weight.requires_grad and isinstance(module.fc, nn.Linear)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        module.fc.weight.zero_()
        module(x)
    assert torch.equal(model(x), before)


def test_features_are_what_the_last_called_linear_layer_sees():
    module = Net().eval()
    model, x = wrap(module), middle_images(4, SHAPE)
    torch.testing.assert_close(model.features(x), module.features_of(x))
    assert model.num_features == 6
    assert model.class_layer is not None
    assert torch.equal(model.class_layer.weight, module.fc.weight)
    assert {model.own_key(key) for key in module.state_dict()} == set(model.state_dict())


class Branches(Net):
    """Does another thing with some images: `where` is asked for their mean."""

    def __init__(self, where):
        super().__init__()
        self.where = where
        nn.init.zeros_(self.fc.bias)  # as many networks begin

    def forward(self, x):
        return super().forward(x) * (2 if self.where(float(x.mean())) else 1)


@pytest.mark.parametrize("where", [lambda mean: mean > 0, lambda mean: mean < -0.25])
def test_a_network_that_branches_has_no_features_and_keeps_both_branches(where):
    module = Branches(where).eval()
    model = wrap(module, mean=0.5, std=0.5)
    assert "not the output of its last linear layer" in why_no_features(model)
    dark, bright = middle_images(4, SHAPE) / 4, 1 - middle_images(4, SHAPE) / 4
    for x in (dark, bright):
        torch.testing.assert_close(model(x), module((x - 0.5) / 0.5))


@pytest.mark.parametrize(
    ("change", "has_features"),
    [
        (lambda net, z: {"logits": net.fc(z), "loss": None}, True),
        (lambda net, z: {"output": net.fc(z), "hidden": z}, True),
        (lambda net, z: (net.fc(z), z, z[:, :, None]), True),
        (lambda net, z: net.fc(z[:, None].expand(-1, 5, -1)).mean(dim=1), True),  # it is the same
        (lambda net, z: torch.stack([net.fc(one) for one in z]), True),
        (lambda net, z: 2 * net.fc(z), False),
        (lambda net, z: (net.fc(z) + net.other(z)) / 2, False),
        (lambda net, z: z @ net.fc.weight.T, False),
    ],
)
def test_logits_are_taken_out_and_features_found_or_not(change, has_features):
    module = Net(change=change).eval()
    model, x = wrap(module), middle_images(4, SHAPE)
    expected = module(x)
    if isinstance(expected, dict):
        expected = expected.get("logits", expected.get("output"))
    elif isinstance(expected, tuple):
        expected = expected[0]
    torch.testing.assert_close(model(x), expected)
    assert model.has_features == has_features == (not why_no_features(model))
    if has_features:
        torch.testing.assert_close(model.head(model.features(x)), expected)
        return
    assert model.class_layer is None
    assert (model.num_features, set(model.state_dict())) == (
        0,
        {f"module.{key}" for key in module.state_dict()},
    )
    with pytest.raises(InputError, match="this network has no features to show"):
        model.features(x)
    with pytest.raises(InputError, match="this one has none"):
        features_of(model)
    attack = rc.create_attack("feature", epsilon=0.1, num_steps=2, num_targets=2)
    assert attack(model, x, labels(4)).shape == x.shape  # by its logits


def test_probabilities_are_warned_of_and_have_no_features():
    with pytest.warns(UserWarning, match="returns probabilities; wrap it without its softmax"):
        model = wrap(Net(change=lambda net, z: net.fc(z).softmax(dim=1)))
    assert not model.has_features


@pytest.mark.parametrize("mean", [None, 0.3])
def test_a_module_that_writes_to_its_input_gets_a_copy(mean):
    model, x = wrap(Writes(), mean=mean, std=mean), middle_images(4, SHAPE)
    before = x.clone()
    assert gradient(model, x).abs().sum() > 0
    assert torch.equal(x, before)
    expected = Writes().eval()(x.clone() if mean is None else (x - 0.3) / 0.3)
    torch.testing.assert_close(model(before), expected)


@pytest.mark.slow
def test_what_is_around_a_network_is_taken_off():
    net, x = Net().eval(), middle_images(4, SHAPE)
    for around in (nn.DataParallel(net), torch.compile(net, backend="eager")):
        assert isinstance(around, nn.Module)
        model = wrap(around)
        assert model.has_features
        assert torch.equal(model(x), net(x))
        assert "module.conv.weight" in model.state_dict()


def test_half_precision_becomes_float32():
    model = wrap(Net().half())
    assert model(middle_images(2, SHAPE)).dtype == torch.float32


def test_grey_images_are_repeated_for_three_channels_and_other_sizes_resized():
    module, x = Net().eval(), middle_images(2, (1, 8, 12))
    model = wrap(module, shape=(1, 8, 12), input_size=16)
    larger = nn.functional.interpolate(x, (16, 16), mode="bilinear")
    torch.testing.assert_close(model(x), module(larger.expand(-1, 3, -1, -1)))
    assert gradient(model, x).abs().sum() > 0
    assert wrap(Net(1), shape=(1, 16, 16))(middle_images(2, (1, 16, 16))).shape == (2, 3)
    three = wrap(module, shape=(1, 16, 16), mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    assert three(middle_images(2, (1, 16, 16))).shape == (2, 3)


def test_a_module_that_draws_is_stochastic():
    noisy = Net(change=lambda net, z: net.fc(z + 0.1 * torch.randn_like(z)))
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert wrap(noisy).stochastic
    assert torch.equal(torch.rand(1), drawn)  # wrapping draws nothing of the caller's


def test_it_can_be_wrapped_inside_inference_mode():
    with torch.inference_mode():
        model = wrap(Net())
    assert gradient(model, middle_images(2, SHAPE)).abs().sum() > 0


class Uncopyable(Net):
    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle 'lock'")


@pytest.mark.parametrize(
    ("module", "changes", "message"),
    [
        (lambda x: x, {}, "the model must be a torch.nn.Module, got a function"),
        (Net(), {"mean": 0.5}, "mean and std belong together"),
        (
            Net(),
            {"mean": (0.5, 0.5), "std": 1.0},
            "mean should have one number or 3 for images of 3 channels, got 2",
        ),
        (
            Net(),
            {"mean": 0.5, "std": 0.0},
            "std should be positive numbers, one a channel, got 0.0",
        ),
        (Net(), {"mean": "no", "std": 1.0}, "mean should be one number a channel, got 'no'"),
        (Net(), {"class_names": "abc"}, "class_names must be a list of names, got 'abc'"),
        (Net(), {"class_names": ["ab", "cd"]}, "the model has 3 outputs, the data 2 classes"),
        (Net(), {"image_shape": (16, 16)}, "image_shape must be (C, H, W), got (16, 16)"),
        (Net(), {"image_shape": (3, 4, 16)}, "images must have a height and a width from 8 to 256"),
        (Net(), {"input_size": 4}, "input_size must be in [8, 1024], got 4"),
        (Net(4), {}, "it raised RuntimeError: Given groups=1"),
        (Net(4), {}, "; input_size resizes the images inside"),
        (Uncopyable(), {}, "the model cannot be copied (TypeError: cannot pickle 'lock')"),
        (
            Net(change=lambda net, z: (net.fc(z), net.other(z))),
            {},
            "the model must return logits [2, 3], got 2 tensors of that shape in a tuple",
        ),
        (
            Net(change=lambda net, z: net.fc(z).repeat(4, 1)),
            {},
            "logits [2,3] for 2 images, got shape [8, 3]: was it made for images of another size?",
        ),
        (Net(change=lambda net, z: "cat"), {}, "must return logits [2, 3], got a str"),
    ],
)
def test_what_cannot_be_wrapped_gets_one_sentence(module, changes, message):
    values = {"mean": None, "std": None, "class_names": NAMES, "image_shape": SHAPE} | changes
    with pytest.raises(InputError) as error:
        rc.wrap_model(module, **values)
    assert message in str(error.value)


def test_normalisation_has_to_be_said():
    with pytest.raises(TypeError, match="mean"):
        rc.wrap_model(Net(), class_names=NAMES, image_shape=SHAPE)  # pyright: ignore


def test_a_plain_module_has_no_features_whatever_it_calls_so():
    assert "SmallNet does not say" in why_no_features(SmallNet())
    vgg = nn.Module()
    vgg.features = nn.Conv2d(3, 4, 3)
    assert why_no_features(vgg)
