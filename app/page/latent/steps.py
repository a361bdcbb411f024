"""Accuracy against the step size of the transformation, behind a Run button."""

import csv
import io
import json

import streamlit as st

from app.page.latent import step_charts
from app.page.latent.steps_measure import (
    StepCurve,
    expected_seconds,
    known_curve,
    measure,
    rows,
    step_sizes,
)
from app.page.latent.uses import pick_attack_steps
from app.page.latent.uses_measure import strong_attack
from app.ui import cached
from app.ui.units import duration_words, percent
from app.ui.words import seeded_words
from robust_core.attacks.apgd import APGD
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.accuracy import describe_attack
from robust_core.threat_model import Norm

LIMITED_KEY = "latent.steps.limited"
USES = {"imt": "ATLD (IMT)", "imt_plus": "ATLD+ (half steps)"}
NAMES = {
    "clean": "Clean",
    "static": "Static",
    "adaptive": "Adaptive",
    "worst": "Worst of all",
}
STORY = (
    "Before it looks, the model moves its image by one step towards what its discriminator finds "
    "natural. The longer the step, the more it undoes of an attack that did not expect it "
    "(**static**), and the more it may cost on clean images; an **adaptive** attack expects it."
)


def show_steps(info: CheckpointInfo, attack: Attack, num_images: int) -> None:
    """Draw story, button and curve; budget and seed are those of the page's attack."""
    st.markdown(STORY)
    st.session_state.setdefault(LIMITED_KEY, "imt")
    left, middle, right = st.columns([1, 1.35, 1.5], vertical_alignment="bottom", gap="medium")
    with left:
        steps = pick_attack_steps()
    limited = (
        middle.segmented_control(
            "Use",
            list(USES),
            format_func=USES.__getitem__,
            key=LIMITED_KEY,
            required=True,
            persist_state="session",
        )
        == "imt_plus"
    )
    strong = strong_attack(info, attack.threat_model, steps, attack.seed)
    seconds = expected_seconds(info, strong, num_images)
    with right:
        pressed = st.button(
            "Vary the step size", icon=":material/steppers:", key="latent.steps.run"
        )
        st.caption(
            f"Cost: {seeded_words(strong)} on {num_images} images at "
            f"{len(step_sizes(info))} step sizes; about {duration_words(seconds)} by a "
            "measurement here."
        )
    curve = known_curve(info, strong, num_images, limited=limited)
    if curve is None and pressed:
        curve = _measure(info, strong, num_images, limited=limited)
    if curve is None:
        st.info("Press the button to measure the curve.", icon=":material/steppers:")
        return
    _draw(curve)


def _measure(info: CheckpointInfo, attack: APGD, num_images: int, *, limited: bool) -> StepCurve:
    place = st.empty()
    try:
        return measure(
            info,
            attack,
            num_images,
            limited=limited,
            check=cached.latest_only("latent").begin(),
            on_stage=lambda words, share: place.progress(share, words),
        )
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()


def _draw(curve: StepCurve) -> None:
    scale, unit = (255, "Linf, n/255") if curve.norm is Norm.LINF else (1, "L2, pixel units")
    accuracies = {kind: curve.accuracies(kind) for kind in NAMES}
    own = curve.step_sizes.index(curve.default)
    worst = accuracies["worst"]
    best = max(range(len(worst)), key=worst.__getitem__)  # the shortest of equals
    st.markdown(
        f"With the default step the accuracy under the static attack goes from "
        f"**{percent(accuracies['static'][0])}** to **{percent(accuracies['static'][own])}** and "
        f"the worst case from **{percent(worst[0])}** to **{percent(worst[own])}**; "
        f"the worst case is best ({percent(worst[best])}) "
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
        config={"displayModeBar": False},
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
        f"{curve.num_images} test images, bars: 95 % intervals. Static: crafted once on the bare "
        "network. Adaptive: crafted through the transformation with this very step. Worst of all: "
        "right on the clean image and under both. At step 0 the model is ATLD- and both attacks "
        "are one."
    )
    _downloads(curve)


def _downloads(curve: StepCurve) -> None:
    found = rows(curve)
    text = io.StringIO()
    table = csv.DictWriter(text, list(found[0]))
    table.writeheader()
    table.writerows(found)
    content = {
        "attack": describe_attack(curve.attack),
        "num_images": curve.num_images,
        "norm": str(curve.norm),
        "default_step_size": curve.default,
        "limited": curve.limited,
        "results": found,
    }
    with st.container(horizontal=True):
        for words, data, name in (
            ("Curve, CSV", text.getvalue(), "imt-step-size.csv"),
            ("Curve, JSON", json.dumps(content, indent=2), "imt-step-size.json"),
        ):
            st.download_button(
                words, data, name, icon=":material/download:", on_click="ignore", key=name
            )
