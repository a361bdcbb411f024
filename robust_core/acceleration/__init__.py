"""Optimised copies of a model, for attacks: batch-norm fusion, lower precision, compilation.

Every attack calls `optimised(model)`; `use_acceleration` sets precision and compilation.
"""
