"""The inference modes ATLD-, ATLD and ATLD+ under static, transfer and adaptive attacks."""

import json
from dataclasses import asdict

import streamlit as st

from app.page.latent import charts
from app.page.latent.modes_measure import comparison
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download
from app.ui.state import Number
from app.ui.units import percent
from app.ui.words import seeded_words
from robust_core.analysis.inference_modes import ModeComparison, strong_attack
from robust_core.attacks.base import Attack
from robust_core.attacks.description import describe_attack
from robust_core.checkpoints.catalog import CheckpointInfo

STEPS = Number("apgd_steps", "latent.uses.steps", 5, 100, 20)
STORY = (
    "The published accuracies of ATLD and ATLD+ are for adversarial images computed on the base "
    "network and then transformed (**static**), so the attack ignores the defence. An **adaptive** "
    "attack includes the transformation; **adaptive, smooth** also differentiates its step. A "
    "**transfer** attack uses another model as surrogate. The worst case counts."
)


def show_inference_modes(info: CheckpointInfo, attack: Attack, num_images: int) -> None:
    """Draw the view; threat model and seed are those of the page's attack."""
    st.markdown(STORY)
    steps = pick_attack_steps()
    strong = strong_attack(info.num_classes, attack.threat_model, steps, attack.seed)
    report = comparison(info, strong, num_images)
    if report is not None:
        _draw(report)


def pick_attack_steps() -> int:
    """Draw the slider and return the number of steps of the strong attack."""
    return STEPS.slider("Steps of APGD", step=5, width=320)


def _draw(report: ModeComparison) -> None:
    results = report.results
    kinds = {
        "Clean": [result.clean for result in results],
        "Static": [result.static for result in results],
        "Transfer": [result.transfer for result in results],
        "Adaptive": [result.adaptive for result in results],
        "Adaptive, smooth": [result.smooth for result in results],
        "Worst case": [result.worst for result in results],
    }
    if report.surrogate is None:
        del kinds["Transfer"]
    full = results[1]
    st.markdown(
        f"Robust accuracy of ATLD: **{percent(full.static)}** under the published protocol, "
        f"**{percent(full.worst)}** under the worst case of all attacks here."
    )
    st.plotly_chart(
        charts.mode_bars([result.name for result in results], kinds),
        config=PLAIN_CHART,
        key="latent.uses",
        alt="; ".join(
            f"{result.name}: clean {percent(result.clean)}, static {percent(result.static)}, "
            f"adaptive {percent(result.adaptive)}, worst {percent(result.worst)}"
            for result in results
        ),
    )
    transfer = f"; surrogate model: {report.surrogate}" if report.surrogate else ""
    st.caption(
        f"{seeded_words(report.attack)}, {report.num_images} test images{transfer}. Worst "
        "case: correct on the clean image and under every attack. For ATLD-, static and adaptive "
        "are the same attack."
    )
    content = {
        "attack": describe_attack(report.attack),
        "num_images": report.num_images,
        "surrogate": report.surrogate,
        "results": [asdict(result) for result in results],
    }
    download("Results, JSON", lambda: json.dumps(content, indent=2), "atld-inference-modes.json")
