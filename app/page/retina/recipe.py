"""How to make the views of the page Retina again outside the browser."""

from app.ui.copy_recipe import copy_recipe
from app.ui.recipes import Recipe, image_lines, parameters_line, recipe
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.classifier import RetinotopicParameters
from robust_core.models.retina.sampler import Centre


def copy_views(
    info: CheckpointInfo,
    image_id: str | None,
    settings: RetinotopicParameters,
    centre: Centre,
    seed: int,
) -> None:
    """Draw the button that shows the lines; a picture of the visitor's own has none."""
    if image_id is not None:
        copy_recipe(views_recipe(info, image_id, settings, centre, seed), key="retina.recipe")


def views_recipe(
    info: CheckpointInfo, image_id: str, settings: RetinotopicParameters, centre: Centre, seed: int
) -> Recipe:
    """Return the lines for the view at the fixation and for those of a whole pass."""
    return recipe(
        [
            *image_lines(info, image_id),
            parameters_line("settings", settings),
            f"(view,) = sampled_views(x, settings, {tuple(centre)!r}, {seed})",
            f"path = sampled_views(x, settings, None, {seed})",
            "print(view.keep_ratio, [one.centre for one in path])",
        ],
        "from robust_core.analysis.retina import sampled_views",
        "from robust_core.models.retina.classifier import RetinotopicParameters",
    )
