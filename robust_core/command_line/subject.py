"""What an attack or an evaluation from the command line is about: model, images, attack."""

import argparse
from dataclasses import dataclass
from typing import Any

from robust_core.attacks.base import ATTACKS, Attack
from robust_core.command_line.options import given_parameters
from robust_core.data import ImageSet, data_source, load_data
from robust_core.evaluation_runs.subjects import check_fit
from robust_core.models.base import Classifier
from robust_core.training.checkpoint import CheckpointInfo, checkpoint_info, load_model


@dataclass(frozen=True)
class Subject:
    """A model and what its file says about it."""

    model: Classifier
    info: CheckpointInfo

    def images(self, options: argparse.Namespace) -> ImageSet:
        """Return the images that the options name: --data and --split, or the model's own data.

        Raises:
            InputError: no such images, or they do not fit the model.
        """
        trained = self.info.config.data
        own = options.data in (None, trained.name)
        images = load_data(
            trained.name if own else options.data,
            options.split,
            trained.parameters if own else None,
            seed=trained.seed if own else 0,
        )
        check_fit(self.info, images)
        return images

    def attack(self, name: str, options: argparse.Namespace) -> Attack:
        """Return the attack that the options describe.

        Where neither --norm nor --epsilon is given, the data set's standard threat model holds.
        """
        attack: Any = ATTACKS.get(name)
        values = given_parameters(options, attack)
        if not values.keys() & {"norm", "epsilon"}:
            threat_model = data_source(options.data or self.info.config.data.name).threat_model
            values |= {"norm": threat_model.norm, "epsilon": threat_model.epsilon}
        return attack.create(values)


def add_subject(parser: argparse.ArgumentParser) -> None:
    """Add --model, --data and --split."""
    parser.add_argument("--model", required=True, help="checkpoint: a name or a .safetensors file")
    parser.add_argument("--data", help="data set (default: what the model was trained on)")
    parser.add_argument("--split", default="test", help="split of the data set (default test)")


def load_subject(options: argparse.Namespace) -> Subject:
    """Return the model that --model names."""
    return Subject(load_model(options.model), checkpoint_info(options.model))


def attack_line(attack: Attack) -> str:
    """Return the attack and all of its parameters in one line."""
    values = ", ".join(
        f"{name} {'automatic' if value is None else value}"
        for name, value in attack.model_dump(mode="json", exclude={"norm", "epsilon"}).items()
    )
    return f"{attack.name}, {attack.threat_model}, {values}"
