"""The self-paced loss on the page Hard pairs: surface, weights and consistency term."""

import math

import streamlit as st
import torch

from app.page.hard_pairs import charts, map_charts
from app.page.hard_pairs.measure import NO_CLASS_WEIGHTS
from app.ui.kept import slider
from app.ui.plain import in_markdown
from app.ui.units import percent
from robust_core.analysis.confusion_run import ConfusionRun
from robust_core.analysis.self_paced import mean_weights, pair_consistency, self_paced_surface
from robust_core.checkpoints.catalog import CheckpointInfo

SOURCE = "spat"  # the method that is trained with this loss
FIRST = {"scale": 8.0, "margin": 0.2, "offset": 0.2}
SLIDERS = (  # name of the parameter, label, range, step, help
    ("scale", "Scale s", 1.0, 64.0, 1.0, "Factor that cosines are multiplied with."),
    ("margin", "Margin m", 0.0, 1.0, 0.05, "Offset added to the self-paced weights."),
    (
        "offset",
        "Offset n",
        0.0,
        1.0,
        0.05,
        "Weight of the KL divergence in the consistency term.",
    ),
)
MOST_POINTS = 200


def show_loss(run: ConfusionRun, info: CheckpointInfo) -> None:
    """Draw the loss surface with its optimum, the weights and the consistency term by rank."""
    scale, margin, offset = _settings(info)
    _show_surface(run, info, scale, margin)
    if run.cosines is None or run.cosines_adv is None:
        st.info(NO_CLASS_WEIGHTS)
        return
    left, right = st.columns([1.2, 1], gap="large")
    with left:
        _show_weights(run, run.cosines, info, margin)
    with right:
        _show_consistency(run.cosines, run.cosines_adv, run.images.y, scale, offset)


def trained_scale(info: CheckpointInfo) -> float | None:
    """Return the scale s of the cosines in the training loss; None for other methods."""
    method = info.config.method
    return float(method.parameters.get("scale", FIRST["scale"])) if method.name == SOURCE else None


def _settings(info: CheckpointInfo) -> tuple[float, float, float]:
    """Draw the sliders; they start at the values of training if this loss was used."""
    method = info.config.method
    own = FIRST | (
        {name: method.parameters.get(name, value) for name, value in FIRST.items()}
        if method.name == SOURCE
        else {}
    )
    values = []
    for column, (name, label, low, high, step, words) in zip(
        st.columns(3, gap="medium"), SLIDERS, strict=True
    ):
        key, start = f"hard_pairs.loss.{info.name}.{name}", float(own[name])
        with column:
            values.append(slider(label, low, high, step=step, start=start, key=key, help=words))
    if method.name != SOURCE:
        st.caption(
            f"{in_markdown(info.name)} was not trained with this loss: the loss is evaluated on "
            "the cosines "
            "between its features and class weights."
        )
    scale, margin, offset = values
    return scale, margin, offset


def _show_surface(run: ConfusionRun, info: CheckpointInfo, scale: float, margin: float) -> None:
    surface = self_paced_surface(info.num_classes, scale, margin)
    st.markdown(
        f"The loss is lowest **inside** the square: at a cosine of **{surface.best_label:.2g}** "
        f"with the label and **{surface.best_wrong:.2g}** with every other class it is "
        f"{surface.floor:.3f} nats, and a larger cosine with the label is penalised. No training "
        "can get below this minimum."
    )
    best = (surface.best_label, surface.best_wrong)
    left, right = st.columns([1.2, 1], gap="large")
    left.plotly_chart(
        charts.loss_surface(
            surface.similarity.numpy(), surface.loss.numpy(), best, _image_points(run)
        ),
        key="hard_pairs.surface",
        alt=f"Self-paced loss over both similarities, lowest at {best[0]:.2g} and {best[1]:.2g}.",
    )
    right.plotly_chart(
        charts.logit_curves(
            surface.similarity.numpy(),
            surface.label_logit.numpy(),
            surface.wrong_logit.numpy(),
            best[0],
        ),
        key="hard_pairs.logits",
        alt=f"Weighted logits; the label's is largest at {best[0]:.2g}.",
    )


def _image_points(run: ConfusionRun) -> tuple | None:
    if run.cosines is None:
        return None
    cosines, y = run.cosines[:MOST_POINTS], run.images.y[:MOST_POINTS]
    label = cosines.gather(1, y[:, None]).squeeze(1)
    others = (cosines.sum(dim=1) - label) / (cosines.shape[1] - 1)
    return label.numpy(), others.numpy()


def _show_weights(
    run: ConfusionRun, cosines: torch.Tensor, info: CheckpointInfo, margin: float
) -> None:
    st.subheader("Self-paced weights", anchor=False)
    weights = mean_weights(cosines, run.images.y, margin)
    off = weights.clone().fill_diagonal_(float("nan"))
    low, high = float(off.nan_to_num(9.0).min()), float(off.nan_to_num(-9.0).max())
    place = int(off.nan_to_num(-9.0).argmax())
    i, j = divmod(place, info.num_classes)
    names = info.class_names
    st.altair_chart(
        map_charts.weight_map(weights.numpy(), names),
        key="hard_pairs.weights",
        alt=f"Mean weights, from {low:.2f} to {high:.2f}; the largest for {names[i]}, {names[j]}.",
    )
    st.caption(
        f"Mean weight of class j (column) for images of class i (row): cosine + m, largest for "
        f"{in_markdown(names[i])} and {in_markdown(names[j])} ({high:.2f}). Grey: the label's "
        "own, 1 + m - cosine."
    )


def _show_consistency(
    cosines: torch.Tensor, attacked: torch.Tensor, y: torch.Tensor, scale: float, offset: float
) -> None:
    st.subheader("Pair consistency", anchor=False)
    found = pair_consistency(cosines, attacked, y, scale=scale, offset=offset)
    st.plotly_chart(
        charts.rank_bars(found.by_rank.numpy()),
        key="hard_pairs.consistency",
        alt="Mean consistency term of the label and of the others, from hardest to easiest.",
    )
    share = found.share_of_squares
    st.markdown(
        "Clean and adversarial outputs are the same."
        if math.isnan(share)
        else f"Squares {found.squares:.3g} nats, n KL {found.divergence:.3g} nats: the squares, "
        f"which weight hard classes more, are **{percent(share)}** of the term."
    )
    st.caption(
        "t = p (log p - log q) of clean p and adversarial q, by rank of the class: positive where "
        "the attack lowers the probability, negative where it raises it."
    )
