"""What images of one class are taken for, while the attack goes on and while its radius grows."""

import streamlit as st

from app.page.hard_pairs import charts, measure
from app.page.hard_pairs.controls import cell_keys
from app.page.hard_pairs.costly import Cost, after_button
from app.page.hard_pairs.measure import RADII, Study
from app.ui.units import percent
from app.ui.words import distance_words
from robust_core.analysis.confusion import ConfusionPath
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.threat_model import Norm

STEP_KEY, RADIUS_KEY = "hard_pairs.step", "hard_pairs.radius"


def show_labels(study: Study, info: CheckpointInfo) -> None:
    """Draw the distribution of predicted labels of one class, over steps and over radii."""
    names, key = info.class_names, cell_keys(info)[0]
    if st.session_state.get(key) not in range(info.num_classes):
        counts = study.confusion().attacked.clone().fill_diagonal_(0)
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
        st.subheader("Step by step", anchor=False)
        _show_steps(study.path(), source, info)
    with right:
        st.subheader("As the radius grows", anchor=False)
        path = _radii(study, info)
        if path is not None:
            _show_radii(path, source, study.plan.norm, info)


def _show_steps(path: ConfusionPath, source: int, info: CheckpointInfo) -> None:
    last = len(path.values) - 1
    st.session_state[STEP_KEY] = min(st.session_state.get(STEP_KEY, last), last)
    step = st.slider("Step", 0, last, key=STEP_KEY, persist_state="session")
    _show_path(path, source, step, info, kind="step", axis="Step", scale=1.0)


def _radii(study: Study, info: CheckpointInfo) -> ConfusionPath | None:
    """Return the confusion over radii; draw its button as long as it is not known."""
    known = measure.known_radii(info, study.plan)
    if known is not None:
        return known
    number = len(study.images) * len(RADII)
    return after_button(
        "Measure radii",
        "Attacks every image again at a quarter of the radius, and so on up to twice as much.",
        "Attacks at every radius",
        cost=Cost(number * study.attack.passes(), measure.seconds(info, study.attack, number)),
        work=lambda check, report: measure.run_radii(
            info, study.plan, check=check, on_share=report
        ),
    )


def _show_radii(path: ConfusionPath, source: int, norm: Norm, info: CheckpointInfo) -> None:
    words = [distance_words(norm, value) for value in path.values]
    if st.session_state.get(RADIUS_KEY) not in words:
        st.session_state[RADIUS_KEY] = words[RADII.index(1.0)]
    chosen = st.select_slider(
        f"Radius ({norm})", list(dict.fromkeys(words)), key=RADIUS_KEY, persist_state="session"
    )
    linf = norm is Norm.LINF
    axis = f"Radius ({norm}, {'n/255' if linf else 'pixel units'})"
    _show_path(
        path,
        source,
        words.index(chosen),
        info,
        kind="radius",
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
        st.info(f"There is no image of class {names[source]} among these: take more images.")
        return
    now = shares[place]
    wrong = now.clone()
    wrong[source] = 0.0
    top = int(wrong.argmax())
    sentence = f"{percent(float(now[source]))} of class {names[source]} keep their label"
    if float(wrong[top]) > 0:
        sentence += f"; most of the others end as {names[top]} ({percent(float(now[top]))})"
    st.markdown(f"**{sentence}.**")
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
        alt=f"Predicted labels of class {names[source]} against the {kind}.",
    )
