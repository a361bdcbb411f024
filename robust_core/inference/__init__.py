"""Ways to use a network other than calling it."""
