"""The retina page: the views of a retinotopic sampler, and their classification."""

import streamlit as st

from app.page.retina.answer import show_answer
from app.page.retina.decision import show_decision
from app.page.retina.link import retina_link
from app.page.retina.network import has_retina, retinotopic_network
from app.page.retina.randomness import show_randomness
from app.page.retina.settings import pick_seed, pick_settings
from app.page.retina.toy import show_toy
from app.page.retina.views import show_views
from app.ui import models
from app.ui.image_picker import pick_image
from app.ui.model_picker import in_order, pick_model
from app.ui.page import input_errors, open_page
from app.ui.plain import in_markdown
from robust_core.checkpoints.catalog import CheckpointInfo

STORY = (
    "A retina is sharp only around its fixation point. Move the fixation, and see the random views "
    "that a retinotopic model classifies."
)
NO_SAMPLER = (
    "{name} classifies whole images, so only the sampler is shown. "
    "To see predictions of views, {way}."
)


def main() -> None:
    """Draw the page."""
    infos = in_order(models.checkpoints())
    page = open_page("Retina", STORY, infos, retina_link)
    if page is None:
        return
    with input_errors(page.stage):
        with page.controls:
            info = pick_model(infos, has_retina, why="has no retina")
            image = pick_image(info)
            with st.expander("Sampler", icon=":material/tune:", expanded=True):
                settings = pick_settings(info)
                seed = pick_seed()
        if image is None:
            page.stage.info("Choose an image on the left to see its views.")
            return
        page.copy_link(image.in_address())
        with page.stage:
            network = retinotopic_network(info)
            show_answer(info, network, image, settings, seed)
            show_views(info, image, settings, seed)
            st.divider()
            if network is None:
                st.info(_no_sampler(info, infos), icon=":material/visibility_off:")
            else:
                show_decision(info, network, image, settings, seed)
                show_randomness(info, network)
            show_toy(infos)


def _no_sampler(info: CheckpointInfo, infos: list[CheckpointInfo]) -> str:
    """Return one sentence on how to get a network that has the sampler."""
    known = [other.name for other in infos if has_retina(other)]
    way = (
        f"choose {in_markdown(known[0])} on the left"
        if known
        else "train one with the method CIIV on the Train page"
    )
    return NO_SAMPLER.format(name=in_markdown(info.name), way=way)


main()
