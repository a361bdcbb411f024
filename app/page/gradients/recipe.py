"""How to make results of the page Gradients again outside the browser."""

from app.page.gradients.measure import SEED
from app.ui.recipes import Recipe, data_line, image_lines, model_line, recipe, sample_line
from robust_core.checkpoints.catalog import CheckpointInfo


def alignment_recipe(
    info: CheckpointInfo, kind: str, denoiser: CheckpointInfo | None, number: int
) -> Recipe:
    """Return the lines for the alignment of one model, see `measure.sample_alignment`."""
    more, lines = "", []
    if kind == "SBG" and denoiser is not None:
        noise = float(denoiser.config.model.parameters["noise"])
        more, lines = f", denoiser=denoiser, noise={noise}", [model_line(denoiser, "denoiser")]
    return recipe(
        [
            data_line(info, "train", "train"),
            sample_line(info, number),
            model_line(info),
            *lines,
            f"targets = target_directions({kind!r}, train{more}, seed={SEED})",
            "found = alignment(model, data.x, lambda x, y: targets(x))",
            "print(found.mean)",
        ],
        "from robust_core.analysis.alignment import alignment, target_directions",
    )


def attribution_recipe(info: CheckpointInfo, image_id: str, label: int) -> Recipe:
    """Return the lines for the maps of one model, see `measure.attributions`."""
    return recipe(
        [
            *image_lines(info, image_id),
            model_line(info),
            f"target = torch.tensor([{label}])",
            "maps = {",
            f"    method: attribute(model, x[None], target, method, seed={SEED})[0]",
            "    for method in get_args(AttributionName)",
            "    if not_applicable(model, method) is None",
            "}",
            "print({method: float(values.abs().max()) for method, values in maps.items()})",
        ],
        "import torch",
        "from typing import get_args",
        "from robust_core.analysis.attribution import AttributionName, attribute, not_applicable",
    )
