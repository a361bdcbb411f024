"""Measurements of the guided tours of retinotopic networks."""

from app.page.learn.lesson import Measure
from app.page.learn.measured import Measured, model_name
from app.page.learn.work import trace
from app.page.retina.measure import passes
from app.page.retina.network import own_settings, retinotopic_network
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, percent
from app.ui.words import seeded_words
from robust_core.analysis.retina import sampled_views
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError

NUM_PASSES = 20  # of a stochastic model over one image
SEED = 0  # of the views of a stochastic model


def kept_pixels(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the share of pixels that the masks of a pass keep."""
    settings = own_settings(infos[0])
    views = sampled_views(image.x, settings, None, SEED)
    share = sum(view.keep_ratio for view in views) / len(views)
    return Measured(
        share,
        f"The masks of {model_name(infos[0])} keep **{percent(share, 1)}** of the pixels: "
        "mean over "
        f"{count_words(len(views), 'view')} of {count_words(settings.num_samples, 'sample')}, "
        f"seed {SEED}.",
    )


def disagreement(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the share of passes over the attacked image that differ from the majority."""
    network = retinotopic_network(infos[0])
    if network is None:
        raise InputError(f"{infos[0].name} should have a retinotopic sampler, but has none")
    attacked = trace(infos[0], wanted.attack, image).x_adv
    found = passes(infos[0], attacked, network.settings, None, SEED, NUM_PASSES)
    share = found.disagreement
    return Measured(
        share,
        f"**{round(share * NUM_PASSES)} of {NUM_PASSES} passes** of {model_name(infos[0])} over "
        f"the attacked {image.image_id} differ from the majority: {seeded_words(wanted.attack)}; "
        f"views from seed {SEED}.",
    )
