"""Which class drives the attack: shares of the loss gradient, alignment of perturbations."""

import math

import streamlit as st
import torch

from app.page.hard_pairs import map_charts, measure
from app.page.hard_pairs.loss import trained_scale
from app.page.hard_pairs.measure import MOST_ALIGNED
from app.ui.units import percent
from robust_core.analysis.confusion import Denominator
from robust_core.analysis.confusion import hard_pairs as ranked_pairs
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.analysis.hard_classes import (
    gradient_share,
    hardest_classes,
    mean_at_hardest,
    perturbation_similarity,
    rank_correlation,
)
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_PAIRS = 10
STORY = (
    "For an image of class i, the gradient of the cross-entropy is a sum over the wrong classes j "
    "with weights p_j / (1 - p_i). If hard pairs drive the attack, one class has most of the "
    "weight, and the perturbation points towards it."
)


def show_gradient(run: ConfusionRun, info: CheckpointInfo, among: Denominator) -> None:
    """Draw gradient shares, alignment of perturbations, and both for the hardest pairs."""
    st.markdown(STORY)
    shares = run.confusion().attacked_shares(among)
    weights = gradient_share(_pick_scale(info) * run.logits, run.images.y)
    similarity = perturbation_similarity(run.images.x, run.x_adv, run.images.y, info.num_classes)
    alignment = measure.alignment(info, run)
    _show_numbers(weights, shares, alignment)
    left, right = st.columns(2, gap="large")
    with left:
        _show_weights(weights, info)
    with right:
        if alignment is not None:
            _show_alignment(alignment, run, info)
    left, right = st.columns(2, gap="large")
    with left:
        _show_similarity(similarity, info)
    with right:
        _show_pairs(shares, weights, alignment, similarity, info)


def _pick_scale(info: CheckpointInfo) -> float:
    """Draw the choice of the scale of cosine logits; 1 for other networks."""
    scale = trained_scale(info)
    if scale is None:
        return 1.0
    names = {1.0: "as used by the attack", scale: f"times {scale:g}, as in training"}
    chosen = st.segmented_control(
        "Logits",
        list(names),
        format_func=names.__getitem__,
        default=1.0,
        key="hard_pairs.logit_scale",
        required=True,
        persist_state="session",
        help="The logits of this network are cosines. They are so small that the gradient of the "
        "cross-entropy is spread almost evenly over the classes, which weakens attacks.",
    )
    return float(chosen or 1.0)


def _show_numbers(
    weights: torch.Tensor, shares: torch.Tensor, alignment: torch.Tensor | None
) -> None:
    hard, easy = mean_at_hardest(weights, shares)
    if math.isnan(hard):
        st.info("No image is misclassified under this attack: increase epsilon.")
        return
    columns = st.columns(4)
    columns[0].metric(
        "Gradient share of hardest class",
        percent(hard),
        f"uniform: {percent(1 / (len(shares) - 1))}",
        delta_color="off",
        delta_arrow="off",
        help="Mean weight, on clean images, of the class that each class is most often confused "
        f"with. The other wrong classes have {percent(easy)} each on average.",
    )
    columns[1].metric(
        "Rank correlation",
        _signed(rank_correlation(weights, shares)),
        help="Spearman's correlation of gradient share and confusion under attack, over all i ≠ j.",
    )
    if alignment is None:
        return
    hardest = hardest_classes(shares)
    measured = (hardest >= 0) & torch.isfinite(alignment).any(dim=1)
    nearest = alignment.nan_to_num(-2.0).argmax(dim=1)
    agree = int((nearest == hardest)[measured].sum())
    columns[2].metric(
        "Aligned with hardest class",
        f"{agree} of {int(measured.sum())} classes",
        help="Classes whose perturbations have the largest mean cosine with the gradient towards "
        "the class they are most often confused with.",
    )
    at_hard, at_easy = mean_at_hardest(alignment, shares)
    columns[3].metric(
        "Cosine with hardest class",
        _signed(at_hard),
        f"other classes: {_signed(at_easy)}",
        delta_color="off",
        delta_arrow="off",
        help="Mean cosine of the perturbations and the gradient towards the hardest class.",
    )


def _show_weights(weights: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("Gradient share", anchor=False)
    names = info.class_names
    i, j = divmod(int(weights.nan_to_num(-1.0).argmax()), len(names))
    st.altair_chart(
        map_charts.confusion_map(weights.numpy(), None, names, columns="Wrong class"),
        key="hard_pairs.gradient_share",
        alt=f"Gradient shares; the largest is {percent(float(weights[i, j]))}, of {names[j]} for "
        f"images of {names[i]}.",
    )
    st.caption(
        "Share of class j (column) in the weight of all wrong classes, in per cent, for clean "
        "images of class i (row). Rows sum to 100."
    )


def _show_alignment(alignment: torch.Tensor, run: ConfusionRun, info: CheckpointInfo) -> None:
    st.subheader("Alignment of perturbations", anchor=False)
    names = info.class_names
    i, j = divmod(int(alignment.nan_to_num(-2.0).argmax()), len(names))
    st.altair_chart(
        map_charts.cosine_map(alignment.numpy(), names, columns="Gradient towards"),
        key="hard_pairs.alignment",
        alt=f"Cosines of perturbations and gradients; the largest is {alignment[i, j]:.2f}, of "
        f"{names[i]} with the gradient towards {names[j]}.",
    )
    st.caption(
        f"100 times the mean cosine of the perturbation and the gradient of z_j - z_i at the "
        f"clean image; {min(MOST_ALIGNED, len(run.images))} images of the sample."
    )


def _show_similarity(similarity: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("Similarity of perturbations", anchor=False)
    names = info.class_names
    off = similarity.clone().fill_diagonal_(float("nan")).nan_to_num(2.0)
    i, j = divmod(int(off.argmin()), len(names))
    st.altair_chart(
        map_charts.cosine_map(similarity.numpy(), names, columns="Second class"),
        key="hard_pairs.perturbations",
        alt=f"Cosines of the perturbations of two classes; most opposed: {names[i]} and "
        f"{names[j]} with {off[i, j]:.2f}.",
    )
    st.caption(
        "100 times the mean cosine between perturbations of images of two classes. Below 0: the "
        "perturbations are opposed, as for two classes that are confused with each other."
    )


def _show_pairs(
    shares: torch.Tensor,
    weights: torch.Tensor,
    alignment: torch.Tensor | None,
    similarity: torch.Tensor,
    info: CheckpointInfo,
) -> None:
    st.subheader("The hardest pairs", anchor=False)
    names, rows = info.class_names, []
    for pair in ranked_pairs(shares, MOST_PAIRS):
        i, j = pair.first, pair.second
        row = {
            "Pair": f"{names[i]} → {names[j]}",
            "Confusion": 100 * float(shares[i, j]),
            "Gradient share": 100 * float(weights[i, j]),
        }
        if alignment is not None:
            row["Alignment"] = float(alignment[i, j])
        rows.append(row | {"Similarity": float(similarity[i, j])})
    share = st.column_config.NumberColumn(format="%.0f\u00a0%%")
    cosine = st.column_config.NumberColumn(format="%+.2f")
    st.dataframe(
        rows,
        hide_index=True,
        key="hard_pairs.steering",
        column_config={
            "Confusion": share,
            "Gradient share": share,
            "Alignment": cosine,
            "Similarity": cosine,
        },
    )
    st.caption("Confusion under attack, and the values of the three maps, for label → prediction.")


def _signed(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:+z.2f}"
