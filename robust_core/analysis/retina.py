"""What a retinotopic sampler makes of an image, and what a network decides on it; all from a seed.

The sampler needs no network: any image can be sampled. Where there is one, `repeated_passes` shows
it the very views that `sampled_views` returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust_core.models.retina.backbone import COLOURS
from robust_core.models.retina.classifier import (
    STATISTICS,
    RetinotopicClassifier,
    RetinotopicParameters,
)
from robust_core.models.retina.sampler import Centre, RetinotopicSampler, choose_centres

ADJUSTABLE = ("num_samples", "weight", "threshold", "exponent")  # what no weight depends on


@dataclass(frozen=True, eq=False)
class SampledView:
    """One view and what it is made of.

    Attributes:
        centre: the fixation, (column, row).
        binary: its samples before masking, [n,3,H,W], nearly 0 or 1 (v1: the ON channels).
        masks: bool [n,H,W].
        image: the view, the mean of the masked samples, [3,H,W] in [0, 1].
    """

    centre: Centre
    binary: Tensor
    masks: Tensor
    image: Tensor

    @property
    def keep_ratio(self) -> float:
        """Share of pixels that the masks keep, in [0, 1]."""
        return float(self.masks.float().mean())


@dataclass(frozen=True, eq=False)
class RepeatedPasses:
    """What a network predicts in R passes over V views each.

    Attributes:
        views: probabilities after single views, [R,V,K].
        decision: probabilities after all views of a pass, [R,K].
    """

    views: Tensor
    decision: Tensor

    @property
    def disagreement(self) -> float:
        """Share of passes that decide otherwise than most, in [0, 1]."""
        predictions = self.decision.argmax(dim=1)
        return float((predictions != predictions.mode().values).double().mean())


def default_settings(data: str) -> RetinotopicParameters:
    """Return the sampling of v2 for the images of a data set, which no network has learnt."""
    return RetinotopicParameters.create({"normalisation": data if data in STATISTICS else "none"})


def sampled_values(x: Tensor, settings: RetinotopicParameters) -> Tensor:
    """Return what is sampled of an image: [C,H,W] in [0, 1] -> [3,H,W], in v2 normalised."""
    x = x.expand(COLOURS, -1, -1)
    if settings.version == "v1":
        return x
    mean, deviation = (torch.tensor(s)[:, None, None] for s in STATISTICS[settings.normalisation])
    return (x - mean) / deviation


def sampled_views(
    x: Tensor, settings: RetinotopicParameters, centre: Centre | None, seed: int
) -> list[SampledView]:
    """Return the views of an image; equal arguments give equal views.

    Args:
        x: image [C,H,W] in [0, 1].
        settings: the sampling.
        centre: the fixation of one view; None: the views of a whole pass at its own places.
        seed: of masks, pixel noise and places.
    """
    generator = torch.Generator().manual_seed(seed)
    centres: Sequence[Centre] = [centre] if centre is not None else []
    if centre is None:
        size = (x.shape[1], x.shape[2])
        centres = choose_centres(
            settings.centre_choice, size, settings.centre_margin, settings.num_views, generator
        )
    sampler = RetinotopicSampler(
        settings.version, settings.weight, settings.num_samples, density=settings.density
    )
    seen = sampled_values(x, settings)[None]
    found = []
    for place in centres:
        samples = sampler(seen, place, generator)
        found.append(
            SampledView(
                place,
                samples.binary[:, 0, :COLOURS],
                samples.masks[:, 0],
                samples.view[0, :COLOURS],
            )
        )
    return found


@torch.no_grad()
def repeated_passes(
    network: RetinotopicClassifier,
    x: Tensor,
    settings: RetinotopicParameters,
    centre: Centre | None,
    seed: int,
    num_passes: int = 1,
) -> RepeatedPasses:
    """Return what a network predicts of one image in passes of fresh views.

    Args:
        network: in eval mode.
        x: image [C,H,W] in [0, 1].
        settings: the sampling; of it only `ADJUSTABLE` may differ from the network's own.
        centre: one view there in each pass; None: the views of a whole pass.
        seed: of all randomness; the first pass sees what `sampled_views` returns.
        num_passes: R.
    """
    copy = network.with_inference(**{name: getattr(settings, name) for name in ADJUSTABLE})
    generator = torch.Generator().manual_seed(seed)
    single, together = [], []
    for _ in range(num_passes):
        views = copy.sample_views(x[None], None if centre is None else [centre], generator)
        outputs = copy.outputs_of(views)
        single.append(outputs.logits[:, 0].softmax(dim=1))
        together.append(copy.decide(outputs)[0].softmax(dim=0))
    return RepeatedPasses(torch.stack(single), torch.stack(together))
