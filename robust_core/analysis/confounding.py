"""How much a model goes by the background: the same shapes on the background of every class."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robust_core.data.shapes import SCENES, Scene
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.models.modes import evaluation_mode


@dataclass(frozen=True)
class Counterfactuals:
    """The same N shapes on C backgrounds, one for each class.

    Attributes:
        x: float32 [C,N,3,H,W] in [0, 1], picture c of a shape on the background of class c.
        y: int64 [N], the class of the shape. class_names: C names.
    """

    x: Tensor
    y: Tensor
    class_names: tuple[str, ...]

    @property
    def background(self) -> Tensor:
        """Where the C pictures of a shape differ: bool [N,H,W]."""
        return (self.x != self.x[:1]).any(dim=0).any(dim=1)


@dataclass(frozen=True)
class ConfounderReliance:
    """What a model makes of the same N shapes on C backgrounds.

    Attributes:
        prediction: int64 [C,N], the class predicted for shape n on the background of class c.
        y: int64 [N], the class of the shape.
    """

    prediction: Tensor
    y: Tensor

    @property
    def tied(self) -> Tensor:
        """Where the background is the one of the shape's own class: bool [C,N]."""
        return torch.arange(len(self.prediction))[:, None] == self.y

    @property
    def tied_accuracy(self) -> float:
        """Share predicted as labelled on the background of their own class."""
        return self._share(self.prediction == self.y, self.tied)

    @property
    def conflicting_accuracy(self) -> float:
        """Share predicted as labelled on the background of another class."""
        return self._share(self.prediction == self.y, ~self.tied)

    @property
    def followed(self) -> float:
        """Share predicted as the background's class, where that is not the shape's."""
        background = torch.arange(len(self.prediction))[:, None]
        return self._share(self.prediction == background, ~self.tied)

    @property
    def reliance(self) -> float:
        """Accuracy lost when the background turns against the shape, in [-1, 1].

        0: the background does not matter. 1: it alone decides.
        """
        return self.tied_accuracy - self.conflicting_accuracy

    @staticmethod
    def _share(event: Tensor, among: Tensor) -> float:
        return int((event & among).sum()) / int(among.sum())


def draw_counterfactuals(scene: Scene, num_images: int, seed: int = 0) -> Counterfactuals:
    """Return the same shapes on the background of every class.

    Args:
        scene: of the data set `shapes`.
        num_images: shapes drawn, at least one of each class.
        seed: of the drawing; the images are no part of any split.

    Raises:
        InputError: fewer images than classes.
    """
    draw, class_names = SCENES[scene]
    if num_images < len(class_names):
        raise InputError(f"num_images must be >= {len(class_names)}, got {num_images}")
    stream = [seed, 2]  # the data set draws from streams 0 and 1
    drawn = [draw(num_images, 0.0, stream, confounder) for confounder in range(len(class_names))]
    x = torch.from_numpy(np.stack([pictures for pictures, _, _ in drawn])).float() / 255.0
    return Counterfactuals(x, torch.from_numpy(drawn[0][1]), class_names)


def confounder_reliance(
    model: nn.Module, images: Counterfactuals, *, eot_samples: int = 1
) -> ConfounderReliance:
    """Return what `model` predicts for the same shapes on the background of every class.

    Args:
        model: maps [N,3,H,W] in [0, 1] to logits [N,C]; used in eval mode, left unchanged.
        images: from `draw_counterfactuals`.
        eot_samples: passes whose mean logits decide, for stochastic models.
    """
    with evaluation_mode(model):
        logits = [predict_logits(model, x, eot_samples=eot_samples) for x in images.x]
    prediction = torch.stack([column.argmax(dim=1) for column in logits])
    return ConfounderReliance(prediction.cpu(), images.y)


def background_share(x: Tensor, x_adv: Tensor, background: Tensor) -> Tensor:
    """Return the share of ||x_adv - x||^2 that lies in the background: [N] in [0, 1].

    The question of the colour toy: does an attack paint the background or change the shape? To be
    compared with the share of pixels that are background. NaN where nothing was changed.

    Args:
        x: clean images [N,C,H,W].
        x_adv: attacked images [N,C,H,W].
        background: bool [N,H,W].
    """
    energy = (x_adv - x).square().sum(dim=1)  # [N, H, W]
    return (energy * background).sum(dim=(1, 2)) / energy.sum(dim=(1, 2))
