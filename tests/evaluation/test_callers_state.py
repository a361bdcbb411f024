"""What the caller does around an evaluation, or what a model says of itself, changes no number."""

import pytest
import torch
from torch import Tensor, nn

import robust_core as rc
from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Severity
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from robust_core.models.guard import guarded, known_classes, masking_parts
from tests.toys import LinearModel, middle_images

SHAPE = (1, 4, 4)
PGD = create_attack("pgd", epsilon=0.1, num_steps=5, seed=0)


def data(model: nn.Module, num_images: int = 24) -> tuple[Tensor, Tensor]:
    x = middle_images(num_images, SHAPE)
    with torch.no_grad():
        return x, model(x.clone()).argmax(dim=1)


def test_inference_mode_around_it_changes_nothing():
    model = LinearModel(SHAPE)
    x, y = data(model)
    outside = evaluate(model, x, y, PGD)
    assert 0 < outside.robust_accuracy < 1
    with torch.inference_mode():
        inside = evaluate(model, x.clone(), y.clone(), PGD)
        x_adv = PGD(model, x.clone(), y.clone())
        findings = check_reliability(ReliabilityCase(model, x.clone(), y.clone(), PGD, effort=0.1))
        curve = rc.create_attack("pgd", epsilon=0.1)(LinearModel(SHAPE), x.clone(), y.clone())
    assert torch.equal(inside.robust_correct, outside.robust_correct)
    assert torch.equal(x_adv, PGD(model, x, y)) and not x_adv.is_inference()
    assert next(one for one in findings if one.name == "gradients").severity is Severity.OK
    assert (curve - x).abs().max() > 0.09  # the weights themselves were made in that mode


@pytest.mark.slow
def test_a_forward_pass_that_cuts_the_graph_is_blind_and_told():
    class Cut(LinearModel):
        @torch.inference_mode()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    x, y = data(LinearModel(SHAPE))
    report = evaluate(Cut(SHAPE), x, y, PGD, check=True)
    found = {one.name: one.severity for one in report.findings}
    assert found["gradients"] is Severity.FAIL
    assert report.lowest.accuracy < report.robust_accuracy


class WritesToItsInput(LinearModel):
    """Normalises in place, as torchvision's Normalize(inplace=True) does."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5).div_(0.25))


class Normalised(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - 0.5) / 0.25)


def test_a_model_that_writes_to_its_input_leaves_the_persons_images_alone():
    x, y = data(Normalised(SHAPE))
    before = x.clone()
    report = evaluate(WritesToItsInput(SHAPE), x, y, PGD)
    assert torch.equal(x, before)
    expected = evaluate(Normalised(SHAPE), x, y, PGD)
    assert torch.equal(report.robust_correct, expected.robust_correct)
    assert torch.equal(PGD(WritesToItsInput(SHAPE), x, y), PGD(Normalised(SHAPE), x, y))


@pytest.mark.parametrize("stale", [1000, 2, "three", lambda: 3, None])
def test_a_stale_number_of_classes_is_a_hint_only(stale):
    model = LinearModel(SHAPE)
    x, y = data(model)
    expected = evaluate(model, x, y, PGD)
    model.num_classes = stale
    assert known_classes(guarded(model, x)) == 3
    assert torch.equal(evaluate(model, x, y, PGD).robust_correct, expected.robust_correct)
    with pytest.raises(InputError, match=r"labels must be in \[0, 2\], got 0 to 3"):
        PGD(model, x, torch.arange(24) % 4)


@pytest.mark.parametrize("value", ["quantise", 3, ["no.such.part"], ("weight", 1), lambda: ()])
def test_masking_parts_that_are_no_parts_are_none(value):
    model = LinearModel(SHAPE)
    model.masking_parts = value
    x, y = data(model)
    assert masking_parts(model) == ()
    assert evaluate(model, x, y, PGD).num_images == 24


@pytest.mark.parametrize("error", [ValueError, AssertionError, TypeError, KeyError, RuntimeError])
def test_whatever_a_model_raises_is_one_sentence(error):
    class Raises(LinearModel):
        def forward(self, x: Tensor) -> Tensor:
            raise error("expected 3 channels\nand more")

    x, y = data(LinearModel(SHAPE))
    for call in (lambda: evaluate(Raises(SHAPE), x, y), lambda: PGD(Raises(SHAPE), x, y)):
        with pytest.raises(InputError) as caught:
            call()
        sentence = str(caught.value)
        assert "cannot take float32 images [1, 4, 4] in [0, 1]" in sentence
        assert error.__name__ in sentence and "expected 3 channels" in sentence
        assert "\n" not in sentence


def test_what_a_model_raises_on_a_later_batch_is_one_sentence_too():
    class OnlyOne(LinearModel):
        def forward(self, x: Tensor) -> Tensor:
            assert len(x) == 1, "one image at a time, please"
            return super().forward(x)

    x, y = data(LinearModel(SHAPE))
    with pytest.raises(InputError, match="AssertionError: one image at a time"):
        evaluate(OnlyOne(SHAPE), x, y)
    assert evaluate(OnlyOne(SHAPE), x, y, batch_size=1).num_images == 24
