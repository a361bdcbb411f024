"""Accuracy class by class of what a card holds image by image."""

import pytest
import torch

from robust_core.analysis.card_classes import card_class_accuracy
from robust_core.checkpoints.card import Card
from robust_core.checkpoints.catalog import checkpoint_info, load_model
from robust_core.data import load_data
from robust_core.gradients import predict_logits


def card_of(name: str) -> Card:
    card = checkpoint_info(name).card
    assert card is not None
    return card


def test_the_classes_of_a_card_make_up_its_accuracy():
    card, images = card_of("digits-atld"), load_data("digits", "test")
    for result in card.robust:
        found = card_class_accuracy(card, result, images)
        assert found is not None
        assert int(found.num_images.sum()) == result.num_images
        right = (found.accuracy * found.num_images).nansum()
        assert float(right) / result.num_images == pytest.approx(result.accuracy, abs=1e-6)
        assert float(found.accuracy[found.worst]) == float(found.accuracy.nan_to_num(2.0).min())


def test_its_images_are_those_that_the_card_means():
    card, images = card_of("digits-atld"), load_data("digits", "test")
    ordered = images.in_sample_order()
    right = predict_logits(load_model("digits-atld"), ordered.x).argmax(1) == ordered.y
    assert not right.all()
    result = next(one for one in card.results_of("") if one.num_images == len(images))
    found = card_class_accuracy(card, result, images)
    assert found is not None
    counts = torch.bincount(ordered.y[right], minlength=10) / found.num_images
    assert (found.accuracy <= counts + 1e-6).all()  # what is wrong without an attack is so under it


def test_older_cards_and_other_images_say_nothing():
    card, images = card_of("digits-pgd_at"), load_data("digits", "test")
    assert card_class_accuracy(card, card.robust[0], images) is None
    card = card_of("digits-atld")
    result = next(one for one in card.robust if one.num_images == len(images))
    assert card_class_accuracy(card, result, images.subset(slice(50))) is None
