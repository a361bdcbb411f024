"""The adaptive evaluation: never weaker than its parts, within its time, on every kind of model."""

import pytest
import torch
from torch import Tensor, nn

import robust_core as rc
from robust_core.attacks.adaptive import Adaptive
from robust_core.attacks.base import Attack, AttackStep, create_attack
from robust_core.attacks.criterion import Criterion
from robust_core.attacks.ensemble import AutoAttack
from robust_core.attacks.momentum_ascent import Ascent
from robust_core.attacks.notes import note, noted
from robust_core.attacks.survivors import Survivors, TimeUp
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import predict_logits
from robust_core.inference.scaled_logits import ScaledLogits
from robust_core.inference.wrappers import AveragedPasses
from robust_core.losses import margin
from robust_core.models.guard import attack_surrogates
from robust_core.threat_model import Norm, ThreatModel
from tests.toys import LinearModel, NoisyLinear, SmallNet, WithSurrogate, middle_images

SHORT = {"num_steps": 12, "num_queries": 20, "num_restarts": 1, "num_targets": 2}
SHAPE = (1, 8, 8)


class FewQueries(AutoAttack):
    """AutoAttack in few steps: what a member does does not depend on its length."""

    def members(self) -> list[Attack]:
        short = {"num_steps": 5, "num_queries": 20}
        return [
            one.model_copy(update={key: value for key, value in short.items() if hasattr(one, key)})
            for one in super().members()
        ]


@pytest.fixture
def short_autoattack(monkeypatch) -> type[AutoAttack]:
    monkeypatch.setattr("robust_core.attacks.adaptive.AutoAttack", FewQueries)
    return FewQueries


class Wavy(LinearModel):
    """A linear model of waves: what falls depends on where a search has begun."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((40 * x).sin() + 0.6 * (280 * x).sin())


def wobbly_images() -> tuple[nn.Module, Tensor, Tensor]:
    """A model with many local optima, images, and the labels it gives them."""
    model, x = Wavy(SHAPE), middle_images(60, SHAPE)
    return model, x, model(x).argmax(dim=1)


@pytest.mark.parametrize(("norm", "epsilon"), [(Norm.LINF, 0.001), (Norm.L2, 0.006)])
@pytest.mark.slow
def test_no_image_that_falls_to_autoattack_or_a_member_stands(short_autoattack, norm, epsilon):
    model, x, y = wobbly_images()
    ball = {"norm": norm, "epsilon": epsilon, "seed": 3}
    found = evaluate(model, x, y, create_attack("adaptive", **ball, **SHORT)).robust_correct
    whole = short_autoattack(**ball)
    reports = [evaluate(model, x, y, one) for one in (whole, *whole.members())]
    assert 0.1 < reports[0].robust_accuracy < 0.9
    for report in reports:
        assert not bool((found & ~report.robust_correct).any())


def test_autoattack_meets_the_images_and_the_random_numbers_that_it_would_alone(short_autoattack):
    """Square alone draws anew for every survivor: the other phases must not shift its draws."""
    model, x, y = wobbly_images()
    ball = {"epsilon": 0.001, "seed": 3}
    alone: list[Tensor] = []
    short_autoattack(**ball)(model, x, y, on_step=lambda step: alone.append(step.x_adv))
    together: list[Tensor] = []
    attack = create_attack("adaptive", **ball, **SHORT)
    attack(model, x, y, on_step=lambda step: together.append(step.x_adv))
    seen = {step.numpy().tobytes() for step in together}
    assert all(step.numpy().tobytes() in seen for step in alone)


def test_fallen_images_are_not_attacked_any_further():
    model, x = LinearModel(SHAPE), middle_images(12, SHAPE)
    y = model(x).argmax(dim=1)
    sizes: list[int] = []
    attack = create_attack("adaptive", epsilon=0.05, autoattack=False, **SHORT)
    x_adv = attack(model, x, y, on_step=lambda step: sizes.append(len(step.x_adv)))
    standing = int((predict_logits(model, x_adv).argmax(dim=1) == y).sum())
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 12
    assert sizes[-1] == standing < 12


def test_what_stands_comes_back_at_the_highest_margin_met():
    model, x = LinearModel(SHAPE, num_classes=2), middle_images(3, SHAPE)
    model.bias.data = torch.tensor([100.0, -100.0])  # nothing falls
    y, best = torch.zeros(3, dtype=torch.int64), torch.full((3,), -torch.inf)

    def remember(step: AttackStep) -> None:
        nonlocal best
        best = torch.maximum(best, margin(step.logits, y))

    attack = create_attack("adaptive", epsilon=0.05, autoattack=False, **SHORT)
    x_adv = attack(model, x, y, on_step=remember)
    assert torch.equal(margin(model(x_adv), y), best)
    optimum = 0.05 * (model.weight[1] - model.weight[0]).abs().sum()
    torch.testing.assert_close(best - margin(model(x), y), optimum.expand(3), rtol=1e-3, atol=1e-3)


def test_steps_shrink_from_the_first_length_to_the_last():
    ascent = Ascent("margin", num_steps=5, first_step=2.0, last_step=0.2)
    lengths = [ascent.step_size(step) for step in range(5)]
    assert lengths[0] == pytest.approx(2.0)
    assert lengths[2] == pytest.approx(1.1)
    assert lengths[-1] == pytest.approx(0.2)
    assert lengths == sorted(lengths, reverse=True)
    assert Ascent("margin", num_steps=1).step_size(1) > 0


def test_the_time_limit_leaves_valid_images_and_names_what_was_cut_off():
    model, x, y = wobbly_images()
    attack = create_attack("adaptive", epsilon=0.0001, time_limit=0.05, seed=1)
    report = evaluate(model, x, y, attack)
    (sentence,) = report.notes
    assert sentence.startswith("adaptive reached its time limit of 0.05 s with ")
    assert "images still robust, during: " in sentence
    assert "AutoAttack's Square" in sentence
    assert report.to_json()["notes"] == [sentence]
    assert report.seconds < 5
    with pytest.warns(UserWarning, match="reached its time limit"):  # nobody listens
        x_adv = attack(model, x, y)
    assert attack.threat_model.distance(x_adv, x).max() <= 0.0001 + 1e-6
    assert evaluate(model, x[:2], y[:2], create_attack("fgsm")).notes == ()


def test_what_fell_before_the_time_was_up_has_fallen(short_autoattack):
    """Also within a member of AutoAttack, which knows nothing of clocks."""
    model, x = LinearModel(SHAPE), middle_images(12, SHAPE)
    y = model(x).argmax(dim=1)
    whole = create_attack("adaptive", epsilon=0.03, time_limit=60.0, **SHORT)
    survivors = Survivors(
        model,
        x,
        Criterion("margin", y),
        ThreatModel(Norm.LINF, 0.03),
        eot_samples=1,
        stochastic=False,
        seconds=None,
        on_step=None,
    )
    looks = 0

    def check_time() -> None:
        nonlocal looks
        looks += 1
        if looks == 4:
            raise TimeUp

    survivors.check_time = check_time
    assert isinstance(whole, Adaptive)
    with noted() as notes:
        whole._run(whole._members(), survivors, [model])
    assert len(notes) == 1 and "during: AutoAttack's APGD-CE" in notes[0]
    assert 0 < int(survivors.remaining.sum()) < 12
    wrong = model(survivors.best).argmax(dim=1) != y
    assert torch.equal(wrong, ~survivors.remaining)


def test_a_note_without_a_listener_is_a_warning():
    with noted() as outer:
        note("one")
        with noted() as inner:
            note("two")
        note("one")
    assert (outer, inner) == (["one"], ["two"])
    with pytest.warns(UserWarning, match="three"):
        note("three")


class Masked(LinearModel):
    """A linear model of the image in 8 grey levels."""

    masking_parts = ("rounding",)

    def __init__(self) -> None:
        super().__init__(SHAPE)
        self.rounding = Rounding().eval()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.rounding(x))


class Rounding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (7 * x).round() / 7


@pytest.mark.parametrize("norm", list(Norm))
def test_breaks_what_masks_its_gradient(norm):
    model, x = Masked(), middle_images(20, SHAPE)
    y = model(x).argmax(dim=1)
    ball = {"norm": norm, "epsilon": 0.15 if norm is Norm.LINF else 1.2}
    pgd = evaluate(model, x, y, create_attack("pgd", random_start=False, **ball))
    found = evaluate(model, x, y, create_attack("adaptive", autoattack=False, **ball, **SHORT))
    assert pgd.robust_accuracy == 1.0
    assert found.robust_accuracy <= 0.2


def test_a_lucky_pass_of_a_stochastic_model_is_no_success():
    """Every single answer is wrong at times, the mean never is: nothing can fall."""
    model, x = NoisyLinear(SHAPE, noise=4.0, bias=12.0), middle_images(6, SHAPE)
    y = torch.zeros(6, dtype=torch.int64)
    attack = create_attack("adaptive", epsilon=0.01, eot_samples=20, **SHORT)
    steps: list[AttackStep] = []
    x_adv = attack(model, x, y, on_step=steps.append)
    assert {len(step.x_adv) for step in steps} == {6}  # none has left, and no AutoAttack came
    assert steps[-1].logits.shape == (6, 3)
    assert attack.threat_model.distance(x_adv, x).max() <= 0.01 + 1e-6


def test_an_image_that_is_wrong_every_other_time_is_searched_further_but_not_robust():
    model, x = NoisyLinear(SHAPE, noise=4.0), middle_images(8, SHAPE)
    model.weight.data.zero_()
    model.bias.data = torch.tensor([0.0, 2.0, -100.0])  # class 0: wrong in the mean, not always
    y = torch.zeros(8, dtype=torch.int64)
    ball, settings = ThreatModel(Norm.LINF, 0.1), {"eot_samples": 50, "seconds": None}
    survivors = Survivors(
        model, x, Criterion("margin", y), ball, stochastic=True, on_step=None, **settings
    )
    left = survivors.update(survivors.index, x, survivors.answer(x))
    assert not bool(left.any()) and bool(survivors.remaining.all())
    assert survivors.num_robust == 0
    model.bias.data = torch.tensor([0.0, 200.0, -100.0])
    assert bool(survivors.update(survivors.index, x, survivors.answer(x)).all())
    assert not bool(survivors.remaining.any())


def test_a_weak_stochastic_model_falls_in_the_mean():
    model, x = NoisyLinear(SHAPE, noise=1.0), middle_images(12, SHAPE)
    y = predict_logits(model, x, eot_samples=200).argmax(dim=1)
    report = evaluate(model, x, y, create_attack("adaptive", epsilon=0.2, **SHORT), eot_samples=50)
    assert report.robust_accuracy <= 0.1


def test_surrogates_lead_the_way_and_the_model_itself_decides():
    """Its own gradient is zero; the surrogate's points the right way, but it calls all fallen."""
    model, x = WithSurrogate(SHAPE), middle_images(12, SHAPE)
    y = model(x).argmax(dim=1)
    settings = {**SHORT, "num_queries": 1, "autoattack": False}
    found = evaluate(model, x, y, create_attack("adaptive", epsilon=0.1, **settings))
    assert evaluate(model, x, y, create_attack("pgd", epsilon=0.1)).robust_accuracy > 0.8
    assert found.robust_accuracy <= 0.1
    tiny = create_attack("adaptive", epsilon=1e-6, **settings)
    assert evaluate(model, x, y, tiny).robust_accuracy == 1.0


def test_wrappers_pass_surrogates_on_and_their_passes_count():
    model, x = WithSurrogate(SHAPE), middle_images(2, SHAPE)
    (surrogate,) = attack_surrogates(model)
    (scaled,) = attack_surrogates(ScaledLogits(model, 3.0))
    torch.testing.assert_close(scaled(x), 3.0 * surrogate(x))
    (averaged,) = attack_surrogates(AveragedPasses(model, 2))
    torch.testing.assert_close(averaged(x), surrogate(x))
    assert attack_surrogates(SmallNet()) == ()
    y = model(x).argmax(dim=1)
    attack = create_attack("adaptive", epsilon=1e-6, autoattack=False, **SHORT)
    without = evaluate(LinearModel(SHAPE), x, y, attack)
    assert evaluate(model, x, y, attack).forward_passes > without.forward_passes


def test_a_target_is_reached_in_l2_and_epsilon_zero_is_the_identity():
    model, x = LinearModel(SHAPE), middle_images(8, SHAPE)
    y = model(x).argmax(dim=1)
    target = (y + 1) % 3
    attack = create_attack("adaptive", norm="L2", epsilon=3.0, autoattack=False, **SHORT)
    x_adv = attack(model, x, y, target=target)
    assert torch.equal(model(x_adv).argmax(dim=1), target)
    assert attack.threat_model.distance(x_adv, x).max() <= 3.0 + 1e-5
    still = create_attack("adaptive", norm="L2", epsilon=0.0, autoattack=False, **SHORT)
    assert torch.equal(still(model, x, y), x)


def test_passes_bound_the_forward_passes_too():
    model, x = WithSurrogate(SHAPE), middle_images(1, SHAPE)
    y = model(x).argmax(dim=1)
    attack = create_attack("adaptive", epsilon=1e-6, autoattack=False, **SHORT)
    report = evaluate(model, x, y, attack)
    assert report.forward_passes <= attack.passes() + 2  # before the attack and after it
    assert create_attack("adaptive", **SHORT).passes() >= AutoAttack().passes()


def test_wrong_settings_get_one_sentence():
    with pytest.raises(InputError, match="time_limit must be > 0"):
        create_attack("adaptive", time_limit=0.0)
    with pytest.raises(InputError, match="eot_samples must be >= 1"):
        create_attack("adaptive", eot_samples=0)


@pytest.mark.slow
def test_the_transformed_digits_fall_far_below_apgd():
    """ATLD with its test-time transformation: APGD leaves 54 % of these images."""
    model, data = rc.load_model("digits-atld:imt"), rc.load_data("digits", split="test")
    x, y = data.x[:20], data.y[:20]
    settings = {"num_steps": 40, "num_targets": 0, "num_queries": 40, "num_restarts": 0}
    attack = create_attack("adaptive", epsilon=0.1, autoattack=False, **settings)
    first, again = (evaluate(model, x, y, attack) for _ in range(2))
    apgd = evaluate(model, x, y, create_attack("apgd", epsilon=0.1, num_steps=40))
    assert first.robust_accuracy <= apgd.robust_accuracy - 0.1
    assert torch.equal(first.robust_correct, again.robust_correct)
    assert torch.equal(first.distance, again.distance)
