"""The sections of the bench, each a list of lines."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from robust_core.acceleration.mode import Acceleration, use_acceleration
from robust_core.acceleration.optimised import measured_choice, optimised
from robust_core.attacks.base import Attack, create_attack
from robust_core.bench.contestants import (
    BFLOAT16,
    FASTEST,
    FLOAT32,
    OFFICIAL,
    TORCHATTACKS,
    Contestant,
    contestants,
    is_installed,
    official_autoattack,
)
from robust_core.bench.timing import gradient_flops, interleaved_medians, peak_memory
from robust_core.checkpoints.catalog import checkpoint_info, load_model
from robust_core.data import data_source, load_data
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import class_gradients, predict_logits
from robust_core.losses import cross_entropy, is_correct
from robust_core.models.base import create_model
from robust_core.units import percent

IMAGE_SHAPE, NUM_CLASSES = (3, 32, 32), 10
FEWEST_CLASSES = 4  # of the authors' AutoAttack
GIGA = 1e9
BenchCase = tuple[nn.Module, Tensor, Tensor]  # model, images, labels


def untrained(name: str, parameters: dict, num_images: int, device: torch.device) -> BenchCase:
    """Return a fresh frozen network, random images and the labels that it gives them.

    The biases of the classes are set so that no class wins everywhere: attacks succeed in part.
    """
    model = create_model(name, IMAGE_SHAPE, NUM_CLASSES, parameters).to(device)
    model.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(num_images, *IMAGE_SHAPE, generator=generator).to(device)
    usual = predict_logits(model, torch.rand(16, *IMAGE_SHAPE, generator=generator).to(device))
    model.get_parameter("classifier.bias").sub_(usual.mean(dim=0))
    return model, x, predict_logits(model, x).argmax(dim=1)


def speed_of_pgd(
    case: BenchCase, num_steps: int, repeats: int, peak: dict[str, float], everybody: dict
) -> Iterator[str]:
    """Yield a line for each contestant: images/s, ratio, success, loss, share of the peak."""
    model, x, y = case
    last: dict[str, Tensor] = {}
    # the others fill gradients or keep graphs for parameters as they find them: as they are used
    ordinary = copy.deepcopy(model).requires_grad_(True)

    def run(name: str, attack: Contestant) -> Callable[[], None]:
        attacked = ordinary if name in (TORCHATTACKS, "foolbox") else model

        def work() -> None:
            last[name] = attack(attacked, x, y, num_steps)

        return work

    choice = measured_choice(model)
    if choice is not None:
        yield f"  fastest: {choice.words}"
    work = {name: run(name, attack) for name, attack in everybody.items()}
    seconds = interleaved_medians(work, repeats, x.device)
    flops = gradient_flops(model, x[:1]) * num_steps * len(x)
    base = seconds.get(TORCHATTACKS, seconds["reference"])
    for name, value in seconds.items():
        logits = predict_logits(model, last[name])
        success = 1 - int(is_correct(logits, y).sum()) / len(x)
        loss = float(cross_entropy(logits, y).mean())
        low = name == BFLOAT16 or (name == FASTEST and choice and choice.for_many == BFLOAT16)
        share = flops / value / peak["bfloat16" if low else "float32"]
        yield (
            f"  {name:<14}{1000 * value:>10.1f} ms{len(x) / value:>10.1f} images/s"
            f"{base / value:>8.2f} x{percent(success, 1):>9} fooled, loss{loss:>7.3f}"
            f"{flops / value / GIGA:>9.1f} GFLOP/s{percent(share, 1):>7}"
        )


def trained(name: str, num_images: int, device: torch.device) -> tuple[BenchCase, float]:
    """Return a checkpoint, frozen, with the first test images of its data set, and their epsilon.

    Raises:
        InputError: there is no such checkpoint.
    """
    info = checkpoint_info(name)
    images = load_data(info.config.data.name, "test", info.config.data.parameters)
    some = images.sample(num_images)
    model = load_model(name).to(device).requires_grad_(False)
    epsilon = data_source(info.config.data.name).threat_model.epsilon
    return (model, some.x.to(device), some.y.to(device)), epsilon


def robust_accuracy(
    case: BenchCase, epsilon: float, num_steps: int, num_restarts: int
) -> Iterator[str]:
    """Yield the time of robust accuracy by PGD with restarts: the usual loop, and the active set.

    The usual loop takes every step of every restart for every image and lets an image fall if the
    last iterate of any start is adversarial.
    """
    model, x, y = case
    attack = create_attack(
        "pgd",
        epsilon=epsilon,
        step_size=epsilon / 4,
        num_steps=num_steps,
        num_restarts=num_restarts,
        stop_when_fooled=True,
    )
    everybody = contestants(x.device, epsilon=epsilon)
    name = TORCHATTACKS if TORCHATTACKS in everybody else "reference"

    def loop() -> float:
        remaining = is_correct(predict_logits(model, x), y)
        for _ in range(num_restarts):
            remaining &= is_correct(
                predict_logits(model, everybody[name](model, x, y, num_steps)), y
            )
        return int(remaining.sum()) / len(x)

    yield from _side_by_side({name: loop, "active set": lambda: _robust(case, attack)}, x)


def autoattack(case: BenchCase, epsilon: float) -> Iterator[str]:
    """Yield the time of robust accuracy by AutoAttack, beside its authors' where that is."""
    model, x, y = case

    def official() -> float:
        x_adv = official_autoattack(model, x, y, epsilon)
        return int(is_correct(predict_logits(model, x_adv), y).sum()) / len(x)

    ours = create_attack("autoattack", epsilon=epsilon)
    num_classes = predict_logits(model, x[:1]).shape[1]
    takes_part = is_installed(OFFICIAL) and num_classes >= FEWEST_CLASSES
    work = {OFFICIAL: official} if takes_part else {}
    yield from _side_by_side(work | {"this engine": lambda: _robust(case, ours)}, x)


def _robust(case: BenchCase, attack: Attack) -> float:
    model, x, y = case
    with use_acceleration(Acceleration("fastest")):
        return evaluate(model, x, y, attack).robust_accuracy


def _side_by_side(work: dict[str, Callable[[], float]], x: Tensor) -> Iterator[str]:
    """Yield a line for each: images/s, ratio to the first, the share that stands."""
    found: dict[str, float] = {}

    def note(name: str) -> Callable[[], None]:
        return lambda: found.update({name: work[name]()})

    seconds = interleaved_medians({name: note(name) for name in work}, 1, x.device)
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        yield (
            f"  {name:<14}{len(x) / value:>10.2f} images/s{first / value:>8.2f} x"
            f"{percent(found[name], 1):>9} robust"
        )


def linearity(case: BenchCase, repeats: int) -> Iterator[str]:
    """Yield the time of PGD against the number of images and of steps."""
    model, x, y = case
    attack = contestants(x.device)[FLOAT32]
    cases = [(num, 5) for num in (1, 4, 16, 64) if num <= len(x)] + [(1, 10), (1, 20), (1, 40)]
    work = {
        f"{num:>4} images, {steps:>3} steps": lambda num=num, steps=steps: attack(
            model, x[:num], y[:num], steps
        )
        for num, steps in cases
    }
    seconds = interleaved_medians(work, repeats, x.device)
    for (num, steps), (name, value) in zip(cases, seconds.items(), strict=True):
        yield f"  {name}{1000 * value:>10.1f} ms{1000 * value / num / steps:>10.2f} ms each step"


def all_classes(case: BenchCase, repeats: int) -> Iterator[str]:
    """Yield the cost of the gradients of all classes of one image beside that of one."""
    model, x, _ = case
    ready, image = optimised(model), x[:1]

    def gradients(num_classes: int) -> None:
        classes = torch.arange(num_classes, device=x.device)[None]
        class_gradients(ready, image, classes, lambda z, k: z.gather(1, k[:, None]).squeeze(1))

    work = {"one": lambda: gradients(1), "all": lambda: gradients(NUM_CLASSES)}
    seconds = interleaved_medians(work, 3 * repeats, x.device)
    yield (
        f"  one class {1000 * seconds['one']:.1f} ms, {NUM_CLASSES} classes "
        f"{1000 * seconds['all']:.1f} ms: {seconds['all'] / seconds['one']:.2f} x"
    )


def memory(name: str, parameters: dict, device: torch.device) -> Iterator[str]:
    """Yield the memory that two steps on 256 images take, for each contestant."""
    model = untrained(name, parameters, 1, device)[0]
    x = torch.rand(256, *IMAGE_SHAPE, device=device)
    y = torch.zeros(256, dtype=torch.int64, device=device)
    for each, attack in contestants(device).items():
        model.requires_grad_(each in (TORCHATTACKS, "foolbox"))
        peak = peak_memory(lambda attack=attack: attack(model, x, y, 2), device)
        yield f"  {each:<14}{peak:>10.0f} MiB"
