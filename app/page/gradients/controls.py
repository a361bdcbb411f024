"""What the gradients page lets a person choose, besides model and image."""

from collections.abc import Sequence

import streamlit as st

from app.ui import cached
from app.ui.units import duration_words
from app.ui.words import checkpoint_title, defended
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs.subjects import masks_gradients

VIEW_KEY = "gradients.view"
VIEWS = {
    "classes": "Every class",
    "targets": "Targets",
    "alignment": "Alignment",
    "morph": "Class morph",
    "attribution": "Attribution",
    "synthesis": "Synthesis",
}
STORIES = {
    "classes": "Where should the image change to look more like each class? The input gradient is "
    "the model's own answer.",
    "targets": "Does the gradient of a class point at the class? Above is a direction that does, "
    "below the one that each model takes.",
    "alignment": "Do models whose gradients point at the classes withstand attacks? One point for "
    "each model of this data set.",
    "morph": "Follow the gradient a long way towards each class: does the model draw the class, or "
    "only noise that it takes for it?",
    "attribution": "Eight methods say where in the image the answer comes from. Two tests say how "
    "far to believe them.",
    "synthesis": "Can a classifier draw? Begin with a random draw or with a hole in the picture, "
    "and follow the gradient of each class.",
}
MOST_MODELS = 4
LIVE_SECONDS = 1.0  # what is estimated below this is computed at every change of a control
MASKED = (
    "{names} hides its gradient behind a part that passes none on, so its maps are empty and "
    "nothing can follow them: that is gradient masking, not robustness."
)


def models_key(data: str) -> str:
    """Return the key of the models compared on a data set."""
    return f"gradients.models.{data}"


def rivals(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return the classifiers that can be compared with `info`: same data set, shape and classes."""
    return [
        other
        for other in infos
        if other.config.data.name == info.config.data.name
        and other.image_shape == info.image_shape
        and other.class_names == info.class_names
        and not is_denoiser(other)
    ]


def is_denoiser(info: CheckpointInfo) -> bool:
    """Return whether a checkpoint is a denoiser, which gives scores and is no classifier here."""
    return info.config.model.name == "denoiser"


def short_name(info: CheckpointInfo) -> str:
    """Return a checkpoint's name without the data set it is shown under."""
    name = checkpoint_title(info).split(" · ", 1)[1]
    return name.removeprefix(f"{info.config.data.name}-")


def pick_models(info: CheckpointInfo, infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Draw the choice of further models and return all rows, the chosen model first."""
    others = {other.name: other for other in rivals(info, infos) if other.name != info.name}
    key = models_key(info.config.data.name)
    if key not in st.session_state:
        st.session_state[key] = _first_rivals(info, list(others.values()))
    st.session_state[key] = [name for name in st.session_state[key] if name in others]
    chosen = st.multiselect(
        "Compared with",
        list(others),
        format_func=lambda name: short_name(others[name]),
        key=key,
        max_selections=MOST_MODELS - 1,
        persist_state="session",
        placeholder="No other model",
    )
    return [info, *(others[name] for name in chosen)]


def pick_view() -> str:
    """Draw the choice of a view and its story; return the view."""
    st.session_state.setdefault(VIEW_KEY, "classes")
    chosen = st.segmented_control(
        "View",
        list(VIEWS),
        format_func=VIEWS.__getitem__,
        key=VIEW_KEY,
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    view = str(chosen)
    st.markdown(STORIES[view])
    return view


def warn_of_masking(models: Sequence[CheckpointInfo]) -> None:
    """Say which models hide their gradient."""
    names = ", ".join(short_name(info) for info in models if masks_gradients(info))
    if names:
        st.warning(MASKED.format(names=names), icon=":material/visibility_off:")


def wanted(label: str, seconds: float, key: str) -> bool:
    """Draw button and cost of a computation; return whether it is to run now."""
    live = seconds <= LIVE_SECONDS
    if live:
        return True
    pressed = st.button(label, type="primary", icon=":material/play_arrow:", key=key)
    st.caption(f"Cost: about {duration_words(seconds)} here. Starts when you press the button.")
    return pressed


def seconds(models: Sequence[CheckpointInfo], passes: int, batch_size: int = 1) -> float:
    """Return the estimated time of `passes` passes of one image through each model."""
    return sum(passes * cached.seconds_per_pass(info, batch_size) for info in models)


def theme() -> str:
    """Return "light" or "dark"."""
    return "dark" if st.context.theme.type == "dark" else "light"


def offer(data: bytes, picture: bytes | None, stem: str, ending: str = "npz") -> None:
    """Draw the downloads of a view: its numbers and its picture."""
    with st.container(horizontal=True):
        if picture is not None:
            st.download_button(
                "Picture, PNG",
                picture,
                f"{stem}.png",
                "image/png",
                icon=":material/download:",
                on_click="ignore",
                key=f"gradients.png.{stem}",
            )
        st.download_button(
            f"Numbers, {ending.upper()}",
            data,
            f"{stem}.{ending}",
            "text/csv" if ending == "csv" else "application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            key=f"gradients.data.{stem}",
        )


def _first_rivals(info: CheckpointInfo, others: Sequence[CheckpointInfo]) -> list[str]:
    """Return a defended and an undefended one, whichever of them `info` is not.

    The defended one is trained adversarially where there is such a model.
    """
    shipped = [
        other
        for other in others
        if not (other.inference or "/" in other.name or masks_gradients(other))
    ]
    # pgd_at itself, not a variant of it such as awp
    shipped.sort(key=lambda other: not other.name.endswith("-pgd_at"))
    found = [other.name for other in shipped if defended(other) != defended(info)][:1]
    return found + [name for other in shipped if (name := other.name) not in found][:1]
