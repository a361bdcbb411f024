"""What came out of an attack: sentence, numbers, permissions, survival and downloads."""

import io
from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.ui import charts
from app.ui.browser.player import player
from app.ui.chance import warn_of_chance
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download
from app.ui.kept import slider
from app.ui.plain import in_markdown
from app.ui.units import duration_words, percent
from app.ui.words import attack_outcome, distance_words, permissions, short_name
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data.images import encode_png
from robust_core.evaluation.trace import AttackTrace

GAIN_KEY, GAIN = "attack.gain", 10
CAUTION = (
    "One image is a demonstration, not a measurement: robustness is the share of a whole test "
    "split that withstands the strongest attack one can mount. A stronger one may still succeed."
)


def show_outcome(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Say what happened in one sentence, and before it if the model is no better than a guess."""
    warn_of_chance(info)
    found = attack_outcome(trace, info)
    box, icon = _BOXES[found.outcome]
    box(found.sentence, icon=icon)


_BOXES = {
    "fooled": (st.warning, ":material/lock_open:"),
    "resists": (st.success, ":material/shield:"),
    "moved": (st.info, ":material/alt_route:"),
    "beyond": (st.success, ":material/shield:"),
    "wrong": (st.info, ":material/help:"),
}


def show_player(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Show the pictures at every step, and the gain of the perturbation."""
    show_players([info], [trace])


@st.fragment
def show_players(infos: Sequence[CheckpointInfo], traces: Sequence[AttackTrace]) -> None:
    """Show every model at the same step of its attack, and one gain for all."""
    below = st.container() if len(infos) == 1 else None  # several do not fit on a screen with it
    gain = slider(
        "Perturbation amplification (×)",
        1,
        50,
        step=1,
        start=GAIN,
        key=GAIN_KEY,
        format="%d",
        help="The picture shows 0.5 + gain * perturbation / 2: mid-grey is no change.",
    )
    with below or st.container():
        names = [short_name(info) for info in infos]
        player(traces, names, infos[0].class_names, gain=gain, key="attack.player")


def show_numbers(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Show predictions, the budget and the likeliest classes before and after."""
    names = [in_markdown(name) for name in info.class_names]
    attack = trace.attack
    same = trace.prediction == trace.clean_prediction
    st.metric(
        "Prediction",
        names[trace.prediction],
        "as before" if same else f"before: {names[trace.clean_prediction]}",
        delta_color="off",
        delta_arrow="off",
        help="Of the adversarial image; before: of the clean one.",
    )
    before, after = float(trace.clean[trace.label]), float(trace.adversarial[trace.label])
    st.metric(f"Confidence in {names[trace.label]}", f"{percent(before)} → {percent(after)}")
    st.metric(
        f"Distance ({attack.norm})",
        f"{distance_words(attack.norm, trace.distance)}",
        help="Between clean and adversarial image, checked by the evaluator, not by the attack.",
    )
    within = trace.distance <= attack.epsilon + 1e-5
    st.caption(
        f"{'Within' if within else 'Outside'} the budget of "
        f"{distance_words(attack.norm, attack.epsilon)}; "
        f"computed in {duration_words(trace.seconds)}."
    )
    st.markdown("**Most probable classes before and after**")
    st.plotly_chart(
        charts.probability_bars(trace.clean, trace.adversarial, info.class_names),
        config=PLAIN_CHART,
        key="attack.bars",
        alt=f"Probabilities before and after: {info.class_names[trace.clean_prediction]} "
        f"{percent(float(trace.clean.max()))}, then {info.class_names[trace.prediction]} "
        f"{percent(float(trace.adversarial.max()))}.",
    )


def show_permissions(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Say what the attacker was allowed to do, and what one image cannot show."""
    st.subheader("Threat model", anchor=False)
    target = None if trace.target is None else info.class_names[trace.target]
    st.markdown("\n".join(f"- {line}" for line in permissions(trace.attack, target)))
    st.caption(CAUTION)


def show_survival(trace: AttackTrace, info: CheckpointInfo) -> None:
    """Say whether the adversarial image survives being saved."""
    st.subheader("Is it still adversarial after saving?", anchor=False)
    rows = ["| Saved as | Prediction | Fooled |", "|---|---|---|"]
    for row in trace.survival:
        answer = f"{in_markdown(info.class_names[row.prediction])} ({percent(row.confidence)})"
        rows.append(f"| {row.change} | {answer} | {'yes' if row.adversarial else 'no'} |")
    st.markdown("\n".join(rows))


def show_downloads(trace: AttackTrace) -> None:
    """Offer the adversarial image without loss."""

    def exact() -> bytes:
        content = io.BytesIO()
        np.save(content, trace.x_adv.numpy())
        return content.getvalue()

    with st.container(horizontal=True):
        download("PNG, 8 bits", lambda: encode_png(trace.x_adv), "adversarial.png")
        download("NumPy, exact", exact, "adversarial.npy")
    st.caption("Both without loss: 8 bits a channel, or float32 [C, H, W] as computed.")
