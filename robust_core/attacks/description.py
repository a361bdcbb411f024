"""An exact attack in words: what tells two rows of a table apart is said in both."""

from collections.abc import Mapping
from typing import Any

from robust_core.attacks.base import ATTACKS, Attack

LOSSES = {
    "cross_entropy": "cross-entropy",
    "margin": "margin",
    "dlr": "DLR",
    "targeted_dlr": "targeted DLR",
}
LOSS_WORDS = {  # in a sentence
    "cross_entropy": "cross-entropy",
    "margin": "the margin",
    "dlr": "the difference of logits ratio",
    "targeted_dlr": "the targeted difference of logits ratio",
}


def attack_title(name: str) -> str:
    """Return how a registered attack is called: "PGD", "random search"."""
    return ATTACKS.get(name).title


def describe_attack(attack: Attack) -> dict[str, Any]:
    """Return the registered name and the parameters of an attack as plain JSON values."""
    return {"name": attack.name, "parameters": attack.model_dump(mode="json")}


def short_words(name: str, parameters: Mapping[str, Any]) -> str:
    """Return an attack without its threat model: "PGD-50 (margin), 5 restarts, EOT 10, seed 3".

    Loss, restarts, averaged passes, queries and seed are said wherever the attack has them and they
    are not those of its defaults.

    Args:
        name: as registered.
        parameters: all that differ from the defaults, or all.
    """
    values = {
        **{key: field.default for key, field in ATTACKS.get(name).model_fields.items()},
        **parameters,
    }
    words = attack_title(name)
    if "version" in values:
        words += f" ({values['version']})"
    if "num_steps" in values:
        words += f"-{values['num_steps']}"
    if values.get("loss", "cross_entropy") != "cross_entropy":
        words += f" ({LOSSES.get(values['loss'], values['loss'])})"
    parts = [words]
    if (values.get("num_restarts") or 1) > 1:
        parts.append(f"{values['num_restarts']} restarts")
    if (values.get("eot_samples") or 1) > 1 and values.get("version") != "standard":
        parts.append(f"EOT {values['eot_samples']}")
    if "num_queries" in values:
        parts.append(f"{values['num_queries']:,} queries")
    if values.get("seed"):
        parts.append(f"seed {values['seed']}")
    return ", ".join(parts)
