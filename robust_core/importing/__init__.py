"""State dicts from elsewhere: which network of ours they fit, and how they become its weights."""
