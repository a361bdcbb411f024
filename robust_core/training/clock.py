"""How long a run will still take."""

import time

from robust_core.config.run import RunConfig
from robust_core.evaluation.accuracy import RobustnessReport


class Clock:
    """Estimates the time left from the steps this process has taken and the attacks' costs."""

    def __init__(self, config: RunConfig, num_steps: int, first_step: int) -> None:
        """Start now, before step `first_step` of `num_steps`."""
        self.started = time.monotonic()
        self.num_steps = num_steps
        self.first_step = first_step
        self.test_seconds = 0.0
        self._config = config

    def seconds_left(self, step: int) -> float:
        """Return the seconds for the steps after `step`, with validation, and for the test."""
        per_step = (time.monotonic() - self.started) / (step - self.first_step)
        return per_step * (self.num_steps - step) + self.test_seconds

    def validated(self, report: RobustnessReport) -> None:
        """Learn from a validation how long the test will take at most."""
        assert report.attack is not None
        per_pass = report.seconds / (report.num_images * report.attack.passes())
        every = self._config.evaluation.test_num_images or report.num_images
        self.test_seconds = per_pass * sum(
            (asked.num_images or every) * asked.attack().passes()
            for asked in self._config.card_attacks()
        )
