"""Square attack: random search with square patches, without gradients."""

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, Attack, AttackStep, EotSamples, NumRestarts, OnStep
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.attacks.projected_ascent import best_of_rounds
from robust_core.gradients import search_logits
from robust_core.threat_model import Norm

# Side of the square: its share of the image is halved after these iterations out of 10,000.
SCHEDULE = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@ATTACKS.register("square")
class Square(Attack):
    """Square attack: keep a random square change of the perturbation when it raises the margin.

    Uses logits only (a score-based black-box attack), so masked gradients do not stop it. Linf:
    a square of each colour channel is set to +-epsilon, from vertical stripes on. L2: the energy
    of one window moves to another, in a pattern that falls off from its centre. An image leaves
    the search when it is fooled.

    Source: Andriushchenko, Croce, Flammarion and Hein, "Square Attack: a query-efficient black-box
    adversarial attack via random search", ECCV 2020, arXiv:1912.00049, algorithms 1-3. Difference:
    every image draws its own squares; the released code shares them within a batch.
    """

    title: ClassVar[str] = "Square"
    presets: ClassVar[tuple[AttackPreset, ...]] = (
        AttackPreset("Square-200", 80, {"num_queries": 200}),
        AttackPreset("Square-5,000", 90, {"num_queries": 5000}),
    )

    gradient_free: ClassVar[bool] = True
    searches_low_precision: ClassVar[bool] = True

    num_queries: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="Queries (forward passes) per image and restart."),
    ] = 5000
    num_restarts: NumRestarts = 1
    initial_share: Annotated[
        float, Field(gt=0.0, le=1.0, description="Initial share of pixels changed by a square (p).")
    ] = 0.8
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Run every restart on the images still remaining."""
        generator = torch.Generator().manual_seed(self.seed)
        return best_of_rounds(
            lambda number, x, criterion: self._search(
                model, x, criterion, generator, on_step, number
            ),
            model,
            x,
            Criterion("margin", y, target),
            num_rounds=self.num_restarts,
            eot_samples=self.eot_samples,
        )

    def _search(
        self,
        model: nn.Module,
        x: Tensor,
        criterion: Criterion,
        generator: torch.Generator,
        on_step: OnStep | None,
        restart: int,
    ) -> Tensor:
        result, index = x.clone(), torch.arange(len(x), device=x.device)
        begin, propose = (
            (self._stripes, self._square_linf)
            if self.norm is Norm.LINF
            else (self._tiles_l2, self._square_l2)
        )
        x_best, loss_best = x, torch.full((len(x),), -torch.inf, device=x.device)
        for query in range(self.num_queries):
            if query == 0:
                x_new = begin(x, generator)
            else:
                x_new = propose(x, x_best, self._share(query), generator)
            logits = search_logits(model, x_new, eot_samples=self.eot_samples)
            loss = criterion(logits)
            fooled = criterion.fooled(model, x_new, logits, eot_samples=self.eot_samples)
            better = (loss > loss_best) | fooled
            x_best = torch.where(better.view(-1, 1, 1, 1), x_new, x_best)
            loss_best = torch.where(better, loss, loss_best)
            if on_step is not None:
                on_step(AttackStep(query, x_new, loss, logits, restart))
            if bool(fooled.any()):
                result[index[fooled]] = x_best[fooled]
                keep = ~fooled
                index, x, x_best, loss_best = index[keep], x[keep], x_best[keep], loss_best[keep]
                criterion = criterion.select(keep)
                if len(index) == 0:
                    return result
        result[index] = x_best
        return result

    def _share(self, query: int) -> float:
        scaled = int(query / self.num_queries * 10_000)
        return self.initial_share / 2 ** sum(scaled > limit for limit in SCHEDULE)

    def _stripes(self, x: Tensor, generator: torch.Generator) -> Tensor:
        signs = _signs((len(x), x.shape[1], 1, x.shape[3]), generator).to(x)
        return (x + self.epsilon * signs).clamp(0.0, 1.0)

    def _square_linf(
        self, x: Tensor, x_best: Tensor, share: float, generator: torch.Generator
    ) -> Tensor:
        side = _side(share, x, smallest=1)
        inside = _windows(x, side, generator)
        signs = _signs((len(x), x.shape[1], 1, 1), generator).to(x)
        changed = (x + self.epsilon * signs).clamp(0.0, 1.0)
        return torch.where(inside, changed, x_best)

    def _tiles_l2(self, x: Tensor, generator: torch.Generator) -> Tensor:
        side = max(min(x.shape[2:]) // 5, 1)
        delta = torch.zeros_like(x)
        for top in range(0, x.shape[2] - side + 1, side):
            for left in range(0, x.shape[3] - side + 1, side):
                signs = _signs((len(x), x.shape[1], 1, 1), generator).to(x)
                tile = _bump(side, generator).to(x)
                delta[:, :, top : top + side, left : left + side] = tile * signs
        return (x + self.epsilon * _unit(delta)).clamp(0.0, 1.0)

    def _square_l2(
        self, x: Tensor, x_best: Tensor, share: float, generator: torch.Generator
    ) -> Tensor:
        side = _side(share, x, smallest=3)
        side = min(side + 1 - side % 2, *x.shape[2:])
        delta = x_best - x
        first, second = (_windows(x, side, generator) for _ in range(2))
        old = delta * first
        spent = (delta * (first | second)).square().sum(dim=(1, 2, 3), keepdim=True)
        unused = (self.epsilon**2 - delta.square().sum(dim=(1, 2, 3), keepdim=True)).clamp_min(0.0)
        pattern = _place(_bump(side, generator).to(x), first)
        pattern = pattern * _signs((len(x), x.shape[1], 1, 1), generator).to(x)
        pattern = pattern + old / (_norm_of_channels(old) + 1e-12)
        energy = (unused / x.shape[1] + spent).sqrt()
        pattern = pattern / (_norm_of_channels(pattern) + 1e-12) * energy
        delta = torch.where(first, pattern, torch.where(second, 0.0, delta))
        return (x + self.epsilon * _unit(delta)).clamp(0.0, 1.0)

    def passes(self) -> int:
        """Return num_queries * num_restarts * eot_samples forward passes; none goes backward."""
        return self.num_queries * self.num_restarts * self.eot_samples


def _side(share: float, x: Tensor, smallest: int) -> int:
    height, width = x.shape[2:]
    return min(max(round(math.sqrt(share * height * width)), smallest), height, width)


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0


def _windows(x: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return a random square for each image as a mask, bool [N,1,H,W]."""
    num, (height, width) = len(x), x.shape[2:]
    top = torch.randint(0, height - side + 1, (num, 1), generator=generator)
    left = torch.randint(0, width - side + 1, (num, 1), generator=generator)
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    return (in_rows[:, None, :, None] & in_columns[:, None, None, :]).to(x.device)


def _place(tile: Tensor, window: Tensor) -> Tensor:
    """Put `tile` [S,S] into each square of `window` bool [N,1,H,W]: -> [N,1,H,W]."""
    placed = torch.zeros(window.shape, device=window.device)
    placed[window] = tile.flatten().repeat(len(window))
    return placed


def _bump(side: int, generator: torch.Generator) -> Tensor:
    """Return two halves of opposite sign that fall off from their centres, of norm 1: [S,S]."""
    half = side // 2
    bump = torch.zeros(side, side)
    bump[:half] = _falling_off(half, side)
    bump[half:] = -_falling_off(side - half, side)
    bump = bump / bump.norm().clamp_min(1e-12)
    return bump.T if bool(torch.rand(1, generator=generator) > 0.5) else bump


def _falling_off(height: int, width: int) -> Tensor:
    """Return sum over m of 1/(m+1)^2 on squares that grow from the centre: [H,W], norm 1."""
    if height == 0:
        return torch.zeros(0, width)
    centre_row, centre_column = height // 2, width // 2
    rows = (torch.arange(height) - centre_row).abs()[:, None]
    columns = (torch.arange(width) - centre_column).abs()[None]
    ring = torch.maximum(rows, columns)
    rings = torch.arange(max(height // 2, width // 2) + 1)
    weight = 1.0 / (rings + 1.0).square()
    pattern = (weight * (ring[..., None] <= rings)).sum(dim=-1)
    return pattern / pattern.norm()


def _norm_of_channels(delta: Tensor) -> Tensor:
    return delta.square().sum(dim=(2, 3), keepdim=True).sqrt()


def _unit(delta: Tensor) -> Tensor:
    return delta / (delta.square().sum(dim=(1, 2, 3), keepdim=True).sqrt() + 1e-12)
