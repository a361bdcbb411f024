"""Several attacks, each on the survivors of those before; AutoAttack."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, Attack, OnStep, attack_from
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.preset import AttackPreset
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.parameters import Parameters

TOLERANCE = 1e-5  # float32 rounding of a distance


class AttackChoice(Parameters):
    """A registered attack and the parameters that differ from its defaults."""

    name: Annotated[str, Field(min_length=1, description="Name.")]
    parameters: Annotated[dict[str, Any], Field(description="Parameters of the attack.")] = Field(
        default_factory=dict
    )

    def __hash__(self) -> int:
        return hash((self.name, repr(sorted(self.parameters.items()))))


class Ensemble(Attack):
    """Several attacks in one threat model, each on the images not fooled by those before it."""

    searches_low_precision: ClassVar[bool] = True

    @abstractmethod
    def members(self) -> list[Attack]:
        """Return the attacks in their order, with this one's norm, epsilon and seed."""

    @property
    def averaged_passes(self) -> int:
        """The fewest of its members; those that need no gradient do not count."""
        looking = [one.averaged_passes for one in self.members() if not one.gradient_free]
        return min(looking, default=1)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Run the members on the survivors."""
        return attack_survivors(self.members(), model, x, Criterion("margin", y, target), on_step)

    def passes(self) -> int:
        """Return the sum over the members, an upper bound: later ones see survivors only."""
        return sum(member.passes() for member in self.members())


@ATTACKS.register("worst_case")
class WorstCase(Ensemble):
    """Run a list of attacks, each on the images not fooled by those before it.

    All attack in this one's norm and epsilon and with its seed. A minimum-norm attack counts where
    it stays within epsilon. The result is the per-image worst case, the way AutoAttack and
    RobustBench report: Croce and Hein, arXiv:2003.01690, section 5.
    """

    title: ClassVar[str] = "worst case"
    attacks: Annotated[
        tuple[AttackChoice, ...],
        Field(
            min_length=1, max_length=20, description="Attacks, in the order in which they are run."
        ),
    ] = (AttackChoice(name="pgd"), AttackChoice(name="square", parameters={"num_queries": 500}))

    @model_validator(mode="after")
    def _check_attacks(self) -> Self:
        for choice in self.attacks:
            try:
                _member(self, choice.name, **choice.parameters)
            except InputError as error:
                raise ValueError(
                    f"attack {choice.name} cannot join: norm, epsilon and seed are those of the "
                    f"worst case, and {error}"
                ) from None
        return self

    def members(self) -> list[Attack]:
        """Return the attacks with this one's norm, epsilon and seed."""
        return [_member(self, choice.name, **choice.parameters) for choice in self.attacks]


@ATTACKS.register("autoattack")
class AutoAttack(Ensemble):
    """AutoAttack, the complete ensemble.

    standard: APGD-CE, APGD-T with 9 targets, FAB-T with 9 targets, Square with 5,000 queries, each
    on the survivors of those before. rand, for stochastic models: APGD-CE and APGD-DLR with 20
    passes averaged per gradient (EOT).

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
    Diverse Parameter-Free Attacks", ICML 2020, arXiv:2003.01690. Difference: an image leaves each
    attack as soon as it is fooled, and every image draws its own random squares.
    """

    title: ClassVar[str] = "AutoAttack"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("AutoAttack", 180),)
    for_stochastic_models: ClassVar[Mapping[str, Any]] = {"version": "rand"}

    version: Annotated[
        Literal["standard", "rand"],
        Field(description="AutoAttack version: standard, or rand for stochastic models."),
    ] = "standard"
    eot_samples: Annotated[
        int,
        Field(ge=20, le=1000, description="rand only: forward passes averaged per gradient (EOT)."),
    ] = 20

    def members(self) -> list[Attack]:
        """Return the attacks of the ensemble in their order."""
        if self.version == "rand":
            eot = {"eot_samples": self.eot_samples}
            return [
                _member(self, "apgd", loss="cross_entropy", **eot),
                _member(self, "apgd", loss="dlr", **eot),
            ]
        return [
            _member(self, "apgd", loss="cross_entropy"),
            _member(self, "apgd", loss="targeted_dlr", num_targets=9),
            _member(self, "fab", targeted=True, num_targets=9, stop_at_epsilon=True),
            _member(self, "square", num_queries=5000),
        ]


def _member(ensemble: Attack, name: str, **parameters: Any) -> Attack:
    shared = {"norm": ensemble.norm, "epsilon": ensemble.epsilon, "seed": ensemble.seed}
    return attack_from(name, {**parameters, **shared})


def attack_survivors(
    attacks: Sequence[Attack],
    model: nn.Module,
    x: Tensor,
    criterion: Criterion,
    on_step: OnStep | None,
) -> Tensor:
    """Return each image as the first successful attack left it, else as the last one did.

    Args:
        attacks: in their order; each sees only the images that are not fooled yet.
        model: the attacked model, in eval mode.
        x: clean images [N,C,H,W] in [0, 1].
        criterion: what is wanted of them.
        on_step: passed on to every attack.
    """
    result = x.clone()
    index = torch.arange(len(x), device=x.device)
    for attack in attacks:
        current = criterion.select(index)
        x_adv = attack.perturb(
            attack.searched_model(model), x[index], current.y, current.target, on_step
        )
        logits = predict_logits(model, x_adv, eot_samples=getattr(attack, "eot_samples", 1))
        within = attack.threat_model.distance(x_adv, x[index]) <= attack.epsilon + TOLERANCE
        fooled = current.is_met(logits) & within
        result[index[within]] = x_adv[within]
        index = index[~fooled]
        if len(index) == 0:
            break
    return result
