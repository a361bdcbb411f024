"""The quick verdict: is a robustness real? A plan that ends in about two minutes on two cores."""

from collections.abc import Sequence

from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.threat_model import ThreatModel

NUM_IMAGES, NUM_IMAGES_STOCHASTIC = 32, 20
NUM_STEPS, EOT_SAMPLES = 20, 5
CHECK_SECONDS, ADAPTIVE_SECONDS = 40.0, 40.0  # of a model, at most
CHECK_EFFORT = 0.3


def quick_plan(
    infos: Sequence[CheckpointInfo], threat_model: ThreatModel | None = None, *, seed: int = 0
) -> EvaluationPlan:
    """Return the plan of the quick verdict on some models of one data set.

    PGD with 20 steps on a few images; its checks, the cheap ones first, until the first that fails
    or 40 s; then the adaptive attack on the same images for 40 s at most. Stochastic models get
    fewer images and gradients that average 5 passes. What the limits cut off is in the notes of the
    results. A model that is not refuted is not thereby robust.

    Args:
        infos: the models, at least one.
        threat_model: norm and epsilon; None: the standard ones of the data set.
        seed: added to each attack's own.
    """
    stochastic = any(info.stochastic for info in infos)
    threat = threat_model or infos[0].config.data_threat_model()
    bounds = {"norm": str(threat.norm), "epsilon": threat.epsilon}
    averaged = {"eot_samples": EOT_SAMPLES} if stochastic else {}
    first = {**bounds, **averaged, "num_steps": NUM_STEPS}
    last = {**bounds, **averaged, "time_limit": ADAPTIVE_SECONDS}
    number = NUM_IMAGES_STOCHASTIC if stochastic else NUM_IMAGES
    return EvaluationPlan.create(
        {
            "title": f"Quick verdict: {', '.join(info.name for info in infos)}"[:200],
            "checkpoints": [info.name for info in infos],
            "attacks": [
                {"name": "pgd", "parameters": first},
                {"name": "adaptive", "parameters": last},
            ],
            "num_images": number,
            "seed": seed,
            "precision": "fastest",
            "check_reliability": True,
            "reliability_images": number,
            "stop_at_alarm": True,
            "check_seconds": CHECK_SECONDS,
            "check_effort": CHECK_EFFORT,
        }
    )
