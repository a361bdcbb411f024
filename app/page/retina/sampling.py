"""What a retinotopic sampler makes of an image, and what a network decides on it; all from a seed.

The sampler needs no network: any image can be looked at. Where there is one, it is shown the very
views that are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.ui import cached
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.models.retina.backbone import COLOURS
from robust_core.models.retina.classifier import (
    STATISTICS,
    RetinotopicClassifier,
    RetinotopicParameters,
)
from robust_core.models.retina.sampler import Centre, RetinotopicSampler, choose_centres

ADJUSTABLE = ("num_samples", "weight", "threshold", "exponent")


@dataclass(frozen=True, eq=False)
class Glance:
    """One view and what it is made of.

    Attributes:
        centre: the fixation, (column, row).
        binary: its samples before masking, [n,3,H,W], nearly 0 or 1 (v1: the ON channels).
        masks: bool [n,H,W].
        view: mean of the masked samples, [3,H,W] in [0, 1].
    """

    centre: Centre
    binary: Tensor
    masks: Tensor
    view: Tensor

    @property
    def keep_ratio(self) -> float:
        """Share of pixels that the masks keep, in [0, 1]."""
        return float(self.masks.float().mean())


@dataclass(frozen=True, eq=False)
class Passes:
    """What a network says in R passes over V views each.

    Attributes:
        views: probabilities after single views, [R,V,K].
        decision: probabilities after all views of a pass, [R,K].
    """

    views: Tensor
    decision: Tensor


def retinotopic_network(info: CheckpointInfo) -> RetinotopicClassifier | None:
    """Return the network of a checkpoint if it looks through a retinotopic sampler."""
    model = cached.load_model(info)
    return model if isinstance(model, RetinotopicClassifier) else None


def own_settings(info: CheckpointInfo) -> RetinotopicParameters:
    """Return the sampling of a checkpoint; for another network that of v2 on its data set."""
    network = retinotopic_network(info)
    if network is not None:
        return network.settings
    data = info.config.data.name
    return RetinotopicParameters.create({"normalisation": data if data in STATISTICS else "none"})


def sampled_values(x: Tensor, settings: RetinotopicParameters) -> Tensor:
    """Return what is sampled of an image [C,H,W] in [0, 1]: three channels, in v2 normalised."""
    x = x.expand(COLOURS, -1, -1)
    if settings.version == "v1":
        return x
    mean, deviation = (torch.tensor(s)[:, None, None] for s in STATISTICS[settings.normalisation])
    return (x - mean) / deviation


def look(
    x: Tensor, settings: RetinotopicParameters, centre: Centre | None, seed: int
) -> list[Glance]:
    """Return the views of an image [C,H,W]: at `centre`, or (None) at the places of a whole pass.

    Equal arguments give equal views, those that `decide` shows to a network.
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
            Glance(
                place,
                samples.binary[:, 0, :COLOURS],
                samples.masks[:, 0],
                samples.view[0, :COLOURS],
            )
        )
    return found


@torch.no_grad()
def decide(
    network: RetinotopicClassifier,
    x: Tensor,
    settings: RetinotopicParameters,
    centre: Centre | None,
    seed: int,
    num_passes: int = 1,
) -> Passes:
    """Return what a network says to an image [C,H,W] in passes of fresh views.

    Args:
        network: in eval mode.
        x: the image.
        settings: the sampling; only what the weights do not depend on may differ from its own.
        centre: one view there in each pass; None: the views of a whole pass.
        seed: of all randomness; the first pass sees what `look` returns.
        num_passes: R.
    """
    twin = network.with_inference(**{name: getattr(settings, name) for name in ADJUSTABLE})
    generator = torch.Generator().manual_seed(seed)
    single, together = [], []
    for _ in range(num_passes):
        views = twin.sample_views(x[None], None if centre is None else [centre], generator)
        outputs = twin.outputs_of(views)
        single.append(outputs.logits[:, 0].softmax(dim=1))
        together.append(twin.decide(outputs)[0].softmax(dim=0))
    return Passes(torch.stack(single), torch.stack(together))
