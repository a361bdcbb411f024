"""How much of a retinotopic model's robustness is randomness: accuracy against EOT and views."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from app.page.retina import charts
from app.page.retina.attack import threat_model
from app.page.retina.sight import PLAIN_CHART
from app.ui import cached
from app.ui.honesty import Interruptible
from app.ui.units import count_words, duration_words, percent
from app.ui.words import distance_words
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.evaluation import evaluate
from robust_core.models.retina.classifier import RetinotopicClassifier

EOT_SAMPLES = (1, 2, 5, 10)
NUM_STEPS = 10
NUM_IMAGES = (12, 24, 48, 96)
BATCH = 12
READING = (
    "**How to read it.** Where a line falls as the attacker averages more passes, or as it looks "
    "at all views instead of one, the robustness above it was randomness: the attack was kept from "
    "a good gradient, the model was not kept from error."
)


@dataclass(frozen=True)
class Found:
    """What was measured: a line for every number of views, and the clean accuracy."""

    lines: tuple[charts.AccuracyLine, ...]
    clean_accuracy: float


def show_randomness(info: CheckpointInfo, network: RetinotopicClassifier) -> None:
    """Draw the controls, the cost and, once measured, accuracy against passes per gradient."""
    st.subheader("How much of its robustness is randomness?", anchor=False)
    budget = threat_model(info)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        num_images = st.select_slider(
            "Test images", NUM_IMAGES, value=24, key="retina.num_images", width=220
        )
        pressed = st.button("Measure", icon=":material/query_stats:", key="retina.measure")
    attacked = _attacked_views(network)
    passes = (NUM_STEPS + 1) * sum(EOT_SAMPLES) * num_images
    share = sum(attacked.values()) / network.settings.num_views
    seconds = passes * share * cached.seconds_per_pass(info, BATCH)
    st.caption(
        f"PGD, {budget.norm} {distance_words(budget.norm, budget.epsilon)}, {NUM_STEPS} steps, "
        f"seed 0, on a sample of {num_images} test images, judged by one pass of the model itself: "
        f"at most {duration_words(seconds)}."
    )
    key = (info.digest, info.inference, num_images)
    if pressed and _known().get(key) is None:
        _run(info, network, attacked, num_images, key)
    found = _known().get(key)
    if found is not None:
        _draw(found, num_images)
    st.markdown(READING)


def _attacked_views(network: RetinotopicClassifier) -> dict[str, int]:
    """Return how many views the attackers look at, by the name of their line."""
    num_views = network.settings.num_views
    names = {1: "Attack on one view", num_views: f"Attack on {count_words(num_views, 'view')}"}
    return {name: number for number, name in names.items()}


def _run(
    info: CheckpointInfo,
    network: RetinotopicClassifier,
    attacked: dict[str, int],
    num_images: int,
    key: tuple,
) -> None:
    check = cached.latest_only("retina").begin()
    place = st.empty()
    total = len(attacked) * len(EOT_SAMPLES)
    try:
        with cached.heavy_work(check):
            done = 0

            def advance() -> None:
                nonlocal done
                place.progress(done / total, f"Attack {done + 1} of {total}")
                done += 1

            found = _measure(info, network, attacked, num_images, check, advance)
        _known().put(key, found)
    except cached.Superseded:
        st.stop()
    finally:
        place.empty()


def _measure(
    info: CheckpointInfo,
    network: RetinotopicClassifier,
    attacked: dict[str, int],
    num_images: int,
    check: Callable[[], None],
    advance: Callable[[], None],
) -> Found:
    images = cached.load_images(info).sample(num_images)
    judge, budget = Interruptible(network, check), threat_model(info)
    lines, clean_accuracy = [], 0.0
    for name, num_views in attacked.items():
        surrogate = Interruptible(network.with_inference(num_views=num_views), check)
        reports = []
        for eot_samples in EOT_SAMPLES:
            advance()
            attack = create_attack(
                "pgd",
                norm=budget.norm,
                epsilon=budget.epsilon,
                num_steps=NUM_STEPS,
                eot_samples=eot_samples,
            )
            reports.append(
                evaluate(judge, images.x, images.y, attack, batch_size=BATCH, surrogate=surrogate)
            )
        clean_accuracy = reports[0].clean_accuracy
        lines.append(
            charts.AccuracyLine(
                name,
                EOT_SAMPLES,
                [report.robust_accuracy for report in reports],
                [report.robust_interval for report in reports],
            )
        )
    return Found(tuple(lines), clean_accuracy)


def _draw(found: Found, num_images: int) -> None:
    words = "; ".join(
        f"{line.name.lower()}: {percent(line.accuracy[0])} at {line.eot_samples[0]} pass, "
        f"{percent(line.accuracy[-1])} at {line.eot_samples[-1]}"
        for line in found.lines
    )
    lowest = min(share for line in found.lines for share in line.accuracy)
    st.markdown(
        f"Of {num_images} images **{percent(found.clean_accuracy)}** are right without an attack "
        f"and **{percent(lowest)}** under the strongest of these ({words})."
    )
    st.plotly_chart(
        charts.accuracy_lines(found.lines, found.clean_accuracy),
        config=PLAIN_CHART,
        key="retina.accuracy",
        alt=f"Accuracy under attack; {words}.",
    )
    rows = ["attack,eot_samples,robust_accuracy,low,high,num_images"]
    rows += [
        f"{line.name},{eot},{share},{low},{high},{num_images}"
        for line in found.lines
        for eot, share, (low, high) in zip(
            line.eot_samples, line.accuracy, line.interval, strict=True
        )
    ]
    st.download_button(
        "Numbers as CSV",
        "\n".join(rows) + "\n",
        "eot.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


@st.cache_resource
def _known() -> cached.Recent[Found]:
    return cached.Recent(32)
