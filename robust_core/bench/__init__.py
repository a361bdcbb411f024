"""Measurements of the attack engine beside other packages, for `python -m robust_core bench`."""
