"""Checkpoints: the file, the catalogue, the card and the table of what is shipped."""
