"""Accuracy against the step size of the transformation, behind a button."""

import json

import streamlit as st

from app.page.latent import step_charts
from app.page.latent.inference_modes import pick_attack_steps
from app.page.latent.modes_measure import step_curve
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download, table
from app.ui.state import Choice
from app.ui.units import percent
from app.ui.words import seeded_words
from robust_core.analysis.inference_modes import strong_attack
from robust_core.analysis.transformation_steps import StepCurve
from robust_core.attacks.base import Attack
from robust_core.attacks.description import describe_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.threat_model import Norm

MODE = Choice(
    "mode", "latent.steps.limited", {"imt": "ATLD (IMT)", "imt_plus": "ATLD+ (half steps)"}
)
NAMES = {
    "clean": "Clean",
    "static": "Static",
    "adaptive": "Adaptive",
    "worst": "Worst case",
}
STORY = (
    "Before it classifies an image, the model changes it by one step that increases the score of "
    "its discriminator. A larger step undoes more of an attack that ignores it (**static**), but "
    "may lower clean accuracy; an **adaptive** attack takes the step into account."
)


def show_steps(info: CheckpointInfo, attack: Attack, num_images: int) -> None:
    """Draw the view; threat model and seed are those of the page's attack."""
    st.markdown(STORY)
    left, right = st.columns([1, 2], vertical_alignment="bottom", gap="medium")
    with left:
        steps = pick_attack_steps()
    with right:
        limited = MODE.segmented("Inference mode") == "imt_plus"
    strong = strong_attack(info.num_classes, attack.threat_model, steps, attack.seed)
    curve = step_curve(info, strong, num_images, limited=limited)
    if curve is not None:
        _draw(curve)


def _draw(curve: StepCurve) -> None:
    scale, unit = (255, "Linf, n/255") if curve.norm is Norm.LINF else (1, "L2, pixel units")
    accuracies = {kind: curve.accuracies(kind) for kind in NAMES}
    own = curve.step_sizes.index(curve.default)
    worst = accuracies["worst"]
    best = max(range(len(worst)), key=worst.__getitem__)  # the smallest of equals
    st.markdown(
        f"The default step changes the accuracy under the static attack from "
        f"**{percent(accuracies['static'][0])}** to **{percent(accuracies['static'][own])}** and "
        f"the worst case from **{percent(worst[0])}** to **{percent(worst[own])}**. "
        f"The worst case is best ({percent(worst[best])}) "
        + (
            "without a step."
            if best == 0
            else f"with a step of {scale * curve.step_sizes[best]:.3g} ({unit})."
        )
    )
    st.plotly_chart(
        step_charts.step_size_curve(
            [scale * size for size in curve.step_sizes],
            accuracies,
            {kind: curve.intervals(kind) for kind in NAMES},
            NAMES,
            default=scale * curve.default,
            title=f"Step size of the transformation ({unit})",
        ),
        config=PLAIN_CHART,
        key="latent.steps",
        alt="Accuracy against the step size: "
        + "; ".join(
            f"step {scale * size:.3g}: "
            + ", ".join(f"{NAMES[kind].lower()} {percent(accuracies[kind][i])}" for kind in NAMES)
            for i, size in enumerate(curve.step_sizes)
        ),
    )
    st.caption(
        f"{seeded_words(curve.attack)}, "
        f"{curve.num_images} test images, bars: 95\u00a0% intervals. Static: computed once on the "
        "base network. Adaptive: computed through the transformation with the same step size. "
        "Worst case: correct on the clean image and under both. At step 0 the model is ATLD- and "
        "both attacks are the same."
    )
    _downloads(curve)


def _downloads(curve: StepCurve) -> None:
    found = curve.rows()
    content = {
        "attack": describe_attack(curve.attack),
        "num_images": curve.num_images,
        "norm": str(curve.norm),
        "default_step_size": curve.default,
        "limited": curve.limited,
        "results": found,
    }
    with st.container(horizontal=True):
        rows = [list(row.values()) for row in found]
        download("Curve, CSV", lambda: table(list(found[0]), rows), "imt-step-size.csv")
        download("Curve, JSON", lambda: json.dumps(content, indent=2), "imt-step-size.json")
