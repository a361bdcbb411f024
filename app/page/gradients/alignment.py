"""Alignment of gradients and targets over test images: its baselines, and robust accuracy."""

from collections.abc import Sequence

import streamlit as st

from app.page.gradients import charts, measure
from app.page.gradients.baselines import show_baselines
from app.page.gradients.controls import theme, warn_of_masking
from app.page.gradients.maps import find_denoiser, pick_kind
from app.page.gradients.recipe import alignment_recipe
from app.page.gradients.scatter import show_scatter
from app.ui.charts import PLAIN_CHART
from app.ui.compared_models import comparable_models
from app.ui.copy_recipe import copy_recipe
from app.ui.plain import in_markdown
from app.ui.state import Choice
from app.ui.words import short_name
from robust_core.analysis.alignment import Alignment
from robust_core.checkpoints.catalog import CheckpointInfo

SAMPLE = Choice("sample", "gradients.sample", {"100": "100", "256": "256", "1000": "1,000"})


def show_alignment(models: Sequence[CheckpointInfo], infos: Sequence[CheckpointInfo]) -> None:
    """Measure the chosen models against their baselines; all models against their robustness.

    Args:
        models: the chosen one first.
        infos: every checkpoint.
    """
    info = models[0]
    left, right = st.columns([3, 1])
    with left:
        kind = pick_kind(info, infos)
    with right:
        number = int(SAMPLE.segmented("Test images"))
    warn_of_masking(models)
    denoiser = find_denoiser(info, infos) if kind == "SBG" else None
    found = measure.sample_alignment(models, kind, denoiser, number)
    if found is None:
        return
    show_baselines(models, found, kind)
    lines = alignment_recipe(info, kind, denoiser, number)
    copy_recipe(lines, key="gradients.alignment.recipe")
    _show_classes(info, found[0])
    st.subheader("Alignment and robust accuracy", anchor=False)
    chosen = {model.name for model in models}
    others = [one for one in comparable_models(info, infos) if one.name not in chosen]
    every = [*models, *others]
    all_found = measure.sample_alignment(
        every,
        kind,
        denoiser,
        number,
        name="gradients.alignment.all",
        label="Measure all models",
        teaser=f"Press Measure all models to compare all {len(every)} models of this data set.",
    )
    if all_found is not None:
        show_scatter(every, all_found, kind)


def _show_classes(info: CheckpointInfo, found: Alignment) -> None:
    """Draw the conflict of the targets and the cosines class by class."""
    conflict = float(found.conflict.mean())
    st.markdown(f"Conflict between the targets of an image: **{conflict:.2f}**.")
    st.caption(
        "The log-probability gradients of any softmax classifier, weighted by its probabilities, "
        "sum to zero. So they can align with all targets of an image only if some weighted mean of "
        "the target directions is zero, too. The conflict is the smallest norm of such a mean, "
        "averaged over the images. 0: all targets can be met; "
        f"{info.num_classes**-0.5:.2f}: as for random directions; 1: all targets are one direction."
    )
    st.markdown(f"**{in_markdown(short_name(info))}: mean cosine, class by class**")
    st.plotly_chart(
        charts.class_table(found.by_class.numpy(), info.class_names, theme()),
        config=PLAIN_CHART,
        key="gradients.table",
        alt=f"Mean cosine of gradients and targets by class; mean of the diagonal "
        f"{found.mean:.3f}.",
    )
    st.caption(
        "If the gradients align with the targets, the diagonal entry is the largest of its row."
    )
