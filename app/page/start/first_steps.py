"""Three things to try and a tour, each a link to a page with its controls set."""

from collections.abc import Collection, Mapping

import streamlit as st

from app.navigation import page_script
from app.page.start.example import Example
from robust_core.checkpoints.catalog import CheckpointInfo

ATTACK, TRAIN, LEARN = page_script("attack"), page_script("train"), page_script("learn")
STANDARD, ROBUST = "digits-standard", "digits-pgd_at"
PREPARED_TRAINING = {"data": "digits", "method": "pgd_at", "budget": "quick"}


def first_steps(infos: Mapping[str, CheckpointInfo], example: Example | None) -> None:
    """Draw a card for each thing to try, and the link to the guided tours.

    Args:
        infos: the available checkpoints, by name.
        example: the image and attack that the links set; None leaves them to the page.
    """
    robust = ROBUST in infos and infos[ROBUST].shown_robust
    kind = "robust" if robust else "adversarially trained"
    first, second, third = (
        place.container(border=True, height="stretch") for place in st.columns(3, gap="medium")
    )
    with first:
        st.markdown("##### Break a standard model")
        st.markdown(
            "PGD changes the digit in 20 small steps that hardly show, and the model predicts "
            "another class. Move the slider back to see at which step the prediction changes."
        )
        _attack_link("Attack the standard model", STANDARD, infos, example)
    with second:
        st.markdown(f"##### Try it on {'a' if robust else 'an'} {kind} model")
        st.markdown(
            "The same digit, attack and perturbation budget; only the training differs. Raise "
            "epsilon until this model is fooled, too."
        )
        _attack_link(f"Attack the {kind} model", ROBUST, infos, example)
    with third:
        st.markdown("##### Train your own")
        st.markdown(
            "Follow clean and robust accuracy epoch by epoch on handwritten digits. It takes a "
            "minute or two; then attack your model."
        )
        _link(TRAIN, "Set up adversarial training", PREPARED_TRAINING)
    _link(LEARN, "New to this? Take a guided tour", {"tour": "adversarial"})


def _attack_link(label: str, name: str, names: Collection[str], example: Example | None) -> None:
    if name in names:
        _link(ATTACK, label, _attack_state(name, example))
    else:
        st.caption(f"The shipped model {name} is not installed.")


def _attack_state(name: str, example: Example | None) -> dict[str, str]:
    if example is None:
        return {"model": name}
    values = example.attack.model_dump(mode="json")
    chosen = {key: str(values[key]) for key in ("norm", "epsilon", "num_steps")}
    return {"model": name, "image": example.image_id, "attack": example.attack.name, **chosen}


def _link(page: str, label: str, state: dict[str, str]) -> None:
    st.page_link(
        page,
        label=f"**{label}**",
        icon=":material/arrow_forward:",
        icon_position="right",
        query_params=state,
    )
