"""Where an image's input gradients should point: the targets g(x, c) of PAG, as pure functions.

All targets are directions [B,K,C,H,W], one for each image and class, of any length. They are
differences of images in [0, 1]; the scale of [-1, 1], in which the networks see them, is twice that
and changes no direction.

Source: Ganz, Kawar and Elad, "Do Perceptually Aligned Gradients Imply Robustness?", ICML 2023,
arXiv:2207.11378: one image (OI), class mean (CM), nearest neighbour (NN), score-based (SBG).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust_core.data.augmentation import Change
from robust_core.errors import InputError
from robust_core.models.base import Normalize
from robust_core.models.denoiser import Denoiser

TargetFunction = Callable[[Tensor, Tensor], Tensor]  # x [B,C,H,W], index [B] -> [B,K,C,H,W]


def towards(x: Tensor, representatives: Tensor) -> Tensor:
    """Return r_c - x: images [B,C,H,W], representatives [K,C,H,W] or [B,K,C,H,W]."""
    return representatives - x[:, None]


def one_image_of_each_class(y: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """Return the position of one arbitrary image of every class: labels [N] -> int64 [K] (OI).

    Raises:
        InputError: a class without images.
    """
    members = members_of_classes(y, num_classes)
    chosen = [rows[torch.randint(len(rows), (), generator=generator)] for rows in members]
    return torch.stack(chosen).to(y.device)


def members_of_classes(y: Tensor, num_classes: int) -> list[Tensor]:
    """Return the positions of each class's images, on the CPU: labels [N] -> K tensors [N_c].

    Raises:
        InputError: a class without images.
    """
    members = [torch.nonzero(y.cpu() == label).squeeze(1) for label in range(num_classes)]
    for label, rows in enumerate(members):
        if len(rows) == 0:
            raise InputError(
                f"every class needs a training image as target, class {label} has none"
            )
    return members


def class_means(x: Tensor, y: Tensor, num_classes: int, *, match_length: bool = False) -> Tensor:
    """Return the mean image of every class: [N,C,H,W], [N] -> [K,C,H,W] (CM).

    Args:
        x: images in [0, 1].
        y: labels, every class present.
        num_classes: K.
        match_length: multiply each mean, in the scale of [-1, 1], so that it is as long as the
            images of its class on average (it may leave the box).
    """
    members = members_of_classes(y, num_classes)
    means = torch.stack([x[rows.to(x.device)].mean(dim=0) for rows in members])
    if not match_length:
        return means
    normalize = Normalize()
    length = normalize(x).flatten(1).norm(dim=1)
    typical = torch.stack([length[rows.to(x.device)].mean() for rows in members])
    centred = normalize(means)
    factor = typical / centred.flatten(1).norm(dim=1).clamp_min(1e-12)
    return (centred * factor[:, None, None, None] + 1) / 2


def nearest_of_each_class(
    x: Tensor, index: Tensor, pool: Tensor, pool_index: Tensor, pool_y: Tensor, num_classes: int
) -> Tensor:
    """Return the position in the pool of the nearest image of each class: -> int64 [B,K] (NN).

    Distance is L2 in pixels. An image is never its own neighbour: entries of the pool with its own
    `index` are left out.

    Args:
        x: images [B,C,H,W].
        index: their positions in the training set [B].
        pool: images to choose from [M,C,H,W]; each class with at least two.
        pool_index: their positions in the training set [M].
        pool_y: their labels [M].
        num_classes: K.
    """
    # in float64, because cdist takes differences of squares: close neighbours are lost in float32
    distance = torch.cdist(x.flatten(1).double(), pool.flatten(1).double())  # [B, M]
    distance = distance.masked_fill(index[:, None] == pool_index, float("inf"))
    nearest = []
    for label in range(num_classes):
        members = torch.nonzero(pool_y == label).squeeze(1)
        nearest.append(members[distance[:, members].argmin(dim=1)])
    return torch.stack(nearest, dim=1)


@torch.no_grad()
def score_differences(denoiser: Denoiser, x: Tensor, noise: float, draws: Tensor) -> Tensor:
    """Return s(x_t | c) - s(x_t), averaged over noisy copies x_t = x + noise e (SBG).

    [B,C,H,W] -> [B,K,C,H,W]. By Bayes' rule this is the gradient of log p(c | x_t), with x_t in the
    scale of [-1, 1]; the same noise goes into both scores.

    Args:
        denoiser: gives the scores; in eval mode.
        x: images [B,C,H,W] in [0, 1].
        noise: standard deviation of the noise in the scale of [-1, 1].
        draws: standard normal noise [R,C,H,W], the same for every image, so that a target depends
            on nothing but the image.
    """
    centred = Normalize()(x)
    noises = draws.to(x)
    sigma = torch.full((len(x),), noise, device=x.device)
    total = torch.zeros((), device=x.device)
    for sample in noises:
        conditional, unconditional = denoiser.scores(centred + noise * sample, sigma)
        total = total + (conditional - unconditional[:, None])
    return total / len(noises)


def direction_only(targets: Tensor) -> Tensor:
    """Return targets of root mean square 1 in half precision: [...,C,H,W] -> float16, same shape.

    Half the memory; a target that is zero stays zero.
    """
    length = targets.float().square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
    return (targets / length.clamp_min(1e-30)).half()


class KeptByIndex:
    """What is made of each training image, made once and kept on the CPU."""

    def __init__(self, make: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Note how it is made.

        Args:
            make: (images [B,C,H,W] as they are stored, their index [B]) -> [B,...]; it must depend
                on nothing but the image and its index.
        """
        self.make = make
        self.kept: dict[int, Tensor] = {}

    def __call__(self, x: Tensor, index: Tensor) -> Tensor:
        """Return what is made of stored images [B,C,H,W] at `index` [B]: [B,...]."""
        positions = index.tolist()
        new = [place for place, i in enumerate(positions) if i not in self.kept]
        if new:
            made = self.make(x[new], index[new]).cpu()
            self.kept |= {positions[place]: each for place, each in zip(new, made, strict=True)}
        return torch.stack([self.kept[i] for i in positions]).to(x.device)


def towards_fixed(representatives: Tensor) -> TargetFunction:
    """Return the targets towards the same representatives for every image."""
    return lambda x, index: towards(x, representatives)


class Augmented(nn.Module):
    """A network that sees its images after a change of them."""

    def __init__(self, model: nn.Module, change: Change) -> None:
        super().__init__()
        self.model, self.change = model, change

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the changed images: [N,C,H,W] -> [N,K]."""
        return self.model(self.change(x))
