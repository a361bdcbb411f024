"""What every registered attack promises, on random tensors."""

import pytest
import torch
from torch import Tensor

from robust_core.attacks import list_attacks
from robust_core.attacks.base import ATTACKS, Attack, AttackStep, attack_presets, create_attack
from robust_core.attacks.description import attack_title, short_words
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.losses import is_correct
from robust_core.threat_model import Norm
from tests.toys import LinearModel, SmallNet, labels, middle_images

pytestmark = pytest.mark.filterwarnings("ignore:the model names no part that masks")  # of BPDA
SHAPES = [(1, 8, 8), (3, 8, 8), (3, 6, 10)]


QUICK: dict[str, dict] = {  # the same code in fewer steps
    "adaptive": {"num_steps": 12, "num_queries": 20, "num_restarts": 1, "autoattack": False},
    "apgd": {"num_steps": 12},
    "cw": {
        "num_steps": 60,
        "num_binary_searches": 4,
        "initial_constant": 0.1,
        "learning_rate": 0.1,
    },
    "deepfool": {"num_steps": 10},
    "fab": {"num_steps": 10, "num_targets": 2},
    "feature": {"num_targets": 10},
    "random_search": {"num_queries": 60, "noise": "corner"},
    "spatial": {"num_rotations": 5, "num_shifts": 3},
    "spsa": {"num_steps": 10, "num_samples": 16, "learning_rate": 0.1},
    "square": {"num_queries": 150},
    "worst_case": {
        "attacks": [
            {"name": "pgd", "parameters": {"num_steps": 5}},
            {"name": "square", "parameters": {"num_queries": 30}},
        ]
    },
}
CONTRACT = [name for name in list_attacks() if name != "autoattack"]  # its budget is fixed


@pytest.fixture(params=CONTRACT)
def name(request) -> str:
    return request.param


def quick(name: str, **parameters) -> Attack:
    """The attack in few steps, without parameters that it does not let anybody choose."""
    fields = ATTACKS.get(name).model_fields
    free = {
        key: value
        for key, value in parameters.items()
        if "Literal" not in str(fields[key].annotation)
    }
    return create_attack(name, **{**QUICK.get(name, {}), **free})


@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stays_in_ball_and_box(name, norm, shape):
    attack = quick(name, norm=norm, epsilon=0.15)
    model = SmallNet(shape).eval()
    x = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    x_adv = attack(model, x, labels(4))
    assert x_adv.shape == x.shape
    assert x_adv.dtype is torch.float32
    assert not x_adv.requires_grad
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    if not attack.minimum_norm:
        assert attack.threat_model.distance(x_adv, x).max() <= attack.epsilon + 1e-6


def test_epsilon_zero_is_the_identity(name):
    attack = quick(name, epsilon=0.0)
    if attack.minimum_norm or attack.epsilon > 0:
        pytest.skip("no radius bounds this attack")
    x = middle_images(3, (1, 8, 8))
    torch.testing.assert_close(attack(SmallNet().eval(), x, labels(3)), x)


def test_model_and_images_are_untouched(name):
    model, x, y = SmallNet().train(), middle_images(3, (1, 8, 8)), labels(3)
    model.layers[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    x_before = x.clone()
    with pytest.warns(UserWarning, match="train mode"):
        quick(name)(model, x, y)
    assert torch.equal(x, x_before)
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_seed_decides_everything_and_the_global_generator_is_left_alone(name):
    model, x, y = SmallNet().eval(), middle_images(3, (1, 8, 8)), labels(3)
    state = torch.get_rng_state()
    first = quick(name, seed=5)(model, x, y)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(first, quick(name, seed=5)(model, x, y))


def test_breaks_a_weak_model_and_a_target_is_reached(name):
    model, x = LinearModel((1, 8, 8)), middle_images(20, (1, 8, 8))
    y = model(x).argmax(1)
    attack = quick(name, epsilon=0.3)
    fallen = ~is_correct(predict_logits(model, attack(model, x, y)), y)
    assert fallen.sum() >= (10 if name == "spatial" else 20)
    target = (y + 1) % 3
    x_adv = attack(model, x, y, target=target)
    reached = is_correct(predict_logits(model, x_adv), target)
    assert reached.sum() >= (5 if name == "spatial" else 17)


def test_batch_of_one_and_already_wrong_images(name):
    model, x = LinearModel((1, 8, 8)), middle_images(1, (1, 8, 8))
    wrong = (model(x).argmax(1) + 1) % 3
    x_adv = quick(name)(model, x, wrong)
    assert x_adv.shape == x.shape


def test_steps_are_reported_from_start_to_result(name):
    model, x = SmallNet().eval(), middle_images(1, (1, 8, 8))
    y = model(x).argmax(1)
    steps: list[AttackStep] = []
    attack = quick(name, epsilon=0.01)
    x_adv = attack(model, x, y, on_step=steps.append)
    if name != "worst_case":  # every member counts its own steps
        indices = [step.index for step in steps if step.restart == 0]
        assert indices == list(range(len(indices)))
    assert len(steps) >= 2
    seen = [step.x_adv for step in steps] + ([x] if attack.minimum_norm else [])
    assert any(torch.equal(x_seen, x_adv) for x_seen in seen)
    for step in steps:
        assert step.loss.shape == (1,)
        torch.testing.assert_close(step.logits, predict_logits(model, step.x_adv))


def test_watching_does_not_change_the_attack(name):
    model, x, y = SmallNet().eval(), middle_images(2, (1, 8, 8)), labels(2)
    attack = quick(name)
    assert torch.equal(attack(model, x, y), attack(model, x, y, on_step=lambda step: None))


def test_parameters_travel_through_json(name):
    attack = quick(name, epsilon=0.05, seed=3)
    assert create_attack(name, **attack.model_dump(mode="json")) == attack


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (torch.full((1, 1, 8, 8), 1.5), labels(1), r"must lie in \[0, 1\]"),
        (torch.full((1, 1, 8, 8), float("nan")), labels(1), r"must lie in \[0, 1\]"),
        (torch.zeros(1, 8, 8), labels(1), r"float32 \[N,C,H,W\]"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), labels(1), r"float32 \[N,C,H,W\]"),
        (torch.zeros(2, 1, 8, 8), labels(1), r"labels must be int64 \[2\]"),
        (torch.zeros(1, 1, 8, 8), torch.tensor([3]), r"labels must be in \[0, 2\], got 3 to 3"),
        (torch.zeros(1, 1, 8, 8), torch.tensor([-1]), r"labels must be in \[0, 2\]"),
    ],
)
def test_wrong_input_gets_one_sentence(name, x, y, sentence):
    with pytest.raises(InputError, match=sentence):
        quick(name)(SmallNet().eval(), x, y)


def test_passes_bound_the_backward_passes(name):
    class Counting(SmallNet):
        backward_passes = 0

        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            if logits.requires_grad:
                logits.register_hook(self._count)
            return logits

        def _count(self, gradient: Tensor) -> None:
            self.backward_passes += 1

    model = Counting().eval()
    attack = quick(name)
    x = middle_images(1, (1, 8, 8))
    attack(model, x, model(x).argmax(1))
    classes = 2 if name in {"fab", "deepfool"} else 1  # a gradient for each other class
    assert model.backward_passes <= attack.passes() * classes
    assert (model.backward_passes == 0) == attack.gradient_free


def test_the_seed_decides_what_a_random_model_draws(name) -> None:
    class Noisy(SmallNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(len(x), self.num_classes)

    model = Noisy((3, 8, 8)).eval()
    x, y = middle_images(4, (3, 8, 8)), labels(4)
    attack = quick(name)
    torch.manual_seed(5)
    first = attack(model, x, y)
    after = torch.random.get_rng_state()
    torch.manual_seed(6)
    again = attack(model, x, y)
    assert torch.equal(first, again)
    torch.manual_seed(5)
    assert torch.equal(after, torch.random.get_rng_state())  # the generator is left alone


def test_every_attack_declares_what_evaluations_offer_of_it():
    presets = attack_presets()
    assert {name for name, _ in presets.values()} == set(ATTACKS.names()) - {"worst_case"}
    assert list(presets)[:4] == ["FGSM", "PGD-20", "PGD-20, margin loss", "PGD-50 x 5"]
    assert list(presets)[-3:] == ["Spatial (turns and shifts)", "AutoAttack", "Adaptive"]
    assert len({preset.place for _, preset in presets.values()}) == len(presets)
    declared = [one for name in ATTACKS.names() for one in ATTACKS.get(name).presets]
    assert len(declared) == len(presets), "a title is given once, and none is inherited"
    for name, preset in presets.values():
        create_attack(name, **preset.parameters)
        create_attack(name, **preset.parameters, **ATTACKS.get(name).for_stochastic_models)


def test_advanced_parameters_are_there():
    known = {field for name in ATTACKS.names() for field in ATTACKS.get(name).model_fields}
    assert known >= set(Attack.advanced)
    for name in ATTACKS.names():
        attack = ATTACKS.get(name)
        assert set(attack.advanced) - set(Attack.advanced) <= attack.model_fields.keys()


def test_every_attack_is_called_what_papers_call_it():
    titles = {name: attack_title(name) for name in list_attacks()}
    assert all(titles.values()) and len({*titles.values()}) == len(titles)
    assert (titles["autoattack"], titles["random_search"]) == ("AutoAttack", "random search")
    assert short_words("autoattack", {}) == "AutoAttack (standard)"
