"""The single checks of `robust_core.evaluation.reliability`: each makes a finding, or none."""
