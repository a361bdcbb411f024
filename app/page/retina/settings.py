"""The controls of the sampling: sliders that start at the network's values, and a seed."""

from collections.abc import Callable

import streamlit as st

from app.page.retina.network import own_settings, retinotopic_network
from app.ui.state import Number
from robust_core.analysis.retina import ADJUSTABLE
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicParameters
from robust_core.models.retina.sampler import Centre

LARGEST_SEED = 9999
SEED = Number("seed", "retina.seed", 0, LARGEST_SEED, 0)
LIMITS: dict[str, tuple[float, float, float]] = {  # lowest, highest, step
    "num_samples": (1, 30, 1),
    "weight": (0.05, 2.0, 0.05),
    "threshold": (0.05, 1.0, 0.05),
    "exponent": (0.0, 3.0, 0.05),
}
LABELS = {
    "num_samples": "Samples per view",
    "weight": "Noise weight w",
    "threshold": "Mask threshold T",
    "exponent": "Mask exponent p",
}


def setting_part(info: CheckpointInfo, name: str) -> Number:
    """Return one setting of the sampling; each network with a sampler has its own value.

    The limits include that value.
    """
    low, high, _ = LIMITS[name]
    start = getattr(own_settings(info), name)
    network = info.name.partition(":")[0]
    owner = network if retinotopic_network(info) else f"any.{info.config.data.name}"
    key = f"retina.{name}.{owner}"
    return Number(name, key, min(low, start), max(high, start), start, kind=LABELS[name])


def pick_settings(info: CheckpointInfo) -> RetinotopicParameters:
    """Draw the sliders and return their sampling."""
    own = own_settings(info)
    values = own.model_dump()
    for name in ADJUSTABLE:
        values[name] = setting_part(info, name).slider(
            LABELS[name],
            step=LIMITS[name][2],
            help=RetinotopicParameters.model_fields[name].description,
        )
    chosen = own.create(values)
    if chosen != own:

        def reset() -> None:
            for name in ADJUSTABLE:
                setting_part(info, name).put(getattr(own, name))

        words = ", ".join(f"{LABELS[name].lower()} {getattr(own, name):g}" for name in ADJUSTABLE)
        st.button("Reset the sampler", help=words, icon=":material/undo:", on_click=reset)
    return chosen


def pick_seed() -> int:
    """Draw the seed of the sampling, and the button that takes the next one."""

    def draw_again() -> None:
        SEED.put((SEED.value + 1) % (LARGEST_SEED + 1))

    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = SEED.field(
            "Sampling seed",
            help="Seed of masks and pixel noise; the same seed gives the same views.",
        )
        st.button(
            "New sample", icon=":material/casino:", on_click=draw_again, key="retina.draw_again"
        )
    return seed


def centre_key(info: CheckpointInfo) -> str:
    """Return the session key of the fixation; images of one size share it."""
    _, height, width = info.image_shape
    return f"retina.centre.{height}x{width}"


def fixation(info: CheckpointInfo) -> Centre:
    """Return the fixation, (column, row); by default the middle of the image."""
    _, height, width = info.image_shape
    return st.session_state.setdefault(centre_key(info), (width // 2, height // 2))


def fixate(info: CheckpointInfo) -> Callable[[int, int], None]:
    """Return a function that moves the fixation to a column and row, clipped to the image."""
    _, height, width = info.image_shape

    def move(column: int, row: int) -> None:
        kept = (min(max(column, 0), width - 1), min(max(row, 0), height - 1))
        st.session_state[centre_key(info)] = kept

    return move
