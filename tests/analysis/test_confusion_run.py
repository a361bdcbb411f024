"""The run that the confusion of many images is read from, on networks known in closed form."""

import pytest
import torch
from torch import Tensor, nn

from robust_core.analysis.confusion_run import (
    EOT_SAMPLES,
    ConfusionPlan,
    ConfusionRun,
    run_confusion,
)
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.models.base import Classifier
from tests.toys import middle_images


class LinearClassifier(Classifier):
    """A linear layer on pixels."""

    def __init__(self) -> None:
        super().__init__((1, 4, 4), num_classes=3, num_features=16)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.classifier = nn.Linear(16, 3)
        self.classifier.bias.data = -0.5 * self.classifier.weight.data.sum(dim=1)
        self.eval().requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def head(self, z: Tensor) -> Tensor:
        return self.classifier(z)


MODEL = LinearClassifier()
PLAN = ConfusionPlan.create({"num_images": 24, "num_steps": 3, "epsilon": 0.05})


def images(n: int = 30) -> ImageSet:
    x = middle_images(n)
    y = MODEL(x).argmax(dim=1)
    y[:3] = (y[:3] + 1) % 3
    return ImageSet("toy", "test", x, y, ("a", "b", "c"), torch.arange(n))


def test_the_run_is_what_the_evaluator_finds():
    chosen = PLAN.images_of(images())
    run = run_confusion(MODEL, chosen, PLAN, batch_size=7)
    report = evaluate(MODEL, chosen.x, chosen.y, run.attack)
    assert len(run.images) == 24
    assert torch.equal(run.prediction, report.prediction)
    assert torch.equal(run.correct, report.clean_correct)
    assert torch.equal(run.robust, report.robust_correct)
    assert 0 < int(run.robust.sum()) < int(run.correct.sum()), "or nothing is shown"
    assert torch.equal(run.confusion().attacked_correct.diag().sum(), run.robust.sum())


def test_the_batch_size_changes_nothing():
    chosen = PLAN.images_of(images())
    one, other = (run_confusion(MODEL, chosen, PLAN, batch_size=size) for size in (5, 24))
    torch.testing.assert_close(one.x_adv, other.x_adv)
    assert torch.equal(one.steps, other.steps)


def test_the_path_begins_clean_and_ends_attacked():
    run = run_confusion(MODEL, images(), PLAN)
    path = run.path()
    assert path.values == (0.0, 1.0, 2.0, 3.0)
    assert torch.equal(path.counts[0], run.confusion().clean)
    assert torch.equal(path.counts[-1], run.confusion().attacked)


def test_cells_hold_every_image_once():
    run = run_confusion(MODEL, images(), PLAN)
    counts = run.confusion().attacked
    found = torch.cat([run.cell(i, j) for i in range(3) for j in range(3)])
    assert sorted(found.tolist()) == list(range(30))
    assert all(len(run.cell(i, j)) == counts[i, j] for i in range(3) for j in range(3))


def test_cosines_are_those_of_features_and_weights():
    run = run_confusion(MODEL, images(), PLAN)
    weight, x = MODEL.classifier.weight, run.images.x.flatten(1)
    assert run.cosines is not None and run.weight_similarity is not None
    lengths = x.norm(dim=1)[:, None] * weight.norm(dim=1)
    torch.testing.assert_close(run.cosines * lengths, x @ weight.T, atol=1e-5, rtol=0)
    torch.testing.assert_close(run.weight_similarity.diag(), torch.ones(3))


def test_nothing_moves_without_a_radius():
    plan = ConfusionPlan.create({"num_images": 10, "epsilon": 0.0, "num_steps": 1})
    run = run_confusion(MODEL, images(), plan)
    assert torch.equal(run.x_adv, run.images.x)
    assert torch.equal(run.prediction, run.attacked)


def test_steps_and_batches_are_told_and_can_end_the_run():
    steps, done = [], []
    run_confusion(
        MODEL,
        images(),
        PLAN,
        batch_size=20,
        on_step=lambda step: steps.append(step.index),
        on_progress=lambda *told: done.append(told),
    )
    assert steps == [0, 1, 2, 3] * 2
    assert done == [(20, 30), (30, 30)]

    def stop(step) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run_confusion(MODEL, images(), PLAN, on_step=stop)


def test_gradients_of_a_stochastic_model_are_averaged():
    assert PLAN.attack(True).averaged_passes == EOT_SAMPLES
    assert PLAN.attack(False).averaged_passes == 1
    with pytest.raises(InputError, match="num_images must be >= 10"):
        ConfusionPlan.create({"num_images": 1})


def test_a_run_among_the_classes_that_occur_in_it():
    """Of 50 classes with 3 labels: the same cells, pairs and images under fewer numbers."""
    generator = torch.Generator().manual_seed(0)
    y = torch.tensor([3, 3, 3, 17, 17, 41])
    prediction, attacked = torch.tensor([3, 3, 8, 17, 17, 41]), torch.tensor([8, 3, 8, 3, 17, 30])
    every = torch.rand((50, 50), generator=generator)
    whole = ConfusionRun(
        plan=ConfusionPlan(),
        attack=ConfusionPlan().attack(False),
        images=ImageSet(
            name="many",
            split="test",
            x=torch.rand((6, 1, 8, 8), generator=generator),
            y=y,
            class_names=tuple(f"class {k}" for k in range(50)),
            index=torch.arange(6),
        ),
        x_adv=torch.rand((6, 1, 8, 8), generator=generator),
        logits=torch.rand((6, 50), generator=generator),
        prediction=prediction,
        attacked=attacked,
        steps=torch.stack([prediction, attacked]),
        cosines=None,
        cosines_adv=None,
        feature_similarity=every,
        weight_similarity=every,
    )
    fewer, classes = whole.among_occurring(40)
    assert classes.tolist() == [3, 8, 17, 30, 41]
    assert fewer.images.class_names == ("class 3", "class 8", "class 17", "class 30", "class 41")
    assert torch.equal(classes[fewer.images.y], y)
    assert torch.equal(classes[fewer.steps], whole.steps)
    assert torch.equal(fewer.confusion().attacked, whole.confusion().attacked[classes][:, classes])
    assert torch.equal(fewer.weight_similarity, every[classes][:, classes])  # pyright: ignore
    fewest, classes = whole.among_occurring(2)
    assert classes.tolist() == [3, 17]  # without the images that have to do with another class
    assert fewest.images.index.tolist() == [1, 3, 4]
    assert fewest.attacked.tolist() == [0, 0, 1]
