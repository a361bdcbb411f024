"""What a run does, as a value with strict JSON, and the presets."""
