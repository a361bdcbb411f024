"""Settings of the page Latent space besides model, image and attack; its address."""

from collections.abc import Sequence

from app.ui.attack_link import attack_link
from app.ui.page_link import PageLink
from app.ui.state import Choice, Number
from robust_core.checkpoints.catalog import CheckpointInfo

LAYOUTS = {"pca": "PCA", "tsne": "t-SNE"}
DISTANCES = {
    "relative": "Relative change",
    "angle": "Angle",
    "drift": "Centroid drift",
    "mmd": "MMD",
    "wasserstein": "Wasserstein",
    "overlap": "k-NN overlap",
}
AGAINST_WORDS = {"adversarial": "Adversarial", "noisy": "Noisy", "transformed": "Transformed"}

LAYOUT = Choice("layout", "latent.layout", LAYOUTS)
DIMENSIONS = Choice("dimensions", "latent.dimensions", {"2": "2-D", "3": "3-D"})
COLOUR = Choice("colour", "latent.colour", {"role": "Image type", "class": "Class"})
IMAGES = Number("images", "latent.images", 50, 400, 150)
AGAINST = Choice("against", "latent.against", AGAINST_WORDS)
DISTANCE = Choice("distance", "latent.distance", DISTANCES)


def latent_link(infos: Sequence[CheckpointInfo]) -> PageLink:
    """Return the link of the page: that of the page Attack, and the settings of the map.

    Args:
        infos: the checkpoints that the page offers, at least one.
    """
    return attack_link("latent", infos, [LAYOUT, DIMENSIONS, COLOUR, IMAGES, AGAINST, DISTANCE])
