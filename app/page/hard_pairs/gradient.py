"""Which class steers the attack: shares of the loss gradient, and what perturbations follow."""

import math

import streamlit as st
import torch

from app.page.hard_pairs import map_charts, measure
from app.page.hard_pairs.costly import Cost, after_button, with_progress
from app.page.hard_pairs.loss import trained_scale
from app.page.hard_pairs.measure import MOST_ALIGNED, Study
from app.ui.units import percent
from robust_core.analysis.confusion import Denominator
from robust_core.analysis.confusion import hard_pairs as ranked_pairs
from robust_core.analysis.hard_classes import (
    gradient_share,
    hardest_classes,
    mean_at_hardest,
    perturbation_similarity,
    rank_correlation,
)
from robust_core.checkpoints.catalog import CheckpointInfo

LIVE_SECONDS = 0.5  # alignments estimated below this are measured at once
MOST_PAIRS = 10
STORY = (
    "On an image of class i, the gradient of cross-entropy is a sum over the wrong classes j, each "
    "weighted by p_j / (1 - p_i). If hard pairs steer the attack, one class holds most of the "
    "weight, and the perturbation points to it."
)


def show_gradient(study: Study, info: CheckpointInfo, among: Denominator) -> None:
    """Draw who holds the gradient, whom perturbations follow, and both for the hardest pairs."""
    st.markdown(STORY)
    shares = study.confusion().attacked_shares(among)
    weights = gradient_share(_pick_scale(info) * study.logits, study.images.y)
    alike = perturbation_similarity(study.images.x, study.x_adv, study.images.y, info.num_classes)
    alignment = _alignment(study, info)
    _show_numbers(weights, shares, alignment)
    left, right = st.columns(2, gap="large")
    with left:
        _show_weights(weights, info)
    with right:
        if alignment is not None:
            _show_alignment(alignment, study, info)
    left, right = st.columns(2, gap="large")
    with left:
        _show_alike(alike, info)
    with right:
        _show_pairs(shares, weights, alignment, alike, info)


def _pick_scale(info: CheckpointInfo) -> float:
    """Draw the choice of the scale of cosine logits; 1 for every other network."""
    scale = trained_scale(info)
    if scale is None:
        return 1.0
    names = {1.0: "as the attack sees them", scale: f"times {scale:g}, as in training"}
    chosen = st.segmented_control(
        "Logits",
        list(names),
        format_func=names.__getitem__,
        default=1.0,
        key="hard_pairs.logit_scale",
        required=True,
        persist_state="session",
        help="The network returns cosines. Cross-entropy of such small numbers splits its gradient "
        "almost evenly, which weakens an attack by it.",
    )
    return float(chosen or 1.0)


def _alignment(study: Study, info: CheckpointInfo) -> torch.Tensor | None:
    """Return what perturbations follow; draw its button as long as it is not known."""
    known = measure.known_alignment(info, study.plan)
    if known is not None:
        return known
    passes = min(MOST_ALIGNED, len(study.images)) * (info.num_classes - 1)
    cost = Cost(passes, passes * measure.seconds_per_pass(info))

    def work(check, report):
        return measure.run_alignment(info, study, check=check, on_share=report)

    words = "Compares perturbations and gradients"
    if cost.seconds <= LIVE_SECONDS:
        return with_progress(work, words)
    return after_button(
        "Measure what perturbations follow",
        "Compares the perturbation of an image with the gradient towards every class.",
        words,
        cost=cost,
        work=work,
    )


def _show_numbers(
    weights: torch.Tensor, shares: torch.Tensor, alignment: torch.Tensor | None
) -> None:
    hard, easy = mean_at_hardest(weights, shares)
    if math.isnan(hard):
        st.info("No class is taken for another under this attack: raise the radius.")
        return
    columns = st.columns(4)
    columns[0].metric(
        "Hardest class holds",
        percent(hard),
        f"an even split: {percent(1 / (len(shares) - 1))}",
        delta_color="off",
        delta_arrow="off",
        help="Share of the gradient: mean over classes of the weight of the class that they are "
        f"mostly taken for, on clean images. Every other wrong class holds {percent(easy)} in the "
        "mean.",
    )
    columns[1].metric(
        "Rank correlation",
        _signed(rank_correlation(weights, shares)),
        help="Spearman's, of gradient share and confusion under attack over all i ≠ j.",
    )
    if alignment is None:
        return
    hardest = hardest_classes(shares)
    judged = (hardest >= 0) & torch.isfinite(alignment).any(dim=1)
    followed = alignment.nan_to_num(-2.0).argmax(dim=1)
    agree = int((followed == hardest)[judged].sum())
    columns[2].metric(
        "Hardest is followed",
        f"{agree} of {int(judged.sum())} classes",
        help="Classes whose perturbations have the largest mean cosine with the gradient towards "
        "the class that they are mostly taken for.",
    )
    at_hard, at_easy = mean_at_hardest(alignment, shares)
    columns[3].metric(
        "Cosine with its gradient",
        _signed(at_hard),
        f"other classes: {_signed(at_easy)}",
        delta_color="off",
        delta_arrow="off",
        help="Mean cosine of perturbations with the gradient towards the hardest class.",
    )


def _show_weights(weights: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("Share of the gradient", anchor=False)
    names = info.class_names
    i, j = divmod(int(weights.nan_to_num(-1.0).argmax()), len(names))
    st.altair_chart(
        map_charts.confusion_map(weights.numpy(), None, names, columns="Steering"),
        key="hard_pairs.gradient_share",
        alt=f"Shares of the gradient; the largest is {weights[i, j]:.0%}, held by {names[j]} on "
        f"images of {names[i]}.",
    )
    st.caption(
        "Per cent of the weight of all wrong classes that class j (column) holds on clean images "
        "of class i (row). Rows add up to 100."
    )


def _show_alignment(alignment: torch.Tensor, study: Study, info: CheckpointInfo) -> None:
    st.subheader("What perturbations follow", anchor=False)
    names = info.class_names
    i, j = divmod(int(alignment.nan_to_num(-2.0).argmax()), len(names))
    st.altair_chart(
        map_charts.cosine_map(alignment.numpy(), names, columns="Gradient towards"),
        key="hard_pairs.alignment",
        alt=f"Cosines of perturbations and gradients; the largest is {alignment[i, j]:.2f}, of "
        f"{names[i]} with the gradient towards {names[j]}.",
    )
    st.caption(
        f"Mean cosine, in hundredths, of the perturbation with the gradient of z_j - z_i at the "
        f"clean image; {min(MOST_ALIGNED, len(study.images))} images of the sample."
    )


def _show_alike(alike: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("Perturbations of two classes", anchor=False)
    names = info.class_names
    off = alike.clone().fill_diagonal_(float("nan")).nan_to_num(2.0)
    i, j = divmod(int(off.argmin()), len(names))
    st.altair_chart(
        map_charts.cosine_map(alike.numpy(), names, columns="And of"),
        key="hard_pairs.perturbations",
        alt=f"Cosines of the perturbations of two classes; most opposed are {names[i]} and "
        f"{names[j]} with {off[i, j]:.2f}.",
    )
    st.caption(
        "Mean cosine, in hundredths, between the perturbation of an image of one class and that of "
        "another. Below 0: what is painted into one is taken out of the other, as between classes "
        "that are each other's target."
    )


def _show_pairs(
    shares: torch.Tensor,
    weights: torch.Tensor,
    alignment: torch.Tensor | None,
    alike: torch.Tensor,
    info: CheckpointInfo,
) -> None:
    st.subheader("The hardest pairs", anchor=False)
    names, rows = info.class_names, []
    for pair in ranked_pairs(shares, MOST_PAIRS):
        i, j = pair.first, pair.second
        row = {
            "Pair": f"{names[i]} → {names[j]}",
            "Taken": 100 * float(shares[i, j]),
            "Gradient": 100 * float(weights[i, j]),
        }
        if alignment is not None:
            row["Follows"] = float(alignment[i, j])
        rows.append(row | {"Perturbations": float(alike[i, j])})
    share = st.column_config.NumberColumn(format="%.0f %%")
    cosine = st.column_config.NumberColumn(format="%+.2f")
    st.dataframe(
        rows,
        hide_index=True,
        key="hard_pairs.steering",
        column_config={
            "Taken": share,
            "Gradient": share,
            "Follows": cosine,
            "Perturbations": cosine,
        },
    )
    st.caption("The numbers of the three maps, and of confusion, for the direction that is taken.")


def _signed(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:+z.2f}"
