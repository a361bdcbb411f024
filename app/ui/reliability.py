"""Reliability checks and loss surface of one attacked image: cost, and cached runs."""

import torch

from app.ui import measure, models
from robust_core.analysis.loss_surface import LossSurface, loss_surface
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.check import PlannedCase, checks_cost, list_checks
from robust_core.evaluation.finding import Finding
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from robust_core.evaluation.trace import AttackTrace, default_eot_samples
from robust_core.evaluation_runs.subjects import undefended_model

EFFORT = 0.4  # of the steps of the costly checks: under a second for one image on the small network
QUERY = 0.5  # cost of a forward pass, in forward-backward passes
SURFACE_SIZE = 21
CHECKS_KIND = "attack.checks"


def cost(info: CheckpointInfo, attack: Attack) -> measure.Cost:
    """Return the estimated cost of the checks of an attack on one image on this machine."""
    cost = checks_cost(PlannedCase(attack, EFFORT))
    return measure.cost_of([info], round(cost.passes + QUERY * cost.queries))


def known_findings(info: CheckpointInfo, trace: AttackTrace) -> tuple[Finding, ...] | None:
    """Return the findings for exactly this attack if they are cached."""
    return measure.known(CHECKS_KIND, _key(info, trace))


def check(info: CheckpointInfo, trace: AttackTrace) -> tuple[Finding, ...]:
    """Check the attack on the image of `trace`, untargeted, or return the cached findings.

    Raises:
        InputError: the checkpoint cannot be loaded.
    """

    def work(run: measure.Run) -> tuple[Finding, ...]:
        model = models.load_model(info)
        other = undefended_model(info)
        done: list[Finding] = []

        def observe(finding: Finding) -> None:
            done.append(finding)
            run.progress(len(done) / len(list_checks()))

        case = ReliabilityCase(
            run.interruptible(model),
            trace.x[None],
            torch.tensor([trace.label]),
            trace.attack,
            eot_samples=default_eot_samples(model),
            transfer_model=None if other is None else models.load_model(other),
            effort=EFFORT,
        )
        return tuple(check_reliability(case, on_finding=observe))

    return measure.run(CHECKS_KIND, _key(info, trace), work, "Checking")


def surface(info: CheckpointInfo, trace: AttackTrace) -> LossSurface:
    """Return the loss around the image of `trace`; one axis points to its adversarial image.

    If the attack did not change the image, both axes are random.

    Raises:
        InputError: the checkpoint cannot be loaded.
    """

    def work(run: measure.Run) -> LossSurface:
        model = models.load_model(info)
        return loss_surface(
            run.interruptible(model),
            trace.x[None],
            torch.tensor([trace.label]),
            trace.delta[None] if trace.distance > 0 else None,
            trace.attack.threat_model,
            size=SURFACE_SIZE,
            eot_samples=default_eot_samples(model),
        )

    key = (*_key(info, trace), trace.x_adv)
    return measure.run("attack.surface", key, work)


def _key(info: CheckpointInfo, trace: AttackTrace) -> tuple:
    return info, trace.x, trace.label, trace.attack
