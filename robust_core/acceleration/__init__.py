"""Faster twins of a model, for attacks: the same function in another arrangement.

`prepared(model)` is what everything that attacks asks for; `use_engine` says how fast and how exact
it shall be.
"""
