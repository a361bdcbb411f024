#!/usr/bin/env bash
# torch 2.15.0, device "meta": giving a parameter its initial values imports the compiler, for more than a second.
#
# Guess before the run: a network under torch.device("meta") has no numbers, so torch.nn.init does
# nothing there; building one to read its shapes (before weights are loaded, or to check a file)
# costs microseconds a layer, whichever initialisation its author chose.
# Seen: torch.nn.init.normal_ on such a tensor goes through torch's reference implementation, whose
# wrappers import torch._dynamo and with it torch._inductor: some nine hundred modules for the first
# tensor, where uniform_ (what nn.Linear and nn.Conv2d call) imports none. A network whose author
# wrote normal_ takes seconds to open in a fresh process; under a TorchFunctionMode that leaves the
# functions of torch.nn.init out, it does not.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6

cat > count.py <<'PY'
import sys
import time

import torch
from torch import nn

with torch.device("meta"):
    layer = nn.Linear(4, 4, bias=False)  # its own initialisation is uniform_
    before, start = set(sys.modules), time.perf_counter()
    getattr(nn.init, sys.argv[1])(layer.weight)
    seconds = time.perf_counter() - start
new = set(sys.modules) - before
print(sys.argv[1], len(new), "torch._dynamo" in new, "torch._inductor" in new, f"{seconds:.2f}")
PY
for name in uniform_ ones_ kaiming_uniform_ normal_ kaiming_normal_; do
    read -r called modules dynamo inductor seconds < <(env/bin/python count.py "$name")
    echo "$called: $modules modules imported, torch._dynamo: $dynamo, torch._inductor: $inductor, $seconds s"
    case $name in
    *normal_) [ "$dynamo" = True ] && [ "$inductor" = True ] && [ "$modules" -gt 500 ] ;;
    *) [ "$dynamo" = False ] && [ "$modules" -lt 100 ] ;;
    esac || { echo "the behaviour has changed" >&2; exit 1; }
done
