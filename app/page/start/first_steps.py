"""Three things to try and a tour, each a link into a prepared page."""

from collections.abc import Collection, Mapping

import streamlit as st

from app.navigation import page_script
from app.page.start.glimpse import Glimpse
from app.ui.shown import shown_robust
from robust_core.checkpoints.catalog import CheckpointInfo

ATTACK, TRAIN, LEARN = page_script("attack"), page_script("train"), page_script("learn")
STANDARD, ROBUST = "digits-standard", "digits-pgd_at"
PREPARED_TRAINING = {"data": "digits", "method": "pgd_at", "budget": "quick"}


def first_steps(infos: Mapping[str, CheckpointInfo], glimpse: Glimpse | None) -> None:
    """Draw a card for each thing to try, and the way to the guided tours.

    Args:
        infos: the checkpoints that are there, by name.
        glimpse: the image and attack that the links prepare; None leaves them to the page.
    """
    robust = ROBUST in infos and shown_robust(infos[ROBUST])
    kind = "robust" if robust else "adversarially trained"
    first, second, third = (
        place.container(border=True, height="stretch") for place in st.columns(3, gap="medium")
    )
    with first:
        st.markdown("##### Break a standard model")
        st.markdown(
            "PGD changes the digit in 20 small steps that hardly show, and the model reads another "
            "one. Scrub back to see where it gives in."
        )
        _attack_link("Attack the standard model", STANDARD, infos, glimpse)
    with second:
        st.markdown(f"##### Try it on {'a' if robust else 'an'} {kind} model")
        st.markdown(
            "The same digit, the same attack, the same budget: only the training was different. "
            "Raise epsilon until it breaks, too."
        )
        _attack_link(f"Attack the {kind} model", ROBUST, infos, glimpse)
    with third:
        st.markdown("##### Train your own")
        st.markdown(
            "Watch both accuracies, epoch by epoch, on handwritten digits. It takes a minute or "
            "two; then attack what you made."
        )
        _link(TRAIN, "Prepare adversarial training", PREPARED_TRAINING)
    _link(LEARN, "New to this? Take a guided tour", {"tour": "adversarial"})


def _attack_link(label: str, name: str, names: Collection[str], glimpse: Glimpse | None) -> None:
    if name in names:
        _link(ATTACK, label, _attack_state(name, glimpse))
    else:
        st.caption(f"The shipped model {name} is missing here.")


def _attack_state(name: str, glimpse: Glimpse | None) -> dict[str, str]:
    if glimpse is None:
        return {"model": name}
    values = glimpse.attack.model_dump(mode="json")
    chosen = {key: str(values[key]) for key in ("norm", "epsilon", "num_steps")}
    return {"model": name, "image": glimpse.image_id, "attack": glimpse.attack.name, **chosen}


def _link(page: str, label: str, state: dict[str, str]) -> None:
    st.page_link(
        page,
        label=f"**{label}**",
        icon=":material/arrow_forward:",
        icon_position="right",
        query_params=state,
    )
