"""What a card says is told as what it is: measured here, or stated by a file from elsewhere."""

from dataclasses import replace

import numpy as np

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


def test_pictures_that_stand_in_for_a_data_set_are_said_to(tmp_path, monkeypatch) -> None:
    info = checkpoint_info("mnist-pgd_at")
    monkeypatch.setenv("ROBUST_DATA", str(tmp_path))
    assert "20 pictures that ship with Foolbox stand in" in card_words(info)
    np.savez(tmp_path / "mnist.npz")
    assert "stand in" not in card_words(info)
    assert "stand in" not in card_words(checkpoint_info("digits-pgd_at"))
