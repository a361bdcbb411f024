# ruff: noqa: PLC0415 - AppTest runs the source of the page function alone
from typing import Annotated, Literal

import pytest
from pydantic import Field
from streamlit.testing.v1 import AppTest

from app.ui.forms import field_spec, has_form
from robust_core.attacks.base import ATTACKS
from robust_core.attacks.pgd import PGD
from robust_core.parameters import PIXEL_UNIT, OneOf, Parameters
from robust_core.threat_model import Norm
from tests.app.page_driver import check

TIMEOUT = 30


class Sample(Parameters):
    flag: Annotated[bool, Field(description="A flag.")] = True
    count: Annotated[int, Field(ge=1, le=9, description="A count.")] = 3
    rate: Annotated[float, Field(ge=0.0, le=1.0, description="A rate.")] = 0.25
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    name: str = "word"
    marks: tuple[float, ...] = (0.5, 0.75)
    mode: Literal["one", "two", "three", "four_five"] = "one"
    radius: Annotated[float, Field(ge=0.0, json_schema_extra=PIXEL_UNIT)] = 8 / 255


def form_page(initial=None, omit=(), advanced=(), sliders=None, fill=None, model="Sample"):
    import streamlit as st

    from app.ui.forms import fill_form, parameter_form
    from robust_core.attacks.base import ATTACKS
    from tests.app.ui import test_forms

    chosen = test_forms.Sample if model == "Sample" else ATTACKS.get(model)
    if fill and "filled" not in st.session_state:
        st.session_state["filled"] = True
        fill_form(chosen, "f", fill)
    result = parameter_form(
        chosen, "f", initial=initial, omit=omit, advanced=advanced, sliders=sliders
    )
    st.session_state["result"] = result


def show(**arguments) -> AppTest:
    page = AppTest.from_function(form_page, default_timeout=TIMEOUT, kwargs=arguments)
    return check(page.run())


def result(page: AppTest):
    return page.session_state["result"]


@pytest.mark.slow
def test_untouched_form_gives_the_models_defaults():
    assert result(show()) == Sample()


def test_a_list_of_attacks_has_no_form():
    without = [name for name in ATTACKS.names() if not has_form(ATTACKS.get(name))]
    assert without == ["worst_case"]


def test_an_initial_value_that_is_no_choice_gives_way_to_the_default():
    page = show(model="cw", initial={"norm": Norm.LINF})
    assert result(page).norm is Norm.L2


@pytest.mark.parametrize("name", [n for n in ATTACKS.names() if has_form(ATTACKS.get(n))])
def test_every_attack_has_a_form_that_gives_its_defaults(name):
    assert result(show(model=name)) == ATTACKS.get(name)()


def test_every_kind_of_widget_reaches_its_field():
    page = show()
    page.checkbox(key="f.flag").uncheck()
    page.number_input(key="f.count").set_value(7)
    page.number_input(key="f.rate").set_value(0.5)
    page.checkbox(key="f.decay.automatic").uncheck()
    page.text_input(key="f.name").set_value("other")
    page.text_input(key="f.marks").set_value("0.1, 0.2")
    page.selectbox(key="f.mode").set_value("four_five")
    page.slider(key="f.radius.Linf").set_value(16.0)
    check(page.run())
    page.number_input(key="f.decay").set_value(0.9)
    check(page.run())
    assert result(page) == Sample(
        flag=False,
        count=7,
        rate=0.5,
        decay=0.9,
        name="other",
        marks=(0.1, 0.2),
        mode="four_five",
        radius=16 / 255,
    )


def test_initial_values_are_shown_and_returned_exactly():
    initial = {"epsilon": 0.1, "step_size": 2 / 255, "num_steps": 7}
    page = show(model="pgd", initial=initial, sliders={"num_steps": 50})
    assert page.slider(key="f.epsilon.Linf").value == 25.5
    assert result(page) == PGD(**initial)


def test_limits_of_the_widgets_are_those_of_the_model():
    page = show(sliders={"count": 100})
    assert (page.slider(key="f.count").min, page.slider(key="f.count").max) == (1, 9)
    assert (page.number_input(key="f.rate").min, page.number_input(key="f.rate").max) == (0.0, 1.0)


def test_a_slider_stretches_to_a_value_beyond_its_usual_end():
    page = show(model="pgd", initial={"num_steps": 400}, sliders={"num_steps": 100})
    assert page.slider(key="f.num_steps").max == 400


def test_each_norm_keeps_its_own_epsilon_in_its_own_unit():
    page = show(model="pgd", initial={"epsilon": 8 / 255})
    check(page.segmented_control(key="f.norm").set_value(Norm.L2).run())
    assert page.slider(key="f.epsilon.L2").value == pytest.approx(0.5)
    assert result(page).threat_model.norm is Norm.L2
    check(page.slider(key="f.epsilon.L2").set_value(1.5).run())
    check(page.segmented_control(key="f.norm").set_value(Norm.LINF).run())
    assert result(page).epsilon == 8 / 255


def test_filling_a_form_overrules_what_it_showed():
    values = {"norm": Norm.L2, "epsilon": 1.25, "step_size": 0.3, "seed": 5}
    page = show(model="pgd", fill=values, advanced=("seed",))
    assert result(page) == PGD(**values)


def test_omitted_fields_have_no_widget_and_keep_their_initial_value():
    page = show(omit=("count", "name"), initial={"count": 5})
    assert {"f.count", "f.name"}.isdisjoint(widget.key for widget in page.number_input)
    assert result(page) == Sample(count=5)


def test_an_invalid_form_shows_one_sentence_and_gives_nothing():
    page = show()
    check(page.text_input(key="f.marks").set_value("0.1, half").run())
    assert result(page) is None
    assert len(page.error) == 1
    assert "marks" in page.error[0].value.lower()


def test_open_bounds_and_optional_types_are_understood():
    spec = field_spec(Sample, "decay")
    assert spec.optional
    assert (spec.lowest, spec.highest) == (0.0, 1.0)
    assert field_spec(PGD, "step_size").pixel


def test_names_of_a_library_are_offered_where_it_is_installed():
    def offered(*names: str):
        class Named(Parameters):
            architecture: Annotated[str, OneOf("network", lambda: names), Field()] = "resnet18"

        spec = field_spec(Named, "architecture")
        return spec.kind, spec.choices

    assert offered("resnet18", "vit_b_16") == ("name", ("resnet18", "vit_b_16"))
    assert offered() == ("str", ())


def test_a_type_without_widget_is_a_programming_error():
    class Nested(Parameters):
        inner: Sample = Sample()

    with pytest.raises(TypeError, match="no widget"):
        field_spec(Nested, "inner")
