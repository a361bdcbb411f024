"""The sampler at one fixation of an image: pictures, densities, curves; no network."""

from collections.abc import Sequence

import streamlit as st
import torch
from torch import Tensor

from app.page.retina import charts
from app.page.retina.fixation import fixation_picker
from app.page.retina.recipe import copy_views
from app.page.retina.settings import fixate, fixation
from app.ui.browser.pictures import Picture, picture_row
from app.ui.charts import PLAIN_CHART
from app.ui.downloads import download, npz
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, percent
from robust_core.analysis.retina import SampledView, sampled_values, sampled_views
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data.images import encode_png
from robust_core.models.retina.classifier import RetinotopicParameters
from robust_core.models.retina.sampler import (
    eccentricity,
    fovea_radius,
    keep_probability,
    on_probability,
)

LARGEST = 230


def show_views(
    info: CheckpointInfo, image: ChosenImage, settings: RetinotopicParameters, seed: int
) -> None:
    """Draw the image with its fixation, and the sampling there step by step."""
    centre = fixation(info)
    size = (image.x.shape[1], image.x.shape[2])
    radius = fovea_radius(size, centre, settings.density)
    (view,) = sampled_views(image.x, settings, centre, seed)
    path = sampled_views(image.x, settings, None, seed)
    picker, pictures = st.columns([1, 2.1], gap="large")
    with picker:
        st.markdown("**Fixation**")
        fixation_picker(
            image.x,
            centre,
            radius=radius,
            label=f"Image of {info.class_names[image.label]}",
            key="retina.fixation",
            on_move=fixate(info),
        )
        st.caption(
            f"Dashed: the fovea, a circle of radius {max(radius, 0.0):.1f} pixels in which every "
            "pixel is kept."
        )
    with pictures:
        st.markdown("**From the image to the views**")
        picture_row(
            _pictures(image.x, settings, view, path),
            label="Steps from the image to the views",
            largest=LARGEST,
            columns=3,
            key="retina.steps",
        )
        if image.x.shape[0] == 1:
            st.caption("A grey image is sampled in three channels with independent noise.")
        with st.container(horizontal=True):
            _downloads(settings, view, path)
            copy_views(info, image.image_id, settings, centre, seed)
    _curves(image.x, settings, view)


def _pictures(
    x: Tensor, settings: RetinotopicParameters, view: SampledView, path: Sequence[SampledView]
) -> list[Picture]:
    size = (x.shape[1], x.shape[2])
    density = keep_probability(size, view.centre, settings.density)
    mask = view.masks[0].float()
    expected = density * on_probability(sampled_values(x, settings), settings.weight)
    mean = torch.stack([one.image for one in path]).mean(dim=0)
    low, kept, num_samples = float(density.min()), float(mask.mean()), settings.num_samples
    return [
        Picture(
            density[None],
            "Keep probability",
            f"from {percent(low)}, darkest, to {percent(float(density.max()))}",
            f"Keep probability of each pixel, at least {percent(low)}",
        ),
        Picture(
            mask[None],
            "One mask",
            f"keeps {percent(kept, 1)} of the pixels",
            f"One drawn mask; it keeps {percent(kept, 1)} of the pixels",
        ),
        Picture(
            view.binary[0] * mask,
            "One sample",
            "each value is on or off",
            "One binary sample of the image, masked",
        ),
        Picture(
            view.image,
            "View",
            f"mean of {count_words(num_samples, 'sample')}",
            f"The view, a mean of {count_words(num_samples, 'sample')}",
            f"z = {view.keep_ratio:.3f}",
        ),
        Picture(
            mean,
            f"Mean of {count_words(len(path), 'view')}",
            "at the model's fixations",
            f"Mean of {count_words(len(path), 'view')} at the fixations of a pass",
        ),
        Picture(
            expected,
            "Expected view",
            "mean of infinitely many samples",
            "The expected view: keep probability times the probability of being on",
        ),
    ]


def _downloads(
    settings: RetinotopicParameters, view: SampledView, path: Sequence[SampledView]
) -> None:
    def arrays() -> bytes:
        return npz(
            centre=view.centre,
            masks=view.masks.numpy(),
            samples=view.binary.numpy(),
            view=view.image.numpy(),
            pass_centres=[one.centre for one in path],
            pass_views=torch.stack([one.image for one in path]).numpy(),
            settings=settings.model_dump_json(),
        )

    download("View, PNG", lambda: encode_png(view.image.clamp(0, 1)), "view.png")
    download("Masks, samples and views, NumPy", arrays, "views.npz")


def _curves(x: Tensor, settings: RetinotopicParameters, view: SampledView) -> None:
    size = (x.shape[1], x.shape[2])
    seen = sampled_values(x, settings)
    density = keep_probability(size, view.centre, settings.density)
    fixed = float((seen.abs() >= settings.weight).float().mean())
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Keep probability**")
        st.plotly_chart(
            charts.keep_curve(
                eccentricity(size, view.centre).numpy(),
                density.numpy(),
                view.masks.numpy(),
                fovea_radius(size, view.centre, settings.density),
            ),
            config=PLAIN_CHART,
            key="retina.keep",
            alt=f"Keep probability decreases from {percent(float(density.max()))} at the "
            f"fixation to {percent(float(density.min()))} at the farthest pixel.",
        )
        st.caption(f"On average {percent(float(density.mean()), 1)} of the pixels are kept.")
    with right:
        st.markdown("**Probability of a pixel being on**")
        normalised = "after normalisation" if settings.version == "v2" else "in [0, 1]"
        st.plotly_chart(
            charts.on_curve(seen.numpy(), settings.weight, f"Pixel value, {normalised}"),
            config=PLAIN_CHART,
            key="retina.on",
            alt=f"The probability of being on rises from 0 at {-settings.weight:g} to 1 at "
            f"{settings.weight:g}; {percent(fixed)} of the image's values lie outside.",
        )
        st.caption(
            f"{percent(fixed)} of the image's values lie beyond ±w: they are not random, and the "
            "slope of their expected value, which a gradient could follow, is zero."
        )
