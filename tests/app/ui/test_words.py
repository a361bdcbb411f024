"""What a card says is told as what it is: measured here, or stated by a file from elsewhere."""

from dataclasses import replace

from app.ui.words import card_words
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.checkpoints.info import STATED


def test_numbers_of_an_imported_model_are_marked_and_call_it_nothing() -> None:
    shipped = checkpoint_info("digits-pgd_at")
    imported = replace(shipped, name="imported/digits-pgd_at")
    assert STATED not in card_words(shipped) and shipped.shown_robust
    assert STATED in card_words(imported) and not imported.shown_robust


def test_each_accuracy_of_a_card_has_a_line_of_its_own() -> None:
    first, second, third = card_words(checkpoint_info("digits-pgd_at")).split("  \n")[:3]
    assert first.endswith("test images") and "as reported" in second and "lowest" in third
