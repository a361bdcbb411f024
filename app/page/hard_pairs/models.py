"""Two models under the same attack on the same images: which classes each of them confuses."""

import streamlit as st
import torch

from app.page.hard_pairs import map_charts, measure
from app.page.hard_pairs.charts import model_bars
from app.page.hard_pairs.controls import AMONG, other_part
from app.page.hard_pairs.summary import show_summary
from app.ui import models
from app.ui.downloads import download, table
from app.ui.model_picker import in_order
from app.ui.plain import in_markdown
from app.ui.units import count_words, percent
from app.ui.words import checkpoint_title, defended
from robust_core.analysis.confusion import Denominator
from robust_core.analysis.confusion_change import PairChange, pair_changes, paired_outcome
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.checkpoints.catalog import CheckpointInfo

MOST_PAIRS = 12


def show_models(run: ConfusionRun, info: CheckpointInfo, among: Denominator) -> None:
    """Draw the confusion matrices of both models, their difference, and accuracies per class."""
    other = _pick_other(info)
    if other is None:
        st.info(
            "There is no other model for these images and classes: train one on the page Train."
        )
        return
    second = measure.other_run(other, run.plan)
    if second is None:
        return
    show_summary(second, other)
    matrices = [each.confusion().attacked_shares(among) for each in (run, second)]
    changes = pair_changes(matrices[0], matrices[1])
    _show_finding(run, second, info, other, changes)
    high = max(map_charts.largest_error(matrix.numpy()) for matrix in matrices)
    places = st.columns(2, gap="large")
    for number, (place, which) in enumerate(zip(places, (info, other), strict=True)):
        with place:
            st.subheader(in_markdown(which.name), anchor=False)
            st.altair_chart(
                map_charts.confusion_map(
                    matrices[number].numpy(), None, info.class_names, high=high
                ),
                key=f"hard_pairs.model.{number}",
                alt=f"Confusion matrix of {which.name} under attack.",
            )
    st.caption(f"Per cent of the class in the row ({AMONG[among]}), on the same colour scale.")
    left, right = st.columns(2, gap="large")
    with left:
        _show_difference(matrices[1] - matrices[0], info, other)
    with right:
        _show_changes(changes, info, other)
    _show_classes(run, second, info, other)


def _pick_other(info: CheckpointInfo) -> CheckpointInfo | None:
    """Draw the choice of a second model for the same images and classes; None without one."""
    fitting = {
        one.name: one
        for one in in_order(models.checkpoints())
        if one.name != info.name
        and (one.config.data, one.class_names) == (info.config.data, info.class_names)
    }
    if not fitting:
        return None
    unmasked = [one.name for one in fitting.values() if defended(one) and not one.masks_gradients]
    name = other_part(list(fitting), (unmasked or list(fitting))[0]).select(
        "Second model", format_func=lambda name: checkpoint_title(fitting[name]), width=320
    )
    return fitting[name]


def _show_finding(
    run: ConfusionRun,
    second: ConfusionRun,
    info: CheckpointInfo,
    other: CheckpointInfo,
    changes: list[PairChange],
) -> None:
    right = [run.robust, second.robust]
    shares = [percent(float(mask.float().mean())) for mask in right]
    outcome = paired_outcome(*right)
    sentence = (
        f"Robust accuracy: **{in_markdown(info.name)}** **{shares[0]}**, "
        f"**{in_markdown(other.name)}** **{shares[1]}**. "
        f"{count_words(outcome.only_first, 'image')} robust only on the first model, "
        f"{outcome.only_second} only on the second (exact McNemar test, "
        f"p = {outcome.p_value:.2g})."
    )
    if changes:
        names, most = [in_markdown(name) for name in info.class_names], changes[0]
        sentence += (
            f" Largest change: {names[most.first]} and {names[most.second]} are confused in "
            f"{percent(most.strength)} of cases by the first model, in {percent(most.other)} by "
            "the second."
        )
    st.markdown(sentence)


def _show_difference(difference: torch.Tensor, info: CheckpointInfo, other: CheckpointInfo) -> None:
    st.subheader("Difference", anchor=False)
    off = difference.nan_to_num(0.0).fill_diagonal_(0.0)
    i, j = divmod(int(off.abs().argmax()), len(off))
    names = info.class_names
    st.altair_chart(
        map_charts.confusion_map(difference.numpy(), None, names, signed=True),
        key="hard_pairs.model_difference",
        alt=f"Difference of the confusion matrices; the largest is {100 * off[i, j]:+.0f} points, "
        f"{names[i]} predicted as {names[j]}.",
    )
    st.caption(
        f"{in_markdown(f'{other.name} minus {info.name}')}, in percentage points: blue where the "
        "second model makes "
        "fewer errors, orange where it makes more."
    )


def _show_changes(changes: list[PairChange], info: CheckpointInfo, other: CheckpointInfo) -> None:
    st.subheader("Largest changes", anchor=False)
    names = info.class_names
    rows = [
        {
            "Pair": f"{names[pair.first]} ⇄ {names[pair.second]}",
            "First": 100 * pair.strength,
            "Second": 100 * pair.other,
            "Change": 100 * pair.change,
        }
        for pair in changes
    ]
    share = st.column_config.NumberColumn(format="%.1f\u00a0%%")
    st.dataframe(
        rows[:MOST_PAIRS],
        hide_index=True,
        key="hard_pairs.changes",
        column_config={
            "First": share,
            "Second": share,
            "Change": st.column_config.NumberColumn(
                format="%+.1f",
                help="Change of the mean share (R_ij + R_ji) / 2, in percentage points.",
            ),
        },
    )
    head = ["Pair", "First", "Second", "Change"]
    download(
        "All pairs, CSV",
        lambda: table(head, [list(row.values()) for row in rows]),
        f"hard_pairs-{info.config.data.name}-two-models.csv",
        help=in_markdown(f"First: {info.name}. Second: {other.name}. In per cent."),
    )


def _show_classes(
    run: ConfusionRun, second: ConfusionRun, info: CheckpointInfo, other: CheckpointInfo
) -> None:
    st.subheader("Robust accuracy per class", anchor=False)
    first, last = (each.confusion().robust_accuracy() for each in (run, second))
    names = info.class_names
    st.plotly_chart(
        model_bars(first.accuracy.numpy(), last.accuracy.numpy(), (info.name, other.name), names),
        key="hard_pairs.model_classes",
        alt="Robust accuracy of both models for each class.",
    )
    st.caption(
        "Worst class: "
        + ", ".join(
            f"{names[each.worst]} ({percent(float(each.accuracy[each.worst]))}) for {which.name}"
            for each, which in ((first, info), (last, other))
        )
        + "."
    )
