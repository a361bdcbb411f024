"""What came out of the attack on every model, and downloads."""

from collections.abc import Sequence

import streamlit as st
import torch

from app.ui.downloads import npz, offer
from app.ui.outcome import show_outcome
from app.ui.pictures import picture_bytes
from app.ui.plain import in_markdown
from app.ui.words import short_name
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.trace import AttackTrace


def show_outcomes(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Say in one line for each model what became of the image."""
    for info, trace in zip(infos, traces, strict=True):
        name, words = st.columns([1, 4.2], vertical_alignment="center")
        name.markdown(f"**{in_markdown(short_name(info))}**")
        with words:
            show_outcome(trace, info)


def show_downloads(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Offer the clean and all adversarial images, exactly and as one picture."""
    images = torch.stack([traces[0].x, *(trace.x_adv for trace in traces)]).numpy()  # [M+1,C,H,W]
    offer(
        lambda: npz(
            models=[info.name for info in infos],
            x=images[0],
            x_adv=images[1:],
            clean=[trace.clean for trace in traces],
            adversarial=[trace.adversarial for trace in traces],
        ),
        lambda: picture_bytes(images.transpose(0, 2, 3, 1)[None]),
        "comparison",
    )
