import io

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.navigation import page_script
from tests.app.examples import ROBUST, STANDARD, attack_link, telling_image
from tests.app.page_driver import check, check_no_error, labels, open_view, press, said

FORM = "attack.form.digits.pgd"


def open_page(query: dict[str, str] | None = None) -> AppTest:
    return open_view("attack", query)


@pytest.mark.slow
def test_the_first_visit_shows_an_attack():
    page = open_page()
    assert "Run attack" in labels(page)
    assert "Threat model" in [s.value for s in page.subheader]
    assert len(page.metric) == 3
    assert not page.error


@pytest.mark.slow
def test_pgd_breaks_the_standard_model_and_not_the_robust_one():
    _, label = telling_image()
    page = open_page(attack_link(STANDARD))
    assert f"{label} becomes" in page.warning[0].value
    check(page.selectbox(key="attack.model").set_value(ROBUST).run())
    assert f"{label} stays {label}: the robust model resists PGD" in page.success[0].value
    assert not page.warning
    assert page.slider(key=f"{FORM}.epsilon.Linf").value == 25.5


@pytest.mark.slow
def test_a_targeted_attack_names_its_target():
    _, label = telling_image()
    target = next(name for name in "0123456789" if name != label)
    page = open_page(attack_link(STANDARD, target=target, epsilon=0.3, num_steps=40))
    assert page.checkbox(key="attack.targeted").value
    assert f"{label} becomes {target}, the target" in page.warning[0].value
    assert f"the class {target}" in said(page)


@pytest.mark.slow
def test_the_target_cannot_be_the_label_itself():
    _, label = telling_image()
    page = open_page(attack_link(STANDARD, target=label))
    assert [error.value for error in page.error] == [
        f"The target should be another class than the label {label}."
    ]


@pytest.mark.slow
def test_an_uploaded_picture_is_attacked_as_what_the_model_sees():
    page = open_page({"model": STANDARD})
    check(page.segmented_control(key="attack.source").set_value("Upload").run())
    assert "Choose a picture" in said(page)
    buffer = io.BytesIO()
    Image.new("RGBA", (300, 200), (200, 30, 90, 255)).save(buffer, "PNG")
    picture = ("mine.png", buffer.getvalue(), "image/png")
    check_no_error(page.file_uploader[0].set_value(picture).run())
    assert len(page.metric) == 3
    assert "nothing to attack" not in said(page)
    (shows,) = (box for box in page.selectbox if box.label == "True class")
    assert "(predicted by the model)" in shows.options[0]
    assert [box for box in page.warning if "the picture may show none of them" in box.value]
    check_no_error(shows.set_value(3).run())
    assert not [box for box in page.warning if "the picture may show none of them" in box.value]


@pytest.mark.slow
def test_a_file_that_is_no_picture_gets_one_sentence_and_the_page_goes_on():
    page = open_page({"model": STANDARD})
    check(page.segmented_control(key="attack.source").set_value("Upload").run())
    check(page.file_uploader[0].set_value(("mine.png", b"no picture at all", "image/png")).run())
    assert len(page.error) == 1
    assert "picture" in page.error[0].value
    check(page.segmented_control(key="attack.source").set_value("Gallery").run())
    assert not page.error and len(page.metric) == 3


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"model": "digits-standrad"}, "did you mean 'digits-standard'?"),
        ({"model": "../../etc/passwd"}, "unknown model"),
        ({"data": "cifar10"}, "data should be 'digits'"),
        ({"image": "digits/test/999999"}, "no image 999999"),
        ({"image": "digits/test/-1"}, "image should look like 'digits/test/17'"),
        ({"image": "digits/tset/3"}, "unknown split"),
        ({"attack": "pdg"}, "did you mean 'pgd'?"),
        ({"attack": "pgd", "epsilon": "8"}, "did you mean 8/255?"),
        ({"attack": "pgd", "num_steps": "many"}, "num_steps should be"),
        ({"attack": "pgd", "num_step": "20"}, "did you mean 'num_steps'?"),
        ({"target": "twelve"}, "unknown target 'twelve'"),
    ],
)
def test_a_bad_link_gives_one_clear_sentence_and_defaults(query, sentence):
    page = open_page(query)
    problems = [warning.value for warning in page.warning if "link" in warning.value]
    assert len(problems) == 1
    assert sentence in problems[0]
    assert len(page.metric) == 3, "the page goes on"


def test_a_costly_attack_waits_for_the_button_and_says_what_it_costs():
    page = open_page(attack_link(STANDARD, num_steps=10_000, num_restarts=2))
    assert "20,002 forward-backward passes" in "\n".join(c.value for c in page.caption)
    assert "press Run attack" in said(page)
    assert not page.metric


def test_the_button_runs_a_costly_attack(monkeypatch):
    monkeypatch.setattr("app.ui.models.seconds_per_pass", lambda info, batch_size=1: 1.0)
    page = open_page(attack_link(STANDARD, num_steps=3, seed=77))
    assert not page.metric
    press(page, "Run attack")
    assert len(page.metric) == 3
    check(page.run())
    assert len(page.metric) == 3, "a result that is known stays"


@pytest.mark.slow
def test_copying_the_link_puts_the_whole_state_into_the_address():
    query = attack_link(ROBUST, step_size=0.01, seed=3, target="1", norm="L2", epsilon=1.25)
    page = open_page(query)
    page.session_state["attack.copy_link"] = {"copied": "anything"}
    check(page.run())
    state = {name: "".join(value) for name, value in page.query_params.items()}
    assert set(state) > set(query)
    assert query.items() <= state.items()
    again = open_page(state)
    assert said(again) == said(page)


@pytest.mark.slow
def test_values_survive_a_change_of_page():
    page = open_page({"model": STANDARD})
    page.slider(key=f"{FORM}.epsilon.Linf").set_value(12.0)
    page.selectbox(key="attack.model").set_value(ROBUST)
    check(page.run())
    page.query_params.clear()  # as the sidebar does
    check(page.switch_page(page_script("start")).run())
    check(page.switch_page(page_script("attack")).run())
    assert page.slider(key=f"{FORM}.epsilon.Linf").value == 12.0
    assert page.selectbox(key="attack.model").value == ROBUST


@pytest.mark.slow
def test_random_and_class_filter_agree():
    page = open_page({"model": STANDARD})
    check(page.selectbox(key="attack.class.digits").set_value(7).run())
    press(page, "Random")
    assert page.metric[1].label == "Confidence in 7"


@pytest.mark.slow
def test_the_page_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    open_page(attack_link(STANDARD, seed=9))
    assert torch.equal(torch.rand(1), expected)
