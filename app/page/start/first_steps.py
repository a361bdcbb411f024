"""Three things to try and a tour, each a link to a page with its controls set."""

from collections.abc import Collection, Mapping

import streamlit as st

from app.navigation import page_script
from app.page.start.example import Example
from app.page.start.photograph import Photograph
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo

ATTACK, TRAIN, LEARN = page_script("attack"), page_script("train"), page_script("learn")
STANDARD, ROBUST = "digits-standard", "digits-pgd_at"
PREPARED_TRAINING = {"data": "digits", "method": "pgd_at", "budget": "quick"}


def first_steps(
    infos: Mapping[str, CheckpointInfo], example: Example | None, photograph: Photograph | None
) -> None:
    """Draw a card for each thing to try, and the link to the guided tours.

    Args:
        infos: the available checkpoints, by name.
        example: the image and attack that the links set; None leaves them to the page.
        photograph: what the first card is about instead of a digit, if it is here.
    """
    robust = ROBUST in infos and infos[ROBUST].shown_robust
    kind = "robust" if robust else "adversarially trained"
    first, second, third = (
        place.container(border=True, height="stretch") for place in st.columns(3, gap="medium")
    )
    with first:
        if photograph is None:
            st.markdown("##### Break a standard model")
            st.markdown(
                "PGD changes the digit in 20 small steps that hardly show, and the model predicts "
                "another class. Move the slider back to see at which step the prediction changes."
            )
            _attack_link("Attack the standard model", STANDARD, infos, example)
        else:
            _photograph_card(photograph)
    with second:
        st.markdown(f"##### Try it on {'a' if robust else 'an'} {kind} model")
        if photograph is None:
            st.markdown(
                "The same digit, attack and perturbation budget; only the training differs. Raise "
                "epsilon until this model is fooled, too."
            )
        else:
            st.markdown(
                "Handwritten digits answer at once. The attack is the same for both models; only "
                "the training differs. Raise epsilon until the second is fooled, too."
            )
            _attack_link("Attack a standard model", STANDARD, infos, example)
        _attack_link(f"Attack the {kind} model", ROBUST, infos, example)
    with third:
        st.markdown("##### Train your own")
        st.markdown(
            "Follow clean and robust accuracy epoch by epoch on handwritten digits. It takes a "
            "minute or two; then attack your model."
        )
        _link(TRAIN, "Set up adversarial training", PREPARED_TRAINING)
    _link(LEARN, "New to this? Take a guided tour", {"tour": "adversarial"})


def _photograph_card(photograph: Photograph) -> None:
    st.markdown("##### Break a photo classifier")
    st.markdown(
        "PGD changes the photograph in ten small steps that nobody sees, and the model "
        "predicts another thing. Move the slider back to see at which step the prediction changes."
    )
    state = _state(photograph.info.name, photograph.image_id, photograph.attack)
    _link(ATTACK, "Attack the photograph", state)


def _attack_link(label: str, name: str, names: Collection[str], example: Example | None) -> None:
    if name in names:
        _link(ATTACK, label, _attack_state(name, example))
    else:
        st.caption(f"The shipped model {name} is not installed.")


def _attack_state(name: str, example: Example | None) -> dict[str, str]:
    if example is None:
        return {"model": name}
    return _state(name, example.image_id, example.attack)


def _state(name: str, image_id: str, attack: Attack) -> dict[str, str]:
    values = attack.model_dump(mode="json")
    chosen = {key: str(values[key]) for key in ("norm", "epsilon", "num_steps")}
    return {"model": name, "image": image_id, "attack": attack.name, **chosen}


def _link(page: str, label: str, state: dict[str, str]) -> None:
    st.page_link(
        page,
        label=f"**{label}**",
        icon=":material/arrow_forward:",
        icon_position="right",
        query_params=state,
    )
