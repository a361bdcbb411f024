"""Two models under the same attack on the same images: what either confuses less or more."""

import csv
import io

import streamlit as st
import torch

from app.page.hard_pairs import map_charts, measure
from app.page.hard_pairs.charts import model_bars
from app.page.hard_pairs.controls import AMONG, OTHER_KEY
from app.page.hard_pairs.costly import Cost, after_button
from app.page.hard_pairs.measure import Study
from app.page.hard_pairs.summary import show_summary
from app.ui import cached
from app.ui.model_picker import in_order
from app.ui.units import percent
from app.ui.words import checkpoint_title, defended
from robust_core.analysis.confusion import Denominator
from robust_core.analysis.confusion_change import PairChange, pair_changes, paired_outcome
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs.subjects import masks_gradients

MOST_PAIRS = 12


def show_models(study: Study, info: CheckpointInfo, among: Denominator) -> None:
    """Draw the confusion of both models, their difference, and both class by class."""
    other = _pick_other(info)
    if other is None:
        st.info("No other model knows these images and classes: train one on the page Train.")
        return
    second = _other_study(study, other)
    if second is None:
        return
    show_summary(second, other)
    matrices = [each.confusion().attacked_shares(among) for each in (study, second)]
    changes = pair_changes(matrices[0], matrices[1])
    _show_finding(study, second, info, other, changes)
    high = max(map_charts.largest_error(matrix.numpy()) for matrix in matrices)
    places = st.columns(2, gap="large")
    for number, (place, which) in enumerate(zip(places, (info, other), strict=True)):
        with place:
            st.subheader(which.name, anchor=False)
            st.altair_chart(
                map_charts.confusion_map(
                    matrices[number].numpy(), None, info.class_names, high=high
                ),
                key=f"hard_pairs.model.{number}",
                alt=f"Map of confusions under attack of {which.name}.",
            )
    st.caption(f"Per cent of the class in the row ({AMONG[among]}); both maps have one scale.")
    left, right = st.columns(2, gap="large")
    with left:
        _show_difference(matrices[1] - matrices[0], info, other)
    with right:
        _show_changes(changes, info, other)
    _show_classes(study, second, info, other)


def _pick_other(info: CheckpointInfo) -> CheckpointInfo | None:
    """Draw the choice among models of the same images and classes; None without one."""
    fitting = {
        one.name: one
        for one in in_order(cached.checkpoints())
        if one.name != info.name
        and (one.config.data, one.class_names) == (info.config.data, info.class_names)
    }
    if not fitting:
        return None
    if st.session_state.get(OTHER_KEY) not in fitting:
        honest = [
            one.name for one in fitting.values() if defended(one) and not masks_gradients(one)
        ]
        st.session_state[OTHER_KEY] = (honest or list(fitting))[0]
    name = st.selectbox(
        "Other model",
        list(fitting),
        format_func=lambda name: checkpoint_title(fitting[name]),
        key=OTHER_KEY,
        persist_state="session",
        width=320,
    )
    return fitting[name]


def _other_study(study: Study, other: CheckpointInfo) -> Study | None:
    """Return the study of the other model; draw its button as long as it is not known."""
    known = measure.known_study(other, study.plan)
    if known is not None:
        return known
    attack = study.plan.attack(cached.load_model(other).stochastic)
    number = len(study.images)
    return after_button(
        f"Attack {other.name}, too",
        "The same attack on the same images, and both maps appear side by side.",
        "Attacks every image",
        cost=Cost(number * attack.passes(), measure.seconds(other, attack, number)),
        work=lambda check, report: measure.run_study(
            other, study.plan, check=check, on_share=report
        ),
    )


def _show_finding(
    study: Study,
    second: Study,
    info: CheckpointInfo,
    other: CheckpointInfo,
    changes: list[PairChange],
) -> None:
    right = [_stands(each) for each in (study, second)]
    shares = [percent(float(mask.float().mean())) for mask in right]
    outcome = paired_outcome(*right)
    sentence = (
        f"**{info.name}** is right on **{shares[0]}** under attack, **{other.name}** on "
        f"**{shares[1]}**: {outcome.only_first} images only the first, {outcome.only_second} only "
        f"the second (exact McNemar test, p = {outcome.p_value:.2g})."
    )
    if changes:
        names, most = info.class_names, changes[0]
        sentence += (
            f" Most changes for {names[most.first]} and {names[most.second]}: taken for each other "
            f"{percent(most.strength)} of the time by the first, {percent(most.other)} by the "
            "second."
        )
    st.markdown(sentence)


def _stands(study: Study) -> torch.Tensor:
    y = study.images.y
    return (study.prediction == y) & (study.attacked == y)


def _show_difference(difference: torch.Tensor, info: CheckpointInfo, other: CheckpointInfo) -> None:
    st.subheader("Difference", anchor=False)
    off = difference.nan_to_num(0.0).fill_diagonal_(0.0)
    i, j = divmod(int(off.abs().argmax()), len(off))
    names = info.class_names
    st.altair_chart(
        map_charts.confusion_map(difference.numpy(), None, names, signed=True),
        key="hard_pairs.model_difference",
        alt=f"Difference of both maps; the largest is {100 * off[i, j]:+.0f} points, {names[i]} "
        f"taken for {names[j]}.",
    )
    st.caption(
        f"Points of {other.name} minus {info.name}: blue where the second model errs less, orange "
        "where more."
    )


def _show_changes(changes: list[PairChange], info: CheckpointInfo, other: CheckpointInfo) -> None:
    st.subheader("Pairs that change most", anchor=False)
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
    share = st.column_config.NumberColumn(format="%.1f %%")
    st.dataframe(
        rows[:MOST_PAIRS],
        hide_index=True,
        key="hard_pairs.changes",
        column_config={
            "First": share,
            "Second": share,
            "Change": st.column_config.NumberColumn(
                format="%+.1f", help="Points of the pair's mean share, (R_ij + R_ji) / 2."
            ),
        },
    )
    text = io.StringIO()
    table = csv.DictWriter(text, ["Pair", "First", "Second", "Change"])
    table.writeheader()
    table.writerows(rows)
    st.download_button(
        "CSV of all pairs",
        text.getvalue(),
        f"hard_pairs-{info.config.data.name}-two-models.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help=f"First: {info.name}. Second: {other.name}. In per cent.",
    )


def _show_classes(study: Study, second: Study, info: CheckpointInfo, other: CheckpointInfo) -> None:
    st.subheader("Right under attack, class by class", anchor=False)
    first, last = (each.confusion().robust_accuracy() for each in (study, second))
    names = info.class_names
    st.plotly_chart(
        model_bars(first.accuracy.numpy(), last.accuracy.numpy(), (info.name, other.name), names),
        key="hard_pairs.model_classes",
        alt="Robust accuracy of every class of both models.",
    )
    st.caption(
        "Worst class: "
        + ", ".join(
            f"{names[each.worst]} with {percent(float(each.accuracy[each.worst]))} for {which.name}"
            for each, which in ((first, info), (last, other))
        )
        + "."
    )
