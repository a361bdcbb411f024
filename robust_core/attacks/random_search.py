"""Random noise: what an attacker without any knowledge of the model achieves."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, Attack, AttackStep, EotSamples, OnStep
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.gradients import predict_logits
from robust_core.threat_model import Norm


@ATTACKS.register("random_search")
class RandomSearch(Attack):
    """Try random perturbations within the threat model and keep the one with the highest margin.

    uniform: uniformly within the threat model. corner: Linf, each pixel at +-epsilon; L2, on the
        sphere.
    gaussian: normal noise of standard deviation epsilon / 2 (Linf) or of expected length epsilon
    (L2), projected into the threat model. One draw is plain noise; many are brute-force search,
    which a gradient attack on a sound model must beat (Carlini et al., "On Evaluating Adversarial
    Robustness", arXiv:1902.06705, section 5).
    """

    title: ClassVar[str] = "random search"
    presets: ClassVar[tuple[AttackPreset, ...]] = (
        AttackPreset("Random search-100", 110, {"num_queries": 100}),
    )

    gradient_free: ClassVar[bool] = True

    noise: Annotated[
        Literal["uniform", "corner", "gaussian"],
        Field(description="Distribution of the random perturbations."),
    ] = "uniform"
    num_queries: Annotated[
        int, Field(ge=1, le=1_000_000, description="Random perturbations per image.")
    ] = 100
    eot_samples: EotSamples = 1

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Draw, look, keep the best."""
        generator = torch.Generator().manual_seed(self.seed)
        criterion = Criterion("margin", y, target)
        result, index = x.clone(), torch.arange(len(x), device=x.device)
        loss_best = torch.full((len(x),), -torch.inf, device=x.device)
        for query in range(self.num_queries):
            x_new = self._draw(x[index], generator)
            logits = predict_logits(model, x_new, eot_samples=self.eot_samples)
            loss = criterion(logits)
            if on_step is not None:
                on_step(AttackStep(query, x_new, loss, logits))
            fooled = criterion.is_met(logits)
            better = (loss > loss_best[index]) | fooled
            result[index[better]], loss_best[index[better]] = x_new[better], loss[better]
            index, criterion = index[~fooled], criterion.select(~fooled)
            if len(index) == 0:
                break
        return result

    def _draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        threat_model = self.threat_model
        if self.noise == "uniform":
            return threat_model.random_start(x, generator)
        noise = torch.randn(x.shape, generator=generator).to(x)
        if self.noise == "corner":
            step = self.epsilon * threat_model.ascent_direction(noise)
        else:
            spread = 0.5 if self.norm is Norm.LINF else x[0].numel() ** -0.5
            step = self.epsilon * spread * noise
        return threat_model.project(x + step, x)

    def passes(self) -> int:
        """Return num_queries * eot_samples forward passes; none goes backward."""
        return self.num_queries * self.eot_samples
