"""The one-step training attack that Feature Scattering and ATLD share."""

import torch
from torch import Tensor, nn

from robust_core.gradients import LossFunction
from robust_core.methods.parts.inner_attack import inner_maximisation
from robust_core.threat_model import Norm, ThreatModel


def one_step_attack(
    model: nn.Module, x: Tensor, loss_function: LossFunction, threat_model: ThreatModel
) -> Tensor:
    """Return x_adv [B,C,H,W]: one step of length epsilon from a random start, batch norm in eval.

    x_adv = project(x_start + epsilon * direction(gradient of the loss at x_start)). For Linf
    x_start = x + U(-epsilon, epsilon) is not clipped to [0, 1] before the network sees it, as in
    the released code; for L2 it is `ThreatModel.random_start`.

    Args:
        model: the network being trained, in train mode.
        x: clean images [B,C,H,W] in [0, 1].
        loss_function: logits [B,K] -> loss [B], whose sum is raised.
        threat_model: norm and epsilon.
    """
    if threat_model.norm is Norm.LINF:
        x_start = x + threat_model.epsilon * (2.0 * torch.rand_like(x) - 1.0)
    else:
        x_start = threat_model.random_start(x)
    return inner_maximisation(
        model,
        x,
        loss_function,
        threat_model,
        x_start=x_start,
        step_size=threat_model.epsilon,
        num_steps=1,
        batch_norm="eval",
    )
