"""What the length of a run undoes: whatever sets in only after its last epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from robust_core.errors import InputError
from robust_core.methods.base import METHODS, Onset


def onsets(method: str, parameters: Mapping[str, Any]) -> tuple[Onset, ...]:
    """Return what a method with these parameters puts off to a later epoch."""
    kind = METHODS.get(method)
    return kind.onsets(kind.Parameters.create(parameters))


def first_full_epoch(method: str, parameters: Mapping[str, Any]) -> int:
    """Return the first epoch, from 0, with all that the method needs, such as full epsilon."""
    needed = (onset.epoch for onset in onsets(method, parameters) if onset.needed)
    return max(needed, default=0)


def check_run_length(method: str, parameters: Mapping[str, Any], num_epochs: int) -> None:
    """Raise `InputError` if a run of `num_epochs` ends before what its method needs."""
    for onset in onsets(method, parameters):
        if onset.needed and onset.epoch >= num_epochs:
            raise InputError(f"method {method}: {_never(onset, num_epochs)}")


def never_reached(
    method: str, parameters: Mapping[str, Any], milestones: Sequence[float], num_epochs: int
) -> tuple[str, ...]:
    """Return a sentence for everything that is put off for ever but is no reason to refuse.

    Args:
        method: name of the method.
        parameters: of the method.
        milestones: of a step schedule, as `ScheduleConfig` has them.
        num_epochs: epochs of the run.
    """
    late = [onset for onset in onsets(method, parameters) if onset.epoch >= num_epochs]
    sentences = [f"method {method}: {_never(onset, num_epochs)}" for onset in late]
    beyond = [m for m in milestones if (m * num_epochs if m < 1 else m) > num_epochs - 1]
    if beyond:
        listed = ", ".join(f"{milestone:g}" for milestone in beyond)
        sentences.append(
            f"schedule: milestones {listed} come after the end of the run, epoch {num_epochs}, and "
            "change nothing"
        )
    return tuple(sentences)


def _never(onset: Onset, num_epochs: int) -> str:
    return (
        f"{onset.what} only from epoch {onset.epoch + 1} on ({onset.setting}), "
        f"but the run ends after epoch {num_epochs}"
    )
