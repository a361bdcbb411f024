"""How published code normalises pixels in [0, 1], as parameters of our networks."""

from typing import Any

UNIT: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)}  # as they are
CENTRED: dict[str, Any] = {"mean": (0.5,), "std": (0.5,)}  # to [-1, 1]
EACH_IMAGE: dict[str, Any] = {"per_image": True}

MEAN_10 = (0.4914, 0.4822, 0.4465)
CIFAR10: dict[str, Any] = {"mean": MEAN_10, "std": (0.2471, 0.2435, 0.2616)}
CIFAR10_NARROW: dict[str, Any] = {"mean": MEAN_10, "std": (0.2023, 0.1994, 0.2010)}
CIFAR10_ROUNDED: dict[str, Any] = {"mean": (0.491, 0.482, 0.447), "std": (0.247, 0.243, 0.262)}
CIFAR10_EXACT: dict[str, Any] = {
    "mean": (0.4913997551666284, 0.48215855929893703, 0.4465309133731618),
    "std": (0.24703225141799082, 0.24348516474564, 0.26158783926049628),
}
CIFAR100: dict[str, Any] = {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)}
CIFAR100_OTHER: dict[str, Any] = {"mean": (0.5071, 0.4867, 0.4408), "std": (0.2675, 0.2565, 0.2761)}
CIFAR100_EXACT: dict[str, Any] = {
    "mean": (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
    "std": (0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
}
