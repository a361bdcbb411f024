"""The single checks of `robust_core.evaluation.reliability`: Subject -> Finding, or None."""
