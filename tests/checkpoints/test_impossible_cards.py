"""A card that nobody can have measured is refused in one sentence."""

from typing import Any

import pytest

from robust_core.checkpoints.card import Card
from robust_core.errors import InputError

CARD: dict[str, Any] = {
    "split": "test",
    "num_images": 10,
    "clean_accuracy": 0.8,
    "clean_interval": [0.5, 0.95],
    "robust": [],
    "epoch": 1,
    "seed": 0,
    "versions": {},
}
RESULT: dict[str, Any] = {
    "attack": {"name": "fgsm", "parameters": {}},
    "accuracy": 0.6,
    "interval": [0.3, 0.9],
    "num_images": 10,
}


def card(result: dict[str, Any] | None = None, **changes: Any) -> Card:
    return Card.create(CARD | {"robust": [RESULT | (result or {})]} | changes)


def test_a_card_that_can_have_been_measured_is_taken() -> None:
    assert card().clean_accuracy == 0.8
    assert card({"accuracy": 0.8, "correct": "1111111100", "checked_correct": "111"}).robust
    more = {"accuracy": 0.9, "interval": [0.8, 1.0], "num_images": 100}  # than the card has
    assert card(more).robust[0].num_images == 100


@pytest.mark.parametrize(
    ("result", "changes", "sentence"),
    [
        ({}, {"clean_accuracy": 0.4}, "lies in its interval, got 0.400 and 0.500 to 0.950"),
        ({}, {"clean_accuracy": 0.81}, "counts whole images, got 0.81 of 10 images"),
        ({"accuracy": 0.65}, {}, "counts whole images, got 0.65 of 10 images"),
        ({"accuracy": 0.9}, {}, "at most the clean one on the same images, got 0.900 and 0.800"),
        ({"clean_accuracy": 0.5}, {}, "at most the clean one on the same images, got 0.600 and"),
        ({"num_images": 5, "correct": "111000"}, {}, "should be 5 results, got 6"),
        ({"checked_correct": "1" * 11}, {}, "should be 10 results, got 0, of which 11"),
        ({"accuracy": 0.5, "correct": "1111110000"}, {}, "should be that of the images"),
    ],
)
def test_a_card_that_cannot_have_been_measured_is_refused(result, changes, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        card(result, **changes)
