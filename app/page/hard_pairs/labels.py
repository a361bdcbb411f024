"""Predictions for the images of one class, over the steps of the attack and over epsilon."""

import streamlit as st

from app.page.hard_pairs import charts, measure
from app.page.hard_pairs.controls import cell_keys
from app.page.hard_pairs.measure import EPSILONS
from app.ui.plain import in_markdown
from app.ui.units import percent
from app.ui.words import distance_words
from robust_core.analysis.confusion import ConfusionPath
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.threat_model import Norm

STEP_KEY, EPSILON_KEY = "hard_pairs.step", "hard_pairs.radius"


def show_labels(run: ConfusionRun, info: CheckpointInfo) -> None:
    """Draw the distribution of predictions for one class, over steps and over epsilon."""
    names, key = info.class_names, cell_keys(info)[0]
    if st.session_state.get(key) not in range(info.num_classes):
        counts = run.confusion().attacked.clone().fill_diagonal_(0)
        st.session_state[key] = int(counts.max(dim=1).values.argmax())
    source = st.selectbox(
        "Labelled",
        range(info.num_classes),
        format_func=lambda k: names[k],
        key=key,
        persist_state="session",
        width=240,
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Over the steps", anchor=False)
        _show_steps(run.path(), source, info)
    with right:
        st.subheader("Over epsilon", anchor=False)
        path = measure.over_epsilons(info, run)
        if path is not None:
            _show_epsilons(path, source, run.plan.norm, info)


def _show_steps(path: ConfusionPath, source: int, info: CheckpointInfo) -> None:
    last = len(path.values) - 1
    st.session_state[STEP_KEY] = min(st.session_state.get(STEP_KEY, last), last)
    step = st.slider("Step", 0, last, key=STEP_KEY, persist_state="session")
    _show_path(path, source, step, info, kind="step", axis="Step", scale=1.0)


def _show_epsilons(path: ConfusionPath, source: int, norm: Norm, info: CheckpointInfo) -> None:
    words = [distance_words(norm, value) for value in path.values]
    if st.session_state.get(EPSILON_KEY) not in words:
        st.session_state[EPSILON_KEY] = words[EPSILONS.index(1.0)]
    chosen = st.select_slider(
        f"Epsilon ({norm})", list(dict.fromkeys(words)), key=EPSILON_KEY, persist_state="session"
    )
    linf = norm is Norm.LINF
    axis = f"Epsilon ({norm}, {'n/255' if linf else 'pixel units'})"
    _show_path(
        path,
        source,
        words.index(chosen),
        info,
        kind="epsilon",
        axis=axis,
        scale=255.0 if linf else 1.0,
    )


def _show_path(
    path: ConfusionPath,
    source: int,
    place: int,
    info: CheckpointInfo,
    *,
    kind: str,
    axis: str,
    scale: float,
) -> None:
    shares, names = path.shares(source), info.class_names
    if not bool(shares.isfinite().all()):
        st.info(
            f"There is no image of class {in_markdown(names[source])} in this sample: use more "
            "images."
        )
        return
    now = shares[place]
    wrong = now.clone()
    wrong[source] = 0.0
    top = int(wrong.argmax())
    sentence = f"{percent(float(now[source]))} of class {names[source]} are classified correctly"
    if float(wrong[top]) > 0:
        sentence += f"; the most frequent error is {names[top]} ({percent(float(now[top]))})"
    st.markdown(f"**{in_markdown(sentence)}.**")
    st.plotly_chart(
        charts.label_bars(now.numpy(), source, names), key=f"hard_pairs.bars.{kind}", alt=sentence
    )
    st.plotly_chart(
        charts.label_curves(
            [scale * value for value in path.values],
            shares.numpy(),
            source,
            names,
            title=axis,
            now=scale * path.values[place],
        ),
        key=f"hard_pairs.curves.{kind}",
        alt=f"Predictions for class {names[source]} against {kind}.",
    )
