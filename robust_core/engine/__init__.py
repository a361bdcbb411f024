"""Faster twins of a model, for attacks: the same function in another arrangement.

`prepared(model)` is what everything that attacks asks for; `use_engine` says how fast and how exact
it shall be.
"""

from robust_core.engine.choice import Engine, current_engine, fastest_engine, use_engine
from robust_core.engine.twins import Prepared, exact_model, is_prepared, prepared, search_model

__all__ = [
    "Engine",
    "Prepared",
    "current_engine",
    "exact_model",
    "fastest_engine",
    "is_prepared",
    "prepared",
    "search_model",
    "use_engine",
]
