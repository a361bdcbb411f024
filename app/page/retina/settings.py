"""The controls of the sampling: sliders that begin with the network's own values, and a seed."""

from collections.abc import Callable

import streamlit as st

from app.page.retina.sampling import ADJUSTABLE, own_settings, retinotopic_network
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicParameters
from robust_core.models.retina.sampler import Centre

SEED_KEY = "retina.seed"
LARGEST_SEED = 9999
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


def setting_key(info: CheckpointInfo, name: str) -> str:
    """Return the key of a slider; networks with a sampler of their own keep their own values."""
    network = info.name.partition(":")[0]
    owner = network if retinotopic_network(info) else f"any.{info.config.data.name}"
    return f"retina.{name}.{owner}"


def limits(info: CheckpointInfo, name: str) -> tuple[float, float, float]:
    """Return lowest, highest value and step of a slider; the network's own value lies within."""
    low, high, step = LIMITS[name]
    own = getattr(own_settings(info), name)
    return min(low, own), max(high, own), step


def pick_settings(info: CheckpointInfo) -> RetinotopicParameters:
    """Draw the sliders and return the sampling they say."""
    own = own_settings(info)
    values = own.model_dump()
    for name in ADJUSTABLE:
        key = setting_key(info, name)
        low, high, step = limits(info, name)
        st.session_state.setdefault(key, getattr(own, name))
        values[name] = st.slider(
            LABELS[name],
            low,
            high,
            step=step,
            key=key,
            persist_state="session",
            help=RetinotopicParameters.model_fields[name].description,
        )
    chosen = own.create(values)
    if chosen != own:

        def reset() -> None:
            for name in ADJUSTABLE:
                st.session_state[setting_key(info, name)] = getattr(own, name)

        words = ", ".join(f"{LABELS[name].lower()} {getattr(own, name):g}" for name in ADJUSTABLE)
        st.button("Reset the sampler", help=words, icon=":material/undo:", on_click=reset)
    return chosen


def pick_seed() -> int:
    """Draw the seed of the sampling, and the button that draws anew."""
    st.session_state.setdefault(SEED_KEY, 0)

    def draw_anew() -> None:
        st.session_state[SEED_KEY] = (st.session_state[SEED_KEY] + 1) % (LARGEST_SEED + 1)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = st.number_input(
            "Seed of the draw",
            0,
            LARGEST_SEED,
            key=SEED_KEY,
            persist_state="session",
            help="Decides masks and pixel noise; the same seed gives the same views.",
        )
        st.button("Draw anew", icon=":material/casino:", on_click=draw_anew, key="retina.draw_anew")
    return int(seed)


def centre_key(info: CheckpointInfo) -> str:
    """Return the key of the fixation; images of one size share it."""
    _, height, width = info.image_shape
    return f"retina.centre.{height}x{width}"


def fixation(info: CheckpointInfo) -> Centre:
    """Return the fixation, (column, row); the middle of the image at first."""
    _, height, width = info.image_shape
    return st.session_state.setdefault(centre_key(info), (width // 2, height // 2))


def fixate(info: CheckpointInfo) -> Callable[[int, int], None]:
    """Return what moves the fixation to a column and row, kept within the image."""
    _, height, width = info.image_shape

    def move(column: int, row: int) -> None:
        kept = (min(max(column, 0), width - 1), min(max(row, 0), height - 1))
        st.session_state[centre_key(info)] = kept

    return move
