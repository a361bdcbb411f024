import pytest
import torch

from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.trace import default_eot_samples, trace_attack
from robust_core.evaluation.transfer import (
    fooled_by_others_alone,
    trace_transfer,
    transfer_matrix,
)
from robust_core.gradients import predict_logits
from robust_core.models.base import Classifier
from tests.toys import LinearModel, NoisyLinear, middle_images

ATTACK = create_attack("fgsm", epsilon=0.05)


class Masked(Classifier):
    """A linear network whose gradient is cut off."""

    def __init__(self, model: LinearModel) -> None:
        super().__init__((1, 4, 4), num_classes=3, num_features=16)
        self.model = model
        self.eval()

    def features(self, x):
        return x.flatten(1).detach() + 0.0 * x.flatten(1)

    def head(self, z):
        return self.model(z)


def labelled(model: torch.nn.Module, n: int = 40):
    x = middle_images(n)
    return x, model(x).argmax(dim=1)


def test_the_matrix_holds_the_evaluators_reports():
    models = [LinearModel(seed=0), LinearModel(seed=1)]
    x, y = labelled(models[0])
    seen = []
    found = transfer_matrix(
        models, x, y, ATTACK, batch_size=20, on_progress=lambda done, total: seen.append(done)
    )
    for i, surrogate in enumerate(models):
        for j, model in enumerate(models):
            other = None if i == j else surrogate
            expected = evaluate(model, x, y, ATTACK, batch_size=20, surrogate=other)
            assert torch.equal(found.reports[i][j].robust_correct, expected.robust_correct)
            assert found.robust_accuracy[i, j] == expected.robust_accuracy
    assert seen == list(range(20, 161, 20)), "40 images for each of 4 pairs"
    assert found.num_images == 40 and found.num_correct[0] == 40
    assert found.clean_accuracy.tolist() == [1.0, found.reports[0][1].clean_accuracy]


def test_equal_linear_models_fool_each_other_at_the_known_rate():
    """FGSM lowers the margin of a linear model by epsilon ||w_y - w_k||_1, wherever it was made."""
    model = LinearModel(num_classes=2)
    x, y = labelled(model)
    logits = model(x).detach()
    reach = (logits[:, 0] - logits[:, 1]).abs() / (
        model.weight[0] - model.weight[1]
    ).detach().abs().sum()
    epsilon = float(reach.sort().values[14:16].mean())  # 15 of the 40 images are nearer
    attack = create_attack("fgsm", epsilon=epsilon)
    rate = transfer_matrix([model, LinearModel(num_classes=2)], x, y, attack).fooling_rate
    assert torch.allclose(rate, torch.full((2, 2), 15 / 40, dtype=rate.dtype))


def test_rates_are_of_the_images_that_were_correct():
    model = LinearModel()
    x, y = labelled(model)
    y[:10] = (y[:10] + 1) % 3
    still = transfer_matrix([model], x, y, create_attack("fgsm", epsilon=0.0))
    assert still.num_correct.tolist() == [30] and still.fooling_rate.item() == 0.0
    wrong = (model(x).argmax(dim=1) + 1) % 3
    assert transfer_matrix([model], x, wrong, ATTACK).fooling_rate.isnan().all()


def test_a_masked_model_is_told_by_the_images_of_its_twin():
    model = LinearModel()
    x, y = labelled(model)
    attack = create_attack("fgsm", epsilon=0.3)
    matrix = transfer_matrix([Masked(model), model], x, y, attack)
    assert matrix.robust_accuracy[0, 0] == 1.0
    assert matrix.masked() == [(0, 1)]


def test_one_image_is_judged_by_every_model():
    plain = LinearModel()
    model = Masked(plain)
    networks = [model, WithoutMask(plain)]
    x, y = labelled(plain, 1)
    attack = create_attack("fgsm", epsilon=0.5)
    traces = [trace_attack(one, x[0], int(y), attack) for one in networks]
    found = trace_transfer(networks, traces)
    assert found.shape == (2, 2, 3)
    assert torch.allclose(found.sum(dim=2), torch.ones(2, 2))
    for i, trace in enumerate(traces):
        expected = predict_logits(plain, trace.x_adv[None]).softmax(dim=1)
        assert torch.allclose(found[i], expected.expand(2, -1), atol=1e-6)
    assert fooled_by_others_alone(found, traces) == {0: [1]}


class WithoutMask(Masked):
    """The same with its gradient."""

    def features(self, x):
        return x.flatten(1)


def test_stochastic_models_decide_by_the_mean_of_ten_passes():
    assert default_eot_samples(NoisyLinear(noise=0.1)) == 10
    assert default_eot_samples(LinearModel()) == 1


def test_no_model_is_refused():
    with pytest.raises(InputError, match="at least one model, got none"):
        transfer_matrix([], middle_images(1), torch.tensor([0]), ATTACK)
