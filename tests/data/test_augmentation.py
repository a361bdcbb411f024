import pytest
import torch

from robust_core.data.augmentation import draw_change, rand_augment
from robust_core.errors import InputError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def augment(name, x, seed=0, **rest):
    change = draw_change(name, x.shape, generator(seed), **rest)
    return x if change is None else change(x)


@pytest.fixture
def x():
    return torch.rand(200, 3, 32, 32, generator=generator())


def test_none_is_no_change(x):
    assert draw_change("none", x.shape) is None


def test_parts_of_a_change_are_the_changes_of_parts(x):
    change = draw_change("crop_flip", x.shape, generator())
    assert change is not None
    pieces = zip(change.tensor_split(3), x.tensor_split(3), strict=True)
    assert torch.equal(torch.cat([part(piece) for part, piece in pieces]), change(x))


def test_gradients_go_back_to_where_the_pixels_came_from(x):
    change = draw_change("shift", x.shape, generator())
    assert change is not None
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(change(x).sum(), x)
    assert int(gradient.sum()) == x.numel()
    assert torch.equal(gradient.unique(), gradient.unique().round())


@pytest.mark.parametrize("name", ["shift", "crop_flip"])
def test_each_image_has_its_own_draw_and_the_seed_decides(name, x):
    same = x[:1].expand(50, -1, -1, -1)
    before = x.clone()
    first, again, other = (augment(name, same, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) > 10
    assert torch.equal(x, before)
    assert first.shape == same.shape and first.dtype == x.dtype


def test_shift_is_every_translation_up_to_two_pixels_with_repeated_edges(x):
    padded = torch.nn.functional.pad(x[:1], [2] * 4, mode="replicate")[0]
    expected = {
        padded[:, row : row + 32, column : column + 32].numpy().tobytes()
        for row in range(5)
        for column in range(5)
    }
    shifted = augment("shift", x[:1].expand(500, -1, -1, -1))
    assert {image.numpy().tobytes() for image in shifted} == expected


@pytest.mark.parametrize(
    ("border", "padding"),
    [
        ("black", {"value": 0.0}),
        ("grey", {"value": 0.5}),
        ("reflect", {"mode": "reflect"}),
    ],
)
def test_crop_flip_is_every_padded_crop_and_its_mirror_image(x, border, padding):
    padded = torch.nn.functional.pad(x[:1], [4] * 4, **padding)[0]
    crops = [padded[:, row : row + 32, col : col + 32] for row in range(9) for col in range(9)]
    plain = {crop.numpy().tobytes() for crop in crops}
    mirrored = {crop.flip(2).numpy().tobytes() for crop in crops}
    changed = augment("crop_flip", x[:1].expand(2000, -1, -1, -1), border=border)
    seen = [image.numpy().tobytes() for image in changed]
    assert set(seen) == plain | mirrored
    assert 900 < sum(image in mirrored for image in seen) < 1100


def test_the_change_grows_with_the_image():
    x = torch.zeros(300, 1, 96, 96)
    x[:, :, 48, 48] = 1
    spots = augment("shift", x).flatten(1).argmax(dim=1)
    assert sorted(set((spots // 96).tolist())) == list(range(42, 55))


def test_an_unknown_name_is_refused(x):
    with pytest.raises(InputError, match=r"unknown augmentation 'shfit' .did you mean 'shift'"):
        draw_change("shfit", x.shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_gives_every_image_operations_of_its_own(x, channels):
    same = x[:1, :channels].expand(40, -1, -1, -1)
    torch.manual_seed(1)
    first = rand_augment(same)
    assert len({image.numpy().tobytes() for image in first}) > 15
    assert first.shape == same.shape and first.dtype == x.dtype
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal((255 * first).round() / 255, first)
    torch.manual_seed(1)
    assert torch.equal(rand_augment(same), first)
