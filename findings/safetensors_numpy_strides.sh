#!/usr/bin/env bash
# safetensors 0.8.0, NumPy interface: a transposed or sliced array is stored in the order of its memory, not of its indices.
#
# Guess before the run: weights that a NumPy program has transposed (as every converter between
# channels-last and channels-first does) or sliced are copied into row order, or refused with an
# error, as the PyTorch interface refuses them; what is loaded equals what was saved.
# Seen: they are saved without a word, with the right shape and type, and loaded with their numbers
# in other places: [[0, 3], [1, 4], [2, 5]] comes back as [[0, 1], [2, 3], [4, 5]]. A convolution
# that was converted this way has all its weights and computes something else. np.ascontiguousarray
# before saving is right.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

env/bin/python - <<'PY'
import numpy as np
from safetensors.numpy import load, save

row_order = np.arange(6, dtype=np.float32).reshape(2, 3)
every_second = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
for name, array, expected in (
    ("row order", row_order, row_order),
    ("transposed", row_order.T, np.arange(6, dtype=np.float32).reshape(3, 2)),
    ("column order", np.asfortranarray(row_order), row_order.T.reshape(2, 3)),
    ("every second column", every_second, np.arange(6, dtype=np.float32).reshape(3, 2)),
    ("transposed, then copied", np.ascontiguousarray(row_order.T), row_order.T),
):
    found = load(save({"weight": array}))["weight"]
    same = np.array_equal(found, array)
    print(f"{name}: saved {array.tolist()}, loaded {found.tolist()}: {'equal' if same else 'scrambled'}")
    assert found.shape == array.shape and found.dtype == array.dtype
    assert np.array_equal(found, expected), "the behaviour has changed"
PY
