"""Presets of published networks; each module registers its own in `PRESETS`."""
