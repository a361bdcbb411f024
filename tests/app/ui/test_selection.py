"""One selection for all pages: it goes along with a person, and an address wins over it."""

import io

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import MenuButton

from app.navigation import PAGES, page_script
from app.ui.open_in import OF_IMAGE, pages_for
from robust_core.checkpoints.catalog import checkpoint_info
from tests.app.page_driver import check, open_view, press, said

SHAPES, IMAGE = "shapes-pgd_at", "digits/test/12"


def go(page: AppTest, name: str, **query: str) -> AppTest:
    """Go to another page, as by the sidebar or by a link."""
    page.query_params.clear()
    page.query_params.update(query)
    return check(page.switch_page(page_script(name)).run())


def shown(page: AppTest, key: str):
    """What the browser is told to show, which is what it sends back at the next click."""
    proto = page.selectbox(key=key).proto
    return proto.raw_value if proto.set_value else proto.options[proto.default]


@pytest.mark.slow
def test_model_image_and_attack_go_along_to_the_first_other_page():
    query = {"model": "digits-atld", "image": IMAGE, "attack": "fgsm", "epsilon": "0.05"}
    page = open_view("attack", query)
    for name in ("gradients", "compare"):
        go(page, name)
        assert shown(page, "attack.model") == "digits · digits-atld"
        assert shown(page, "attack.split.digits") == "test"
        assert page.session_state["attack.image.digits/test"] == 12
    assert shown(page, "attack.attack") == "FGSM"
    assert page.slider(key="attack.form.digits.fgsm.epsilon.Linf").proto.value[0] == 12.75


@pytest.mark.slow
def test_pages_with_a_choice_of_their_own_follow_what_a_person_chose_elsewhere():
    page = open_view("attack", {"model": SHAPES})
    go(page, "train")
    assert page.selectbox(key="train.data").value == "shapes"
    go(page, "robustness")
    assert page.session_state["robustness.models.shapes"] == [SHAPES]
    go(page, "train", data="digits")
    assert page.selectbox(key="train.data").value == "digits"
    go(page, "attack")
    go(page, "train")
    assert page.selectbox(key="train.data").value == "digits", "nothing new was chosen"


@pytest.mark.slow
def test_nobodys_choice_changes_no_form():
    page = open_view("retina")  # which shows its first model
    go(page, "robustness")
    assert page.selectbox(key="robustness.data").value == "digits"


@pytest.mark.slow
def test_a_page_that_cannot_show_the_choice_leaves_it_to_the_others():
    page = open_view("attack", {"model": "digits-denoiser"})
    go(page, "gradients")  # which offers classifiers
    assert shown(page, "attack.model.instead").startswith("digits · ")
    assert "digits-denoiser cannot be shown here" in said(page)
    go(page, "attack")
    assert shown(page, "attack.model") == "digits · digits-denoiser"
    go(page, "gradients")
    page.selectbox(key="attack.model.instead").set_value(SHAPES)
    check(page.run())
    go(page, "attack")
    assert shown(page, "attack.model") == "shapes · shapes-pgd_at"


@pytest.mark.slow
def test_an_uploaded_picture_goes_along_until_it_is_removed():
    page = open_view("attack", {"model": "digits-standard"})
    check(page.segmented_control(key="attack.source").set_value("Upload").run())
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (200, 30, 90)).save(buffer, "PNG")
    picture = ("mine.png", buffer.getvalue(), "image/png")
    check(page.file_uploader[0].set_value(picture).run())
    for name in ("gradients", "attack"):
        go(page, name)
        assert page.segmented_control(key="attack.source").value == "Upload"
        assert "mine.png" in said(page) and "Choose a picture" not in said(page)
    press(page, "Remove")
    assert "mine.png" not in said(page) and "Choose a picture" in said(page)


@pytest.mark.slow
def test_an_address_wins_whenever_a_person_comes_by_it():
    page = open_view("attack", {"model": "digits-standard"})
    check(page.selectbox(key="attack.model").set_value("digits-pgd_at").run())
    assert page.selectbox(key="attack.model").value == "digits-pgd_at"
    go(page, "start")
    go(page, "attack", model="digits-standard")
    assert page.selectbox(key="attack.model").value == "digits-standard"


@pytest.mark.parametrize("name", [name for name in PAGES if name != "start"])
@pytest.mark.slow
def test_every_page_offers_its_link(name):
    found = open_view(name).get("bidi_component")
    assert any(one.proto.component_name == "robust_lab_copy_link" for one in found)


def test_a_model_opens_on_the_pages_that_can_show_it(monkeypatch):
    standard, ciiv = (checkpoint_info(f"digits-{name}") for name in ("standard", "ciiv"))
    monkeypatch.setattr("app.ui.open_in.page_here", lambda: "compare")
    assert pages_for(standard) == ["attack", "gradients", "hard_pairs", "latent", "robustness"]
    assert set(pages_for(ciiv, image=True)) == {*OF_IMAGE} - {"compare"}
    assert pages_for(checkpoint_info("digits-denoiser")) == []


@pytest.mark.slow
def test_the_menu_of_an_image_leads_to_it():
    page = open_view("attack", {"model": "digits-standard", "image": IMAGE})
    (menu,) = page.get("menu_button")
    assert isinstance(menu, MenuButton)
    check(menu.click("hard_pairs").run())
    assert [title.value for title in page.title] == ["Hard pairs"]
    assert dict(page.query_params) == {"model": "digits-standard", "image": IMAGE}
