"""Entries of RobustBench whose networks are ours with other switches.

Source: Croce et al., "RobustBench: a standardized adversarial robustness benchmark", NeurIPS 2021
Datasets and Benchmarks, arXiv:2010.09670; robustbench/model_zoo/cifar10.py and cifar100.py of
github.com/RobustBench/robustbench.
"""

from typing import Any

from robust_core.importing.presets import Preset, register
from robust_core.importing.published.inputs import (
    CENTRED,
    CIFAR10,
    CIFAR10_EXACT,
    CIFAR10_NARROW,
    CIFAR10_ROUNDED,
    CIFAR100,
    CIFAR100_EXACT,
    CIFAR100_OTHER,
    EACH_IMAGE,
    UNIT,
)

ORIGIN = "{entry} in RobustBench (arXiv:2010.09670), github.com/RobustBench/robustbench"
UNUSED = "The file may hold sub_block1, which the network never uses."
OWN_TERMS = "The weights have licence terms of their own; see the licence file of RobustBench."
IN_FILE = "mean and std (mu and sigma) are in the file."

Network = tuple[str, dict[str, Any]]


def _wrn(depth: int, widen_factor: int, **switches: Any) -> Network:
    return "wide_resnet", {"depth": depth, "widen_factor": widen_factor, **switches}


def _deepmind_wrn(depth: int, widen_factor: int) -> Network:
    return _wrn(depth, widen_factor, padding="same", activation="silu")


PREACT_RAW: Network = ("preact_resnet18", {"shortcut_input": "raw", "last_norm": False})
PREACT: Network = ("preact_resnet18", {})
DEEPMIND_PREACT: Network = (
    "preact_resnet18",
    {
        **{"shortcut_input": "raw", "shortcut_kernel": 3, "padding": "same", "activation": "silu"},
    },
)
R18: Network = ("resnet18", {})
R50: Network = ("resnet50", {})
BOOSTING = _wrn(34, 20, head="cosine", head_bias=False)

# network, input, entries, notes
Row = tuple[Network, dict[str, Any], str, str]

CIFAR10_LINF: tuple[Row, ...] = (
    (_wrn(28, 10), UNIT, "Standard", ""),
    (
        _wrn(34, 10),
        UNIT,
        "Wu2020Adversarial Sehwag2021Proxy Chen2021LTD_WRN34_10 Jia2022LAS-AT_34_10 "
        "Addepalli2022Efficient_WRN_34_10 Cui2023Decoupled_WRN-34-10 Chen2024Data_WRN_34_10",
        "",
    ),
    (_wrn(34, 20), UNIT, "Chen2021LTD_WRN34_20 Chen2024Data_WRN_34_20", ""),
    (_wrn(70, 16), UNIT, "Jia2022LAS-AT_70_16", ""),
    (
        _wrn(28, 10),
        UNIT,
        "Carmon2019Unlabeled Sehwag2020Hydra Wang2020Improving Wu2020Adversarial_extra "
        "Zhang2020Geometry Sridhar2021Robust",
        UNUSED,
    ),
    (_wrn(34, 15), UNIT, "Sridhar2021Robust_34_15", UNUSED),
    (
        _wrn(34, 10),
        UNIT,
        "Zhang2019Theoretically Huang2020Self Zhang2019You Zhang2020Attacks Sitawarin2020Improving "
        "Cui2020Learnable_34_10 Addepalli2021Towards_WRN34",
        UNUSED,
    ),
    (_wrn(34, 20), UNIT, "Cui2020Learnable_34_20", UNUSED),
    (_wrn(34, 20), CIFAR10, "Rice2020Overfitting", ""),
    (_wrn(34, 10), CIFAR10, "Chen2020Efficient", UNUSED),
    (_wrn(28, 10), CENTRED, "Hendrycks2019Using", ""),
    (_wrn(28, 4), EACH_IMAGE, "Ding2020MMA", OWN_TERMS),
    (BOOSTING, CIFAR10, "Pang2020Boosting", f"Logits are cosines in [-1, 1]. {UNUSED}"),
    (PREACT_RAW, UNIT, "Andriushchenko2020Understanding", ""),
    (PREACT_RAW, CIFAR10, "Wong2020Fast", ""),
    (R18, UNIT, "Sehwag2021Proxy_R18 Addepalli2021Towards_RN18 Addepalli2022Efficient_RN18", ""),
    (R50, CIFAR10_NARROW, "Engstrom2019Robustness", ""),
    (
        _deepmind_wrn(28, 10),
        CIFAR10,
        "Gowal2020Uncovering_28_10_extra Rebuffi2021Fixing_28_10_cutmix_ddpm Rade2021Helper_ddpm "
        "Gowal2021Improving_28_10_ddpm_100m Pang2022Robustness_WRN28_10 Wang2023Better_WRN-28-10 "
        "Xu2023Exploring_WRN-28-10 Cui2023Decoupled_WRN-28-10",
        "",
    ),
    (_deepmind_wrn(34, 10), CIFAR10, "Rade2021Helper_extra", ""),
    (_deepmind_wrn(34, 20), CIFAR10, "Gowal2020Uncovering_34_20", ""),
    (
        _deepmind_wrn(70, 16),
        CIFAR10,
        "Gowal2020Uncovering_70_16 Gowal2020Uncovering_70_16_extra "
        "Rebuffi2021Fixing_70_16_cutmix_ddpm Rebuffi2021Fixing_70_16_cutmix_extra "
        "Gowal2021Improving_70_16_ddpm_100m Pang2022Robustness_WRN70_16 Wang2023Better_WRN-70-16",
        "",
    ),
    (_deepmind_wrn(106, 16), CIFAR10, "Rebuffi2021Fixing_106_16_cutmix_ddpm", ""),
    (_deepmind_wrn(94, 16), CIFAR10, "Bartoldson2024Adversarial_WRN-94-16", ""),
    (_deepmind_wrn(82, 8), CIFAR10, "Bartoldson2024Adversarial_WRN-82-8", ""),
    (
        DEEPMIND_PREACT,
        CIFAR10,
        "Rebuffi2021Fixing_R18_ddpm Rade2021Helper_R18_extra Rade2021Helper_R18_ddpm "
        "Gowal2021Improving_R18_ddpm_100m",
        "",
    ),
)
CIFAR10_L2: tuple[Row, ...] = (
    (_wrn(28, 10), UNIT, "Standard", ""),
    (_wrn(34, 10), UNIT, "Wu2020Adversarial Sehwag2021Proxy", ""),
    (R18, UNIT, "Sehwag2021Proxy_R18", ""),
    (R50, CIFAR10_EXACT, "Augustin2020Adversarial", ""),
    (R50, CIFAR10_NARROW, "Engstrom2019Robustness", ""),
    (
        _wrn(34, 10),
        CIFAR10_EXACT,
        "Augustin2020Adversarial_34_10 Augustin2020Adversarial_34_10_extra",
        "",
    ),
    (PREACT, CIFAR10, "Rice2020Overfitting", ""),
    (_wrn(28, 10), CIFAR10_ROUNDED, "Rony2019Decoupling", ""),
    (_wrn(28, 4), EACH_IMAGE, "Ding2020MMA", OWN_TERMS),
    (
        _deepmind_wrn(70, 16),
        CIFAR10,
        "Gowal2020Uncovering Gowal2020Uncovering_extra Rebuffi2021Fixing_70_16_cutmix_ddpm "
        "Rebuffi2021Fixing_70_16_cutmix_extra Wang2023Better_WRN-70-16",
        "",
    ),
    (
        _deepmind_wrn(28, 10),
        CIFAR10,
        "Rebuffi2021Fixing_28_10_cutmix_ddpm Wang2023Better_WRN-28-10",
        "",
    ),
    (DEEPMIND_PREACT, CIFAR10, "Rebuffi2021Fixing_R18_cutmix_ddpm Rade2021Helper_R18_ddpm", ""),
)
CIFAR10_CORRUPTIONS: tuple[Row, ...] = (
    (_wrn(40, 2), CENTRED, "Hendrycks2020AugMix_WRN", ""),
    (
        PREACT,
        CIFAR10,
        "Kireev2021Effectiveness_Gauss50percent Kireev2021Effectiveness_AugMixNoJSD "
        "Kireev2021Effectiveness_RLAT Kireev2021Effectiveness_RLATAugMixNoJSD "
        "Kireev2021Effectiveness_RLATAugMix",
        "",
    ),
    (R18, {}, "Modas2021PRIMEResNet18", IN_FILE),
)
CIFAR100_LINF: tuple[Row, ...] = (
    (_wrn(34, 10), UNIT, "Sehwag2021Proxy Addepalli2022Efficient_WRN_34_10", ""),
    (_wrn(34, 20), UNIT, "Jia2022LAS-AT_34_20", ""),
    (
        _wrn(34, 10),
        UNIT,
        "Cui2020Learnable_34_10_LBGAT0 Cui2020Learnable_34_10_LBGAT6 Sitawarin2020Improving "
        "Addepalli2021Towards_WRN34 Chen2021LTD_WRN34_10 Jia2022LAS-AT_34_10",
        UNUSED,
    ),
    (_wrn(34, 20), UNIT, "Cui2020Learnable_34_20_LBGAT6", UNUSED),
    (_wrn(34, 10), CIFAR100_OTHER, "Chen2020Efficient", UNUSED),
    (_wrn(34, 10), CIFAR100_EXACT, "Wu2020Adversarial", ""),
    (_wrn(28, 10), CENTRED, "Hendrycks2019Using", ""),
    (PREACT, CIFAR100_EXACT, "Rice2020Overfitting", ""),
    (PREACT, UNIT, "Addepalli2021Towards_PARN18", ""),
    (R18, UNIT, "Addepalli2022Efficient_RN18", ""),
    (
        _deepmind_wrn(70, 16),
        CIFAR100,
        "Gowal2020Uncovering Gowal2020Uncovering_extra Rebuffi2021Fixing_70_16_cutmix_ddpm "
        "Pang2022Robustness_WRN70_16",
        "",
    ),
    (
        _deepmind_wrn(28, 10),
        CIFAR100,
        "Rebuffi2021Fixing_28_10_cutmix_ddpm Pang2022Robustness_WRN28_10",
        "",
    ),
    (DEEPMIND_PREACT, CIFAR100, "Rebuffi2021Fixing_R18_ddpm Rade2021Helper_R18_ddpm", ""),
)
CIFAR100_CORRUPTIONS: tuple[Row, ...] = (
    (_wrn(40, 2), CENTRED, "Hendrycks2020AugMix_WRN", ""),
    (R18, {}, "Modas2021PRIMEResNet18", IN_FILE),
)


def _presets(data: str, threat_model: str, rows: tuple[Row, ...]) -> list[Preset]:
    return [
        Preset(
            name=f"robustbench-{data}-{threat_model}-{entry}".lower(),
            origin=ORIGIN.format(entry=entry),
            data=data,
            architecture=architecture,
            parameters={**parameters, **pixels},
            key="last" if entry.startswith(("Andriushchenko2020", "Kireev2021")) else None,
            notes=notes,
        )
        for (architecture, parameters), pixels, entries, notes in rows
        for entry in entries.split()
    ]


register(
    *_presets("cifar10", "linf", CIFAR10_LINF),
    *_presets("cifar10", "l2", CIFAR10_L2),
    *_presets("cifar10", "corruptions", CIFAR10_CORRUPTIONS),
    *_presets("cifar100", "linf", CIFAR100_LINF),
    *_presets("cifar100", "corruptions", CIFAR100_CORRUPTIONS),
)
