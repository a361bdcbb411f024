"""Ranked pairs of the page Hard pairs, and whether similar classes are taken for each other."""

import math
from collections.abc import Mapping
from typing import Any

import streamlit as st
import torch

from app.page.hard_pairs import charts
from app.page.hard_pairs.controls import CONFUSION, VIEW_KEY, cell_keys
from app.page.hard_pairs.measure import NO_CLASS_WEIGHTS, Study
from app.ui.units import percent
from robust_core.analysis.confusion import Denominator, HardPair, hard_pairs, row_entropy
from robust_core.analysis.hard_classes import rank_correlation
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_PAIRS = 20
TABLE_KEY = "hard_pairs.pairs"


def show_pairs(study: Study, info: CheckpointInfo, among: Denominator) -> None:
    """Draw the pairs, the strongest first, and how evenly the errors of each class are spread."""
    shares, names = study.confusion().attacked_shares(among), info.class_names
    pairs = hard_pairs(shares, MOST_PAIRS)
    if not pairs:
        st.info("No class is taken for another under this attack: raise the radius.")
        return
    first = pairs[0]
    st.markdown(
        f"The hardest pair is **{names[first.first]} and {names[first.second]}**: under attack, "
        f"{percent(float(shares[first.first, first.second]))} of {names[first.first]} end as "
        f"{names[first.second]}, and {percent(float(shares[first.second, first.first]))} of "
        f"{names[first.second]} as {names[first.first]}."
    )
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        _pair_table(pairs, shares, info)
    with right:
        _entropy_table(shares, info)


def show_similarity(study: Study, info: CheckpointInfo, among: Denominator) -> None:
    """Draw the similarity of classes against how often one is taken for the other."""
    shares, names = study.confusion().attacked_shares(among), info.class_names
    kinds = (
        ("class weights", "Cosine of the weights of two classes", study.weight_similarity),
        ("mean features", "Cosine of the mean features", study.feature_similarity),
    )
    st.markdown(
        "If similarity makes virtual targets, the points rise to the right: the more alike two "
        "classes are to the network, the more images of one end as the other."
    )
    for column, (word, axis, similarity) in zip(st.columns(2, gap="large"), kinds, strict=True):
        with column:
            st.subheader(f"Similarity of {word}", anchor=False)
            if similarity is None:
                st.info(NO_CLASS_WEIGHTS)
                continue
            correlation = rank_correlation(similarity, shares)
            st.metric(
                "Spearman's rank correlation",
                "undefined" if math.isnan(correlation) else f"{correlation:+.2f}",
                help="Of S_ij and R_ij over all i ≠ j. The entries depend on each other, so no "
                "p-value is given.",
            )
            st.plotly_chart(
                charts.similarity_scatter(similarity.numpy(), shares.numpy(), names, axis),
                key=f"hard_pairs.scatter.{word}",
                alt=f"Similarity of {word} against confusion, rank correlation {correlation:.2f}.",
            )


def _pair_table(pairs: list[HardPair], shares: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("Ranked pairs", anchor=False)
    names = info.class_names
    rows = [
        {
            "Pair": f"{names[pair.first]} ⇄ {names[pair.second]}",
            "There": 100 * float(shares[pair.first, pair.second].nan_to_num()),
            "Back": 100 * float(shares[pair.second, pair.first].nan_to_num()),
            "Strength": 100 * pair.strength,
            "Mutuality": pair.mutuality,
        }
        for pair in pairs
    ]

    def chosen() -> None:
        _open_pair(st.session_state[TABLE_KEY], pairs, info)

    share = st.column_config.NumberColumn(format="%.1f %%")
    st.dataframe(
        rows,
        hide_index=True,
        key=TABLE_KEY,
        on_select=chosen,
        selection_mode="single-row",
        column_config={
            "There": share,
            "Back": share,
            "Strength": st.column_config.NumberColumn(
                format="%.1f %%", help="(R_ij + R_ji) / 2: the mean of there and back."
            ),
            "Mutuality": st.column_config.ProgressColumn(
                min_value=0.0,
                max_value=1.0,
                format="%.2f",
                help="min(R_ij, R_ji) / max(R_ij, R_ji): 0 one way only, 1 both ways alike.",
            ),
        },
    )
    st.caption("Mark a row to see the images of the pair in the view Confusion.")


def _open_pair(event: Mapping[str, Any], pairs: list[HardPair], info: CheckpointInfo) -> None:
    for row in event["selection"]["rows"]:
        label_key, predicted_key = cell_keys(info)
        st.session_state[label_key] = pairs[row].first
        st.session_state[predicted_key] = pairs[row].second
        st.session_state[VIEW_KEY] = CONFUSION


def _entropy_table(shares: torch.Tensor, info: CheckpointInfo) -> None:
    st.subheader("How the errors spread", anchor=False)
    entropy, names = row_entropy(shares), info.class_names
    errors = torch.nan_to_num(shares).fill_diagonal_(0.0)
    rows = [
        {
            "Class": names[k],
            "Mostly taken for": names[int(errors[k].argmax())],
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
                help="Of the errors of a class, over log(K - 1): 0 one class takes them all (a "
                "virtual target), 1 all wrong classes get the same.",
            )
        },
    )
    st.caption("Classes without an error under attack are left out.")
