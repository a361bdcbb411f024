"""ATLD-, ATLD and ATLD+ under static, transfer and adaptive attack, behind a Run button."""

import json
from dataclasses import asdict

import streamlit as st

from app.page.latent import charts
from app.page.latent.uses_measure import (
    UsesReport,
    compare_uses,
    expected_seconds,
    known_uses,
    strong_attack,
)
from app.ui import cached
from app.ui.units import duration_words, percent
from app.ui.words import seeded_words
from robust_core.attacks.apgd import APGD
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.accuracy import describe_attack

STEPS_KEY = "latent.uses.steps"
USUAL_STEPS = 20
STORY = (
    "The published numbers of ATLD and ATLD+ were made for the bare network and replayed through "
    "the transformation (**static**), so the attack never saw the defence. An **adaptive** one "
    "goes through it; a **smooth** one also sees how the step itself reacts to the image. "
    "**Transfer** comes from another model. What counts is the worst of them."
)


def show_uses(info: CheckpointInfo, attack: Attack, num_images: int) -> None:
    """Draw story, button and result; the budget and the seed are those of the page's attack."""
    st.markdown(STORY)
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    with left:
        steps = pick_attack_steps()
    strong = strong_attack(info, attack.threat_model, steps, attack.seed)
    seconds = expected_seconds(info, strong, num_images)
    with right:
        pressed = st.button(
            "Compare the three uses", icon=":material/compare_arrows:", key="latent.uses.run"
        )
        st.caption(
            f"Cost: {seeded_words(strong)} on {num_images} images, five "
            f"times; about {duration_words(seconds)} by a measurement here."
        )
    report = known_uses(info, strong, num_images)
    if report is None and pressed:
        report = _compare(info, strong, num_images)
    if report is None:
        st.info("Press the button to measure the three uses.", icon=":material/compare_arrows:")
        return
    _draw(report)


def pick_attack_steps() -> int:
    """Draw the slider and return how many steps the strong attack takes."""
    st.session_state.setdefault(STEPS_KEY, USUAL_STEPS)
    return st.slider("Steps of APGD", 5, 100, step=5, key=STEPS_KEY, persist_state="session")


def _compare(info: CheckpointInfo, attack: APGD, num_images: int) -> UsesReport:
    place = st.empty()
    try:
        return compare_uses(
            info,
            attack,
            num_images,
            check=cached.latest_only("latent").begin(),
            on_stage=lambda words, share: place.progress(share, words),
        )
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()


def _draw(report: UsesReport) -> None:
    results = report.results
    kinds = {
        "Clean": [result.clean for result in results],
        "Static": [result.static for result in results],
        "Transfer": [result.transfer for result in results],
        "Adaptive": [result.adaptive for result in results],
        "Adaptive, smooth": [result.smooth for result in results],
        "Worst of all": [result.worst for result in results],
    }
    if report.surrogate is None:
        del kinds["Transfer"]
    full = results[1]
    st.markdown(
        f"ATLD seems to keep **{percent(full.static)}** under the published protocol; "
        f"**{percent(full.worst)}** withstand every attack tried here."
    )
    st.plotly_chart(
        charts.use_bars([result.name for result in results], kinds),
        config={"displayModeBar": False},
        key="latent.uses",
        alt="; ".join(
            f"{result.name}: clean {percent(result.clean)}, static {percent(result.static)}, "
            f"adaptive {percent(result.adaptive)}, worst {percent(result.worst)}"
            for result in results
        ),
    )
    transfer = f"; transfer from {report.surrogate}" if report.surrogate else ""
    st.caption(
        f"{seeded_words(report.attack)}, {report.num_images} test images{transfer}. Worst of "
        "all: right on the clean image and under each of them. For ATLD- static and adaptive are "
        "the same attack."
    )
    content = {
        "attack": describe_attack(report.attack),
        "num_images": report.num_images,
        "surrogate": report.surrogate,
        "results": [asdict(result) for result in results],
    }
    st.download_button(
        "Results, JSON",
        json.dumps(content, indent=2),
        "atld-uses.json",
        "application/json",
        icon=":material/download:",
        on_click="ignore",
    )
