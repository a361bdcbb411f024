"""A slider and the field beside it show one number."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.page_driver import check, open_view


def shown(page: AppTest, key: str) -> tuple[Any, Any]:
    return page.slider(key=key).value, page.number_input(key=f"{key}.field").value


@pytest.mark.slow
def test_slider_and_field_follow_each_other_and_the_address() -> None:
    page = open_view("gradients", {"model": "digits-standard", "view": "morph", "epsilon": 4.25})
    key = "gradients.epsilon"
    assert shown(page, key) == (4.25, 4.25)
    check(page.number_input(key=f"{key}.field").set_value(3.3).run())
    assert shown(page, key) == (3.3, 3.3)
    check(page.slider(key=key).set_value(2.0).run())
    assert shown(page, key) == (2.0, 2.0)


@pytest.mark.slow
def test_the_field_has_the_slider_s_limits() -> None:
    page = open_view("attack", {"model": "digits-standard"})
    slider = page.slider(key="attack.form.digits.pgd.epsilon.Linf")
    field = page.number_input(key="attack.form.digits.pgd.epsilon.Linf.field")
    assert (field.min, field.max) == (slider.min, slider.max)
    check(page.number_input(key="attack.form.digits.pgd.num_steps.field").set_value(7).run())
    assert shown(page, "attack.form.digits.pgd.num_steps") == (7, 7)
