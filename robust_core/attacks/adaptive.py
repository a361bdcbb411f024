"""The adaptive evaluation: searches of different kinds, one after the other, on the survivors."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, Attack, OnStep
from robust_core.attacks.block_search import block_search
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.ensemble import AutoAttack
from robust_core.attacks.momentum_ascent import Ascent, momentum_ascent
from robust_core.attacks.notes import note
from robust_core.attacks.preset import AttackPreset
from robust_core.attacks.survivors import TOLERANCE, Follower, Survivors, TimeUp
from robust_core.gradients import predict_logits
from robust_core.inference.wrappers import with_substituted_backward
from robust_core.models.guard import attack_surrogates, masking_parts

AUTOMATIC_EOT = 10  # passes averaged for a stochastic model
STOCHASTIC_SHARE = 0.15  # of the steps, where each of them is the mean of many passes
MOST_SURROGATES = 2  # other backward passes that are followed
SAME = 1e-4  # two answers that differ by less, of the largest logit, are one

Search = Ascent | int | Attack  # an int: queries of the block search


@dataclass(frozen=True)
class Phase:
    """One search and what it is called; `source` 0 is the model itself, others its surrogates."""

    title: str
    search: Search
    source: int = 0


@ATTACKS.register("adaptive")
class Adaptive(Attack):
    """Adaptive attack: a sequence of searches for the lowest robust accuracy.

    One search after the other attacks the images that are not fooled yet, cheap ones first:
    gradient ascent with momentum, in which every iterate counts, on the margin from uniform starts,
    on cross-entropy with tenfold logits from corners of the threat model, through the other
    backward passes that the model offers (`attack_surrogates`), with the mean gradient of four
    neighbours, towards each of the nearest classes, and on DLR in small steps from the best
    iterate; random blocks from the best iterate, without gradients; more rounds of these. A
    deterministic model meets all of AutoAttack, too, with the images and random numbers of
    AutoAttack alone, so no image that falls there stands here. An image leaves at its first
    adversarial iterate; of others the iterate of the highest margin comes back. The attacked model
    alone decides, never a surrogate.

    - Parts that mask gradients (`masking_parts`) are passed through as by BPDA with the identity.
    - Gradients and answers of a stochastic model, one that answers the same images differently, are
      means over `eot_samples` passes, in 15 % of the steps, and an image leaves only when as many
      fresh answers are all wrong: one lucky draw is no success, and one in two hardly is.
    - At `time_limit` the search ends with what it has; a note names what was cut off
      (`attacks.notes`), which `evaluate` puts into its report.

    Sources: Tramer, Carlini, Brendel and Madry, "On Adaptive Attacks to Adversarial Example
    Defenses", NeurIPS 2020, arXiv:2002.08347. Croce et al., "Evaluating the Adversarial Robustness
    of Adaptive Test-time Defenses", ICML 2022, arXiv:2202.13711 (base networks as surrogates).
    Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
    Parameter-Free Attacks", ICML 2020, arXiv:2003.01690 (DLR; AutoAttack). Carlini and Wagner,
    "Towards Evaluating the Robustness of Neural Networks", IEEE S&P 2017, arXiv:1608.04644 (the
    margin, untargeted and targeted). Athalye, Carlini and Wagner, "Obfuscated Gradients Give a
    False Sense of Security", ICML 2018, arXiv:1802.00420 (BPDA, EOT).
    """

    title: ClassVar[str] = "adaptive"
    presets: ClassVar[tuple[AttackPreset, ...]] = (AttackPreset("Adaptive", 190),)
    advanced: ClassVar[tuple[str, ...]] = (*Attack.advanced, "autoattack", "time_limit")

    num_steps: Annotated[
        int,
        Field(
            ge=1,
            le=10_000,
            description="Steps of the longer searches; the other step counts are derived from it.",
        ),
    ] = 200
    num_targets: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Target classes of the targeted searches, the most likely ones first.",
        ),
    ] = 9
    num_queries: Annotated[
        int, Field(ge=1, le=1_000_000, description="Queries of each gradient-free search.")
    ] = 500
    num_restarts: Annotated[
        int, Field(ge=0, le=100, description="Additional rounds, each from new random starts.")
    ] = 3
    autoattack: Annotated[
        bool, Field(description="Also run AutoAttack if the model is deterministic.")
    ] = True
    eot_samples: Annotated[
        int | None,
        Field(
            ge=1,
            le=1000,
            description="Forward passes averaged per gradient and query; automatic: 1, or 10 for "
            "a stochastic model.",
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        Field(
            gt=0.0,
            le=1e6,
            description="Time limit per batch in seconds; the best example found by then counts; "
            "automatic: no limit.",
        ),
    ] = None

    @property
    def averaged_passes(self) -> int:
        """Passes whose mean each gradient of a stochastic model is."""
        return self.eot_samples or AUTOMATIC_EOT

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        """Run one phase after the other until no image is left or the time is up."""
        stochastic, num_classes = _kind_of(model, x)
        sources = _sources(model)
        num_targets = 0 if target is not None else min(self.num_targets, num_classes - 1)
        phases = list(self._phases(stochastic, num_targets, len(sources) - 1))
        survivors = Survivors(
            model,
            x,
            Criterion("margin", y, target),
            self.threat_model,
            eot_samples=self.averaged_passes if stochastic else self.eot_samples or 1,
            stochastic=stochastic,
            seconds=self.time_limit,
            on_step=on_step,
        )
        self._run(phases, survivors, sources)
        return survivors.best

    def _run(self, phases: list[Phase], survivors: Survivors, sources: list[nn.Module]) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        followed = survivors.index  # the images that AutoAttack alone would still attack
        for number, phase in enumerate(phases):
            if not bool(survivors.remaining.any()):
                return
            try:
                if isinstance(phase.search, Attack):
                    followed = _follow(survivors, phase.search, followed)
                elif isinstance(phase.search, Ascent):
                    momentum_ascent(survivors, sources[phase.source], phase.search, generator)
                else:
                    block_search(survivors, phase.search, generator)
            except TimeUp:
                note(self._cut_off(phases[number:], survivors))
                return

    def _phases(self, stochastic: bool, num_targets: int, num_surrogates: int) -> Iterator[Phase]:
        """Yield the searches in their order."""
        share = STOCHASTIC_SHARE if stochastic else 1.0
        members = [] if stochastic or not self.autoattack else self._members()

        def ascent(loss: str, part: float = 1.0, **settings: Any) -> Ascent:
            return Ascent(loss, max(round(part * share * self.num_steps), 1), **settings)

        shorter = ascent("margin", 0.5, first_step=1.0, last_step=0.05)
        near_best = ascent("margin", start="best", first_step=0.3, last_step=0.05)
        num_queries = max(round(share * self.num_queries), 1)
        surrogates = range(1, num_surrogates + 1)
        yield from members[:1]
        yield Phase("margin", ascent("margin"))
        tenfold = ascent("cross_entropy", start="corner", scale=10.0)
        yield Phase("cross-entropy, tenfold logits", tenfold)
        yield from (Phase("other backward passes", shorter, source) for source in surrogates)
        yield Phase("margin from the best", near_best)
        yield Phase("random blocks", num_queries)
        yield Phase("mean gradient of neighbours", replace(shorter, num_neighbours=4))
        for rank in range(num_targets):
            yield Phase("towards the nearest classes", replace(shorter, rank=rank))
        small = ascent("dlr", 1.5, start="best", first_step=0.1, last_step=0.01)
        yield Phase("DLR from the best", small)
        for number in range(1, self.num_restarts + 1):
            title, start = f"round {number}", "corner" if number % 2 else "uniform"
            yield Phase(title, ascent("margin", start=start))
            yield from (Phase(title, shorter, source) for source in surrogates)
            yield Phase(title, near_best)
            yield Phase(title, num_queries)
        yield from members[1:]

    def _members(self) -> list[Phase]:
        whole = AutoAttack(norm=self.norm, epsilon=self.epsilon, seed=self.seed)
        names = ("APGD-CE", "APGD-T", "FAB-T", "Square")
        members = zip(names, whole.members(), strict=True)
        return [Phase(f"AutoAttack's {name}", member) for name, member in members]

    def _cut_off(self, left: list[Phase], survivors: Survivors) -> str:
        """Return the note on a time limit reached during the first of these phases."""
        now, *later = dict.fromkeys(phase.title for phase in left)
        return (
            f"adaptive reached its time limit of {self.time_limit:g} s with "
            f"{survivors.num_robust} of {len(survivors.x)} images still robust, during: "
            f"{now}" + (f"; not run: {', '.join(later)}" if later else "")
        )

    def passes(self) -> int:
        """Return the sum over all phases of the longer of the two kinds, with two surrogates.

        An iterate counts twice, because answers of the attacked model are asked for apart where the
        gradient is not its own, and three times where a stochastic model has to confirm a fall.
        """

        def longest(stochastic: bool, eot_samples: int) -> int:
            iterate = eot_samples * (3 if stochastic else 2)
            phases = self._phases(stochastic, self.num_targets, MOST_SURROGATES)
            return sum(_passes(phase.search, iterate) for phase in phases)

        asked = 2  # whether the model is stochastic
        return asked + max(
            longest(False, self.eot_samples or 1), longest(True, self.averaged_passes)
        )


def _passes(search: Search, iterate: int) -> int:
    if isinstance(search, Attack):
        return search.passes() + 1  # its result is evaluated
    return iterate * (search if isinstance(search, int) else search.passes)


def _kind_of(model: nn.Module, x: Tensor) -> tuple[bool, int]:
    """Return whether the answers to an image differ, which two of them show, and K."""
    one, other = predict_logits(model, x), predict_logits(model, x)
    difference = (one - other).abs().amax()
    return bool(difference > SAME * (1.0 + one.abs().amax())), one.shape[1]


def _sources(model: nn.Module) -> list[nn.Module]:
    """Return the models whose gradients are followed: the main one, then at most two others.

    The main one is the model itself, or where it names parts that mask its gradient the one with
    these passed through; then the gradient that it has is one of the others.
    """
    parts = masking_parts(model)
    main = [with_substituted_backward(model, parts), model] if parts else [model]
    return [main[0], *[*attack_surrogates(model), *main[1:]][:MOST_SURROGATES]]


def _follow(survivors: Survivors, member: Attack, index: Tensor) -> Tensor:
    """Run a member of AutoAttack and return the images that it has not fooled: int64 [M].

    It also attacks images that other phases have fooled meanwhile: its random draws, and so its
    results, depend on the images that it is given.
    """
    x, criterion = survivors.x[index], survivors.criterion.select(index)
    follower = Follower(survivors, index, enters=not member.minimum_norm)
    model = member.searched_model(survivors.model)
    x_adv = member.perturb(model, x, criterion.y, criterion.target, follower)
    logits = predict_logits(survivors.model, x_adv)
    within = survivors.threat_model.distance(x_adv, x) <= survivors.threat_model.epsilon + TOLERANCE
    survivors.update(index[within], x_adv[within], logits[within])
    return index[~(criterion.is_met(logits) & within)]
