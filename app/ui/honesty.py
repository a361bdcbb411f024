"""The checks behind one attacked image: their cost, their cached run, and the loss surface."""

from collections.abc import Callable

import streamlit as st
import torch
from torch import Tensor, nn

from app.ui import cached
from robust_core.analysis.loss_surface import LossSurface, loss_surface
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.reliability import CHECKS, Subject, check_reliability
from robust_core.evaluation.trace import STOCHASTIC_SAMPLES, AttackTrace
from robust_core.evaluation_runs.subjects import undefended_model
from robust_core.models.guard import ModelWrapper, attack_surrogates

EFFORT = 0.4  # of a full check: under a second for one image on the small network
REPEATS, REPEATS_OF_STEPS = 6, 12  # how often the checks run the attack in doubt, or its like
OTHER_PASSES = 270  # of random search, Square and SPSA together, at this effort
MOST_RESULTS = 32
SURFACE_SIZE = 21

OnShare = Callable[[float], None]  # share of the checks done, in [0, 1]


def expected_seconds(info: CheckpointInfo, attack: Attack) -> float:
    """Return about how long the checks of an attack on one image take on this machine."""
    repeats = REPEATS_OF_STEPS if "num_steps" in type(attack).model_fields else REPEATS
    return (repeats * attack.passes() + OTHER_PASSES) * cached.seconds_per_pass(info)


def known_findings(info: CheckpointInfo, trace: AttackTrace) -> tuple[Finding, ...] | None:
    """Return the findings about exactly this attack if it was checked lately."""
    return _findings().get(_key(info, trace))


def check(
    info: CheckpointInfo,
    trace: AttackTrace,
    *,
    check_current: Callable[[], None],
    on_share: OnShare,
) -> tuple[Finding, ...]:
    """Check the attack on the image of `trace`, untargeted, or return what is known of it.

    Args:
        info: the attacked checkpoint.
        trace: the attack and its image.
        check_current: called at every pass; ends the checks by raising `cached.Superseded`.
        on_share: told how far the checks are.

    Raises:
        Superseded: as `check_current` says.
        InputError: the checkpoint cannot be loaded.
    """
    key = _key(info, trace)
    known = _findings().get(key)
    if known is not None:
        return known
    model = cached.load_model(info)
    surrogate = undefended_model(info)
    done: list[Finding] = []

    def observe(finding: Finding) -> None:
        done.append(finding)
        on_share(len(done) / len(CHECKS))

    subject = Subject(
        Interruptible(model, check_current),
        torch.from_numpy(trace.x)[None],
        torch.tensor([trace.label]),
        trace.attack,
        eot_samples=STOCHASTIC_SAMPLES if model.stochastic else 1,
        surrogate=None if surrogate is None else cached.load_model(surrogate),
        effort=EFFORT,
    )
    with cached.heavy_work(check_current):
        found = tuple(check_reliability(subject, on_finding=observe))
    _findings().put(key, found)
    return found


def surface(
    info: CheckpointInfo, trace: AttackTrace, *, check_current: Callable[[], None]
) -> LossSurface:
    """Return the loss around the image of `trace`, towards its adversarial image.

    Where the attack did not move the image, both axes are random.

    Raises:
        Superseded: as `check_current` says.
        InputError: the checkpoint cannot be loaded.
    """
    key = (*_key(info, trace), trace.x_adv.tobytes())
    known = _surfaces().get(key)
    if known is not None:
        return known
    model = cached.load_model(info)
    with cached.heavy_work(check_current):
        found = loss_surface(
            model,
            torch.from_numpy(trace.x)[None],
            torch.tensor([trace.label]),
            torch.from_numpy(trace.delta)[None] if trace.distance > 0 else None,
            trace.attack.threat_model,
            size=SURFACE_SIZE,
            eot_samples=STOCHASTIC_SAMPLES if model.stochastic else 1,
        )
    _surfaces().put(key, found)
    return found


class Interruptible(ModelWrapper):
    """The same model, which asks before every pass whether the work is still wanted."""

    def __init__(self, model: nn.Module, check_current: Callable[[], None]) -> None:
        super().__init__(model)
        self.check_current = check_current

    @property
    def features(self) -> Callable[[Tensor], Tensor]:
        """The model's own, interruptible: [N,C,H,W] -> [N,D]."""
        features = super().features

        def asking(x: Tensor) -> Tensor:
            self.check_current()
            return features(x)

        return asking

    def attack_surrogates(self) -> tuple[nn.Module, ...]:
        """Return those of the model, interruptible, too."""
        return tuple(
            Interruptible(one, self.check_current) for one in attack_surrogates(self.model)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits: [N,C,H,W] -> [N,K]."""
        self.check_current()
        return self.model(x)


@st.cache_resource
def _findings() -> cached.Recent[tuple[Finding, ...]]:
    return cached.Recent(MOST_RESULTS)


@st.cache_resource
def _surfaces() -> cached.Recent[LossSurface]:
    return cached.Recent(MOST_RESULTS)


def _key(info: CheckpointInfo, trace: AttackTrace) -> tuple:
    return cached.attack_key(info, torch.from_numpy(trace.x), trace.label, trace.attack)
