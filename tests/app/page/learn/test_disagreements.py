"""When tools disagree: the section opens by its address, and what it says of us is true."""

import pytest
import torch

from app.page.learn.disagreements import DISAGREEMENTS, find_disagreements
from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.paths import REPOSITORY
from tests.app.page_driver import check, open_view, said
from tests.toys import LinearModel, middle_images

SHAPE = (1, 4, 4)


def test_the_table_opens_by_its_address_and_is_searched() -> None:
    page = open_view("learn", {"section": "tools", "tool": "captum"})
    assert not page.warning
    tools = list(page.table[0].value["Tool"])
    assert len(tools) == len(find_disagreements("captum")) > 2
    check(page.text_input(key="learn.tool").set_value("no such tool").run())
    assert "No row contains these words" in said(page)


def test_scripts_that_are_named_are_there() -> None:
    named = [one.script for one in DISAGREEMENTS if one.script]
    assert named and all((REPOSITORY / "findings" / name).is_file() for name in named)


@pytest.mark.parametrize("change", [lambda x: 2 * x, lambda x: x.half()], ids=["range", "float16"])
def test_attacks_refuse_pixels_out_of_range_and_other_types(change) -> None:
    x, y = middle_images(2, SHAPE), torch.zeros(2, dtype=torch.long)
    x[0, 0, 0, 0] = 0.9
    with pytest.raises(InputError):
        create_attack("pgd", num_steps=1)(LinearModel(SHAPE), change(x), y)


def test_attacks_leave_the_global_generator_alone_and_a_single_step_counts() -> None:
    x, y = middle_images(2, SHAPE), torch.zeros(2, dtype=torch.long)
    before = torch.get_rng_state()
    attack = create_attack("pgd", epsilon=0.1, step_size=0.1, num_steps=1, random_start=False)
    changed = attack(LinearModel(SHAPE), x, y)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.allclose((changed - x).abs(), torch.full_like(x, 0.1), atol=1e-6)


def test_a_small_gradient_moves_a_pixel_as_far_as_a_large_one() -> None:
    x, y = middle_images(2, SHAPE), torch.zeros(2, dtype=torch.long)
    changed = create_attack("fgsm", epsilon=0.1)(LinearModel(SHAPE, scale=1e-7), x, y)
    assert torch.allclose((changed - x).abs(), torch.full_like(x, 0.1), atol=1e-6)
