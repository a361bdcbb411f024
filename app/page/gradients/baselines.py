"""What cosines of gradients and targets say against those of shuffled classes and images."""

import math
from collections.abc import Sequence

import streamlit as st
from torch import Tensor

from app.page.gradients import charts
from app.ui.charts import PLAIN_CHART
from app.ui.plain import in_markdown
from app.ui.units import count_words
from app.ui.words import short_name
from robust_core.analysis.alignment import Alignment, Average
from robust_core.checkpoints.catalog import CheckpointInfo

OWN, OTHER_CLASS, OTHER_IMAGE = "Own target", "Shuffled class", "Shuffled image"
BASELINES = (
    "Shuffled class: the gradient of a class with the targets of all other classes. Shuffled "
    "image: with the target of the same class at another image. What a gradient gains over these "
    "is about the class, and about the image. Bars: 95\u00a0% intervals over the images (Student)."
)


def show_baselines(models: Sequence[CheckpointInfo], found: Sequence[Alignment], kind: str) -> None:
    """Draw what the cosines say against their baselines: a sentence, and a chart of all models."""
    names = [short_name(info) for info in models]
    kinds = {
        OWN: [mark(one.cosine) for one in found],
        OTHER_CLASS: [mark(one.shuffled_class) for one in found],
        OTHER_IMAGE: [mark(one.shuffled_image) for one in found],
    }
    st.markdown(_sentence(names[0], found[0]))
    st.plotly_chart(
        charts.baseline_chart(names, kinds),
        config=PLAIN_CHART,
        key="gradients.baselines",
        alt="Mean cosine of gradient and target: "
        + "; ".join(
            f"{name}: "
            + ", ".join(f"{title.lower()} {marks[i].mean:.3f}" for title, marks in kinds.items())
            for i, name in enumerate(names)
        ),
    )
    st.caption(
        f"Mean cosine of log-probability gradients and targets ({kind}) over "
        f"{sample_words(found[0])} and all classes. {BASELINES}"
    )


def _sentence(name: str, found: Alignment) -> str:
    own, other = Average.of(found.cosine), Average.of(found.shuffled_class)
    gain = Average.of(found.cosine - found.shuffled_class)
    verdict = "no more than shuffled classes give"
    if gain.low > 0:
        verdict = f"**{gain.mean:.2f} more** than shuffled classes give ({other.mean:+.2f})"
    elif gain.high < 0:
        verdict = f"**less** than shuffled classes give ({other.mean:+.2f})"
    image = Average.of(found.cosine - found.shuffled_image)
    about = (
        f"; another image's target gives {own.mean - image.mean:+.2f}"
        if math.isfinite(image.mean)
        else ""
    )
    return (
        f"**{in_markdown(name)}**: over {sample_words(found)} the mean cosine of gradient and "
        f"target is **{own.mean:+.2f}** (95\u00a0% interval {own.low:+.2f} to {own.high:+.2f}), "
        f"{verdict}{about}."
    )


def sample_words(found: Alignment) -> str:
    """Return how many images were measured."""
    return f"a sample of {count_words(len(found.cosine), 'test image')}"


def mark(cosines: Tensor) -> charts.Mark:
    """Return the mean of cosines [N,K] with its interval, as charts draw it."""
    found = Average.of(cosines)
    return charts.Mark(found.mean, found.low, found.high)
