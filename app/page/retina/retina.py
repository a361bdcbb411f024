"""The retina page: what a retinotopic sampler shows a network, and what the network makes of it."""

import streamlit as st

from app.page.retina.decision import show_decision
from app.page.retina.link import link_state, retina_link
from app.page.retina.randomness import show_randomness
from app.page.retina.sampling import retinotopic_network
from app.page.retina.settings import pick_seed, pick_settings
from app.page.retina.sight import show_sight
from app.page.retina.toy import show_toy
from app.ui import cached
from app.ui.forms import show_input_error
from app.ui.image_picker import pick_image
from app.ui.model_picker import in_order, pick_model
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

STORY = (
    "An eye is sharp only where it looks: move the fixation, and see which random views of the "
    "image a retinotopic model gets to decide on."
)
NO_SAMPLER = "{name} looks at whole images, so only the sampler is shown. To see decisions, {way}."


def main() -> None:
    """Draw the page."""
    infos = in_order(cached.checkpoints())
    title, link_place = st.columns([6, 1], vertical_alignment="center")
    title.title("Retina", anchor=False)
    st.markdown(STORY)
    if not infos:
        st.info("There is no checkpoint yet: train one on the page Train, then look through it.")
        return
    link = retina_link(infos)
    link.warn()
    controls, stage = st.columns([1, 3.2], gap="large")
    try:
        with controls:
            info = pick_model(infos)
            image = pick_image(info)
            with st.expander("Sampler", icon=":material/tune:", expanded=True):
                settings = pick_settings(info)
                seed = pick_seed()
        if image is None:
            stage.info("Choose an image on the left; its views appear here.")
            return
        with link_place:
            link.button(link_state(info, image, settings))
        with stage:
            show_sight(info, image, settings, seed)
            st.divider()
            network = retinotopic_network(info)
            if network is None:
                st.info(_no_sampler(info, infos), icon=":material/visibility_off:")
            else:
                show_decision(info, network, image, settings, seed)
                show_randomness(info, network)
            show_toy(infos)
    except InputError as error:
        with stage:
            show_input_error(error)


def _no_sampler(info: CheckpointInfo, infos: list[CheckpointInfo]) -> str:
    """Return one sentence on where to find a network that looks through the sampler."""
    known = [other.name for other in infos if other.config.model.name == "retinotopic"]
    way = (
        f"choose {known[0]} on the left"
        if known
        else "train one on the page Train with the method CIIV"
    )
    return NO_SAMPLER.format(name=info.name, way=way)


main()
