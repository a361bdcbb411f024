"""What is known of a model from elsewhere: how it was opened, and what its checks found."""

import streamlit as st

from app.navigation import page_script
from app.ui.finding_list import show_findings
from app.ui.plain import in_markdown
from app.ui.units import count_words
from app.ui.words import accuracy_lines, as_lines, card_words
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.config.imported import ImportConfig

MOST_NAMES = 5


def show_stored(info: CheckpointInfo) -> None:
    """Draw that a model was stored, what is known of it, and what to do next."""
    st.success(f"Stored as **{in_markdown(info.name)}**.", icon=":material/check_circle:")
    with st.container(horizontal=True):
        for page, label, icon in (
            ("attack", "Attack it", ":material/bolt:"),
            ("robustness", "Evaluate it", ":material/verified_user:"),
        ):
            query = {"model": info.name}
            st.page_link(
                page_script(page), label=label, icon=icon, query_params=query, width="content"
            )
    show_arrival(info)


def show_arrival(info: CheckpointInfo) -> None:
    """Draw how a model from elsewhere was opened and what was found; of ours, its card."""
    if not isinstance(info.config, ImportConfig):
        st.markdown(card_words(info))
        return
    origin = info.config.origin
    st.markdown(in_markdown(info.config.words))
    st.markdown(as_lines(accuracy_lines(info)))
    show_findings(origin.findings, key="models.findings", measured=False)
    with st.expander("What the file is", icon=":material/description:", key="models.origin"):
        st.markdown(as_lines(list(map(in_markdown, _facts(info, info.config)))))


def _facts(info: CheckpointInfo, config: ImportConfig) -> list[str]:
    origin = config.origin
    shape = "x".join(map(str, info.image_shape))
    lines = [
        f"Network {config.model.name}, images of {shape}, {info.num_classes} classes of "
        f"{config.data.name}."
    ]
    if origin.file:
        lines.append(
            f"File {origin.file}, {origin.format}, {origin.size / 2**20:.1f} MiB, SHA-256 "
            f"{origin.sha256[:16]}…"
        )
    used = count_words(origin.num_tensors, "tensor")
    stood = f", under {origin.path}" if origin.path else ""
    removed = f", without the prefix {''.join(origin.prefixes)!r}" if origin.prefixes else ""
    lines.append(f"{used} used ({', '.join(origin.types)}){stood}{removed}.")
    if origin.surplus:
        named = ", ".join(origin.surplus[:MOST_NAMES])
        lines.append(f"{count_words(len(origin.surplus), 'tensor')} left out, first {named}.")
    if origin.order:
        lines.append(f"Its outputs came in the order {', '.join(origin.order[:20])}.")
    return [*lines, *origin.notes]
