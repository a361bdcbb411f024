"""What the sampler makes of an image at one fixation: pictures, densities, curves; no network."""

import io
from collections.abc import Sequence

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from app.page.retina import charts
from app.page.retina.fixation import fixation_picker
from app.page.retina.sampling import Glance, look, sampled_values
from app.page.retina.settings import fixate, fixation
from app.ui.browser.pictures import Picture, picture_row
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, percent
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.data.images import encode_png
from robust_core.models.retina.classifier import RetinotopicParameters
from robust_core.models.retina.sampler import (
    eccentricity,
    fovea_radius,
    keep_probability,
    on_probability,
)

PLAIN_CHART = {"displayModeBar": False}
LARGEST = 150


def show_sight(
    info: CheckpointInfo, image: ChosenImage, settings: RetinotopicParameters, seed: int
) -> None:
    """Draw the image with its fixation, and what becomes of it there."""
    centre = fixation(info)
    size = (image.x.shape[1], image.x.shape[2])
    radius = fovea_radius(size, centre, settings.density)
    (glance,) = look(image.x, settings, centre, seed)
    path = look(image.x, settings, None, seed)
    eye, pictures = st.columns([1, 2.1], gap="large")
    with eye:
        st.markdown("**Where the eye looks**")
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
        st.markdown("**What becomes of the image there**")
        picture_row(
            _pictures(image.x, settings, glance, path),
            label="From the image to the views",
            largest=LARGEST,
            key="retina.steps",
        )
        if image.x.shape[0] == 1:
            st.caption("A grey image is sampled in three channels with noise of their own.")
        _downloads(settings, glance, path)
    _curves(image.x, settings, glance)


def _pictures(
    x: Tensor, settings: RetinotopicParameters, glance: Glance, path: Sequence[Glance]
) -> list[Picture]:
    size = (x.shape[1], x.shape[2])
    density = keep_probability(size, glance.centre, settings.density)
    mask = glance.masks[0].float()
    expected = density * on_probability(sampled_values(x, settings), settings.weight)
    mean = torch.stack([one.view for one in path]).mean(dim=0)
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
            f"keeps {100 * kept:.1f} %",
            f"One drawn mask; it keeps {100 * kept:.1f} % of the pixels",
        ),
        Picture(
            glance.binary[0] * mask,
            "One sample",
            "every value on or off",
            "One binary sample of the image, masked",
        ),
        Picture(
            glance.view,
            "View",
            f"mean of {count_words(num_samples, 'sample')}",
            f"The view, a mean of {count_words(num_samples, 'sample')}",
            f"z = {glance.keep_ratio:.3f}",
        ),
        Picture(
            mean,
            f"Mean of {count_words(len(path), 'view')}",
            "over the model's fixations",
            f"Mean of {count_words(len(path), 'view')} at the fixations of a pass",
        ),
        Picture(
            expected,
            "Endless samples",
            "what a view is on average",
            "The expected view: keep probability times the probability of being on",
        ),
    ]


def _downloads(settings: RetinotopicParameters, glance: Glance, path: Sequence[Glance]) -> None:
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays,
        centre=glance.centre,
        masks=glance.masks.numpy(),
        samples=glance.binary.numpy(),
        view=glance.view.numpy(),
        pass_centres=[one.centre for one in path],
        pass_views=torch.stack([one.view for one in path]).numpy(),
        settings=settings.model_dump_json(),
    )
    with st.container(horizontal=True):
        for label, content, name, kind in (
            ("View, PNG", encode_png(glance.view.clamp(0, 1)), "view.png", "image/png"),
            ("All of it, NumPy", arrays.getvalue(), "views.npz", "application/octet-stream"),
        ):
            st.download_button(
                label, content, name, kind, icon=":material/download:", on_click="ignore"
            )


def _curves(x: Tensor, settings: RetinotopicParameters, glance: Glance) -> None:
    size = (x.shape[1], x.shape[2])
    seen = sampled_values(x, settings)
    density = keep_probability(size, glance.centre, settings.density)
    fixed = float((seen.abs() >= settings.weight).float().mean())
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Sharp in the middle, sparse around it**")
        st.plotly_chart(
            charts.keep_curve(
                eccentricity(size, glance.centre).numpy(),
                density.numpy(),
                glance.masks.numpy(),
                fovea_radius(size, glance.centre, settings.density),
            ),
            config=PLAIN_CHART,
            key="retina.keep",
            alt=f"Keep probability falls from {percent(float(density.max()))} at the fixation to "
            f"{percent(float(density.min()))} at the farthest pixel.",
        )
        st.caption(f"On average {100 * float(density.mean()):.1f} % of the pixels are kept.")
    with right:
        st.markdown("**A pixel becomes a coin toss**")
        normalised = "after normalisation" if settings.version == "v2" else "in [0, 1]"
        st.plotly_chart(
            charts.on_curve(seen.numpy(), settings.weight, f"Pixel value, {normalised}"),
            config=PLAIN_CHART,
            key="retina.on",
            alt=f"The probability of being on rises from 0 at {-settings.weight:g} to 1 at "
            f"{settings.weight:g}; {percent(fixed)} of the image's values lie outside.",
        )
        st.caption(
            f"{percent(fixed)} of the image's values lie beyond ±w: for them nothing is left to "
            "chance, and the mean slope that a gradient could follow is zero."
        )
