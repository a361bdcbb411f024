"""Ranked pairs on the page Hard pairs, and confusion against the similarity of classes."""

import math
from collections.abc import Mapping
from typing import Any

import streamlit as st
import torch

from app.page.hard_pairs import charts
from app.page.hard_pairs.controls import CONFUSION, VIEW, cell_keys
from app.page.hard_pairs.measure import NO_CLASS_WEIGHTS, NO_FEATURES
from app.ui.plain import in_markdown
from app.ui.units import percent
from robust_core.analysis.confusion import Denominator, HardPair, hard_pairs, row_entropy
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.analysis.hard_classes import rank_correlation
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_PAIRS = 20
TABLE_KEY = "hard_pairs.pairs"


def show_pairs(run: ConfusionRun, info: CheckpointInfo, among: Denominator) -> None:
    """Draw the pairs, hardest first, and the entropy of the errors of each class."""
    shares = run.confusion().attacked_shares(among)
    names = [in_markdown(name) for name in info.class_names]
    pairs = hard_pairs(shares, MOST_PAIRS)
    if not pairs:
        st.info("No image is misclassified under this attack: increase epsilon.")
        return
    first = pairs[0]
    st.markdown(
        f"The hardest pair is **{names[first.first]} and {names[first.second]}**: under attack, "
        f"{percent(float(shares[first.first, first.second]))} of {names[first.first]} are "
        f"predicted as {names[first.second]}, and "
        f"{percent(float(shares[first.second, first.first]))} of {names[first.second]} as "
        f"{names[first.first]}."
    )
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        _pair_table(pairs, shares, info)
    with right:
        _entropy_table(shares, info)


def show_similarity(run: ConfusionRun, info: CheckpointInfo, among: Denominator) -> None:
    """Plot how often classes are confused against their similarity."""
    shares, names = run.confusion().attacked_shares(among), info.class_names
    kinds = (
        (
            "class weights",
            "Cosine of the weights of two classes",
            run.weight_similarity,
            NO_CLASS_WEIGHTS,
        ),
        ("mean features", "Cosine of the mean features", run.feature_similarity, NO_FEATURES),
    )
    st.markdown(
        "If similar classes act as virtual targets, the points rise to the right: the more similar "
        "two classes are to the network, the more often they are confused."
    )
    for column, (kind, axis, similarity, reason) in zip(
        st.columns(2, gap="large"), kinds, strict=True
    ):
        with column:
            st.subheader(f"Similarity of {kind}", anchor=False)
            if similarity is None:
                st.info(reason)
                continue
            correlation = rank_correlation(similarity, shares)
            st.metric(
                "Spearman's rank correlation",
                "undefined" if math.isnan(correlation) else f"{correlation:+.2f}",
                help="Correlation of S_ij and R_ij over all i ≠ j. The entries are not "
                "independent, so no p-value is given.",
            )
            st.plotly_chart(
                charts.similarity_scatter(similarity.numpy(), shares.numpy(), names, axis),
                key=f"hard_pairs.scatter.{kind}",
                alt=f"Confusion against similarity of {kind}; rank correlation {correlation:.2f}.",
            )


def _pair_table(pairs: list[HardPair], shares: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("Ranked pairs", anchor=False)
    names = info.class_names
    rows = [
        {
            "Pair A ⇄ B": f"{names[pair.first]} ⇄ {names[pair.second]}",
            "A → B": 100 * float(shares[pair.first, pair.second].nan_to_num()),
            "B → A": 100 * float(shares[pair.second, pair.first].nan_to_num()),
            "Mean": 100 * pair.strength,
            "Symmetry": pair.mutuality,
        }
        for pair in pairs
    ]

    def chosen() -> None:
        _open_pair(st.session_state[TABLE_KEY], pairs, info)

    share = st.column_config.NumberColumn(format="%.1f\u00a0%%")
    st.dataframe(
        rows,
        hide_index=True,
        key=TABLE_KEY,
        on_select=chosen,
        selection_mode="single-row",
        column_config={
            "A → B": share,
            "B → A": share,
            "Mean": st.column_config.NumberColumn(
                format="%.1f\u00a0%%", help="Mean of both directions, (R_ij + R_ji) / 2."
            ),
            "Symmetry": st.column_config.ProgressColumn(
                min_value=0.0,
                max_value=1.0,
                format="%.2f",
                help="min(R_ij, R_ji) / max(R_ij, R_ji): 0 one direction only, 1 both equal.",
            ),
        },
    )
    st.caption("Select a row to see the images of the pair in the view Confusion.")


def _open_pair(event: Mapping[str, Any], pairs: list[HardPair], info: CheckpointInfo) -> None:
    for row in event["selection"]["rows"]:
        label_key, predicted_key = cell_keys(info)
        st.session_state[label_key] = pairs[row].first
        st.session_state[predicted_key] = pairs[row].second
        VIEW.put(CONFUSION)


def _entropy_table(shares: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("Concentration of errors", anchor=False)
    entropy, names = row_entropy(shares), info.class_names
    errors = torch.nan_to_num(shares).fill_diagonal_(0.0)
    rows = [
        {
            "Class": names[k],
            "Most frequent error": names[int(errors[k].argmax())],
            "Entropy": float(entropy[k]),
        }
        for k in range(info.num_classes)
        if not math.isnan(float(entropy[k]))
    ]
    st.dataframe(
        sorted(rows, key=lambda row: row["Entropy"]),
        hide_index=True,
        column_config={
            "Entropy": st.column_config.ProgressColumn(
                min_value=0.0,
                max_value=1.0,
                format="%.2f",
                help="Entropy of the errors of a class, divided by log(K - 1): 0 if all errors are "
                "one class (a virtual target), 1 if all wrong classes are equally frequent.",
            )
        },
    )
    st.caption("Classes without errors under attack are left out.")
