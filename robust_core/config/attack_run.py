"""One attack as it is planned, run, reported and put on a card."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from robust_core.aliases import renamed
from robust_core.attacks.base import Attack, attack_from
from robust_core.attacks.description import describe_attack, short_words
from robust_core.config.choice import Choice
from robust_core.errors import InputError

SAME_NETWORK = ":"  # begins a surrogate that is an inference mode of the evaluated network


class AttackRun(Choice):
    """A registered attack, its parameters, and the model that it is computed on.

    What is evaluated is a checkpoint, which may be an inference mode of its network
    ("digits-atld:imt"). Papers have attacked one inference mode and evaluated another: such a claim
    is a transfer attack, and says so.
    """

    surrogate: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1000,
            description='Surrogate model that the attack is computed on: a checkpoint, ":" for '
            'the base network of the evaluated model, or ":one_view" for that inference mode of '
            "it; none: the evaluated model itself.",
        ),
    ] = None
    role: Annotated[
        Literal["claim", "check"],
        Field(
            description="Role of the attack: the evaluation that the paper reports, or a check "
            "of it."
        ),
    ] = "check"

    @model_validator(mode="before")
    @classmethod
    def _read_old_fields(cls, values: Any) -> Any:
        return renamed(values)

    @classmethod
    def of(cls, attack: Attack) -> Self:
        """Return the plain run of an attack on what is evaluated."""
        return cls.create(describe_attack(attack))

    @property
    def surrogate_words(self) -> str:
        """The surrogate in words: "the base network", "one view", a name; "" without one."""
        if self.surrogate == SAME_NETWORK:
            return "the base network"
        surrogate = self.surrogate or ""
        if surrogate.startswith(SAME_NETWORK):
            return surrogate.removeprefix(SAME_NETWORK).replace("_", " ")
        return surrogate

    @property
    def words(self) -> str:
        """The attack in words, but for its threat model and surrogate."""
        return short_words(self.name, self.parameters)

    def attack(self, seed: int = 0) -> Attack:
        """Return the attack with `seed` added to its own."""
        attack = attack_from(self.name, self.parameters)
        return attack.model_copy(update={"seed": (attack.seed + seed) % 2**31}) if seed else attack

    def surrogate_of(self, network: str) -> str | None:
        """Return the reference of the checkpoint that is attacked; None: the evaluated one.

        Args:
            network: name of the evaluated checkpoint without its inference mode.
        """
        if self.surrogate is None or not self.surrogate.startswith(SAME_NETWORK):
            return self.surrogate
        return network if self.surrogate == SAME_NETWORK else network + self.surrogate


class CardAttack(AttackRun):
    """An attack whose result stands on a card: on which inference mode, and on how many images.

    Its surrogate, if any, is the same network.
    """

    inference: Annotated[
        str,
        Field(
            max_length=100, description="Inference mode to evaluate; empty for the base network."
        ),
    ] = ""
    num_images: Annotated[
        int | None,
        Field(
            ge=1,
            description="Test images in a stratified sample; automatic: as many as for "
            "the whole card.",
        ),
    ] = None
    num_repeats: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Repeated evaluations per image of a stochastic model; it counts as "
            "correct only if all of them are.",
        ),
    ] = 1

    @model_validator(mode="after")
    def _check_surrogate(self) -> Self:
        if self.surrogate is not None and not self.surrogate.startswith(SAME_NETWORK):
            raise InputError(
                "the surrogate of an attack on a card should be an inference mode of the same "
                f'network, such as ":one_view", got {self.surrogate!r}'
            )
        return self

    @property
    def words(self) -> str:
        """The attack in words, but for its threat model and surrogate."""
        repeats = "" if self.num_repeats == 1 else f", worst of {self.num_repeats} repeats"
        return super().words + repeats

    @property
    def surrogate_mode(self) -> str:
        """The inference mode that the attack is computed on; "" is the base network."""
        if self.surrogate is None:
            return self.inference
        return self.surrogate.removeprefix(SAME_NETWORK)

    @property
    def transfers(self) -> bool:
        """Whether the attack is computed on something else than what is evaluated."""
        return self.surrogate_mode != self.inference
