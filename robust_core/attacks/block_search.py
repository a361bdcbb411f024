"""Random block search from the best iterate: outputs only, so no gradient can mislead it."""

import torch
from torch import Tensor

from robust_core.attacks.base import AttackStep
from robust_core.attacks.survivors import Survivors
from robust_core.threat_model import Norm

SHARE_L2 = 0.3  # length of a block's change as a share of epsilon


def block_search(survivors: Survivors, num_queries: int, generator: torch.Generator) -> None:
    """Change one random square of each image's best iterate at a time; keep what raises the margin.

    Linf: all of the square goes to +-epsilon, one sign a channel. L2: the square is moved by 0.3
    epsilon along one sign a channel, and the image is projected back. The side of the square is
    uniform from one pixel to half the image.

    Random search in squares: Andriushchenko et al., "Square Attack", ECCV 2020, arXiv:1912.00049.
    Differences: it begins where other attacks have ended, and sizes follow no schedule.

    Raises:
        TimeUp: the survivors' time limit is reached.
    """
    number = survivors.new_search()
    for query in range(num_queries):
        index = survivors.index
        if len(index) == 0:
            return
        survivors.check_time()
        x_new = _changed(survivors, index, generator)
        logits = survivors.answer(x_new)
        loss = survivors.criterion.select(index)(logits)
        survivors.report(AttackStep(query, x_new, loss, logits, number))
        survivors.update(index, x_new, logits)


def _changed(survivors: Survivors, index: Tensor, generator: torch.Generator) -> Tensor:
    x, best, threat_model = survivors.x[index], survivors.best[index], survivors.threat_model
    inside = _squares(x, generator)
    signs = torch.randint(0, 2, (*x.shape[:2], 1, 1), generator=generator).to(x) * 2.0 - 1.0
    if threat_model.norm is Norm.LINF:
        corner = (x + threat_model.epsilon * signs).clamp(0.0, 1.0)
        return torch.where(inside, corner, best)
    step = threat_model.ascent_direction(inside * signs)
    return threat_model.project(best + SHARE_L2 * threat_model.epsilon * step, x)


def _squares(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random square for each image as a mask, bool [N,1,H,W]."""
    height, width = x.shape[2:]
    largest = max(min(height, width) // 2, 1)
    side, top, left = torch.rand((3, len(x), 1), generator=generator)
    side = (side * largest).long() + 1
    top, left = (top * (height - side + 1)).long(), (left * (width - side + 1)).long()
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    return (in_rows[:, None, :, None] & in_columns[:, None, None, :]).to(x.device)
