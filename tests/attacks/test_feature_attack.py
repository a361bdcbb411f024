"""The feature attack: what it aims at, where its targets come from, what it breaks."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.attacks.base import AttackStep, create_attack
from robust_core.attacks.feature import FeatureAttack
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import predict_logits
from robust_core.losses import accuracy_count
from robust_core.models.base import Classifier
from tests.toys import LinearModel, SmallNet, labels, middle_images


class TwoLayers(Classifier):
    """Features A x, logits B z; the logits' gradient can be switched off."""

    def __init__(self, num_classes=3, masked=False):
        super().__init__((1, 4, 4), num_classes, num_features=6)
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(16, 6, generator=generator))
        self.second = nn.Parameter(torch.randn(6, num_classes, generator=generator))
        self.masked = masked
        self.eval()

    def features(self, x: Tensor) -> Tensor:
        return (x - 0.5).flatten(1) @ self.first

    def head(self, z: Tensor) -> Tensor:
        logits = z @ self.second
        return logits.detach() + 0.0 * logits if self.masked else logits


def cosines(model: Classifier, x: Tensor, target_features: Tensor) -> Tensor:
    return F.cosine_similarity(model.features(x), target_features, dim=1)


def test_recipe_of_the_released_attack_is_the_default():
    attack = FeatureAttack()
    assert (attack.num_targets, attack.num_steps, attack.epsilon) == (100, 20, 8 / 255)
    assert attack.step_size is None  # 2.5 * 8/255 / 20 = 1/255
    assert attack.passes() == 2100


def test_first_step_follows_the_gradient_of_the_cosine():
    model, x = TwoLayers(), middle_images(8)
    y = model(x).argmax(1)
    pair = torch.stack([x[0], x[(y != y[0]).nonzero()[0, 0]]])
    steps: list[AttackStep] = []
    attack = FeatureAttack(
        epsilon=0.2, step_size=0.01, num_steps=1, num_targets=1, random_start=False
    )
    x_adv = attack(model, pair, model(pair).argmax(1), on_step=steps.append)

    moving = pair.clone().requires_grad_()
    wanted = model.features(pair).flip(0).detach()  # each is the other's only target
    (gradient,) = torch.autograd.grad(cosines(model, moving, wanted).sum(), moving)
    torch.testing.assert_close(steps[1].x_adv, pair + 0.01 * gradient.sign())
    torch.testing.assert_close(x_adv, steps[1].x_adv)
    torch.testing.assert_close(steps[0].loss, cosines(model, pair, wanted).detach())
    torch.testing.assert_close(steps[1].logits, predict_logits(model, steps[1].x_adv))


def test_breaks_what_hides_the_gradient_of_the_logits_through_the_evaluator():
    model, x = TwoLayers(masked=True), middle_images(30)
    y = model(x).argmax(1)
    by_logits = evaluate(model, x, y, create_attack("pgd", epsilon=0.2, random_start=False))
    by_features = evaluate(model, x, y, create_attack("feature", epsilon=0.2, num_targets=10))
    assert by_logits.robust_accuracy == 1.0
    assert by_features.robust_accuracy < 0.2
    assert by_features.backward_passes > 0


@pytest.mark.parametrize("epsilon", [0.02, 0.2])
def test_a_batch_of_one_makes_its_own_targets(epsilon):
    model, x = TwoLayers(), middle_images(12)
    y = model(x).argmax(1)
    attack = create_attack("feature", epsilon=epsilon)
    steps: list[AttackStep] = []
    fallen = 0
    for i in range(len(x)):
        x_adv = attack(model, x[i : i + 1], y[i : i + 1], on_step=steps.append)
        fallen += 1 - accuracy_count(model(x_adv), y[i : i + 1])
    assert {step.restart for step in steps} <= {0, 1}  # one target for each other class
    assert fallen == 12 if epsilon == 0.2 else fallen < 12


def test_an_image_is_left_alone_once_it_has_fallen():
    model, x = TwoLayers(), middle_images(20)
    seen: list[int] = []
    attack = create_attack("feature", epsilon=0.1, num_targets=8)
    y = model(x).argmax(1)
    x_adv = attack(model, x, y, on_step=lambda step: seen.append(len(step.x_adv)))
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < seen[0] or accuracy_count(model(x_adv), y) == 0


def test_with_a_target_only_images_of_that_class_are_followed():
    model, x = TwoLayers(), middle_images(20)
    prediction = model(x).argmax(1)
    wanted = int(prediction.mode().values)
    x, prediction = x[prediction != wanted], prediction[prediction != wanted]
    target = torch.full_like(prediction, wanted)
    x_adv = create_attack("feature", epsilon=0.3)(model, x, prediction, target=target)
    assert accuracy_count(model(x_adv), target) >= 0.9 * len(x)


def test_a_plain_module_is_attacked_by_its_logits():
    x = middle_images(20)
    model = LinearModel()
    y = model(x).argmax(1)
    assert accuracy_count(model(create_attack("feature", epsilon=0.3)(model, x, y)), y) == 0
    net, grey = SmallNet().eval(), middle_images(3, (1, 8, 8))
    assert create_attack("feature", num_targets=3)(net, grey, labels(3)).shape == grey.shape
