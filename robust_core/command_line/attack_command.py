"""`python -m robust_core attack`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from robust_core.attacks.base import ATTACKS, Attack
from robust_core.command_line.options import Parser, add_parameters
from robust_core.command_line.selection import (
    ModelSelection,
    add_subject,
    attack_line,
    load_subject,
)
from robust_core.data.images import decode_image, encode_png, quantize_8bit
from robust_core.errors import InputError
from robust_core.evaluation.batch import BUDGET_TOLERANCE
from robust_core.evaluation.outputs import check_outputs
from robust_core.files import write_atomically
from robust_core.gradients import predict_logits
from robust_core.registry import unknown_name
from robust_core.units import percent

NUM_SHOWN = 5
NO_NUMBERS = "outputs that are not finite"
RANDOM_NOTE = (
    "note      the model is stochastic: its outputs for the same image differ from pass to pass, "
    "and each line above is about a single pass"
)


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Attack one image, say what happened and return the exit code."""
    options = _parser().parse_args(arguments)
    selection = load_subject(options)
    attack = selection.attack(options.attack, options)
    x, y, name = _image(selection, options)
    target = None if options.target is None else _target(selection, options.target, y)
    x_adv = attack(selection.model, x, y, target=target)
    sys.stdout.write("\n".join([name, *_report(selection, attack, x, x_adv, y, target)]) + "\n")
    if options.output is not None:
        sys.stdout.write(_save(selection, options.output, x_adv))
    return 0


def _parser() -> Parser:
    parser = Parser(
        command="attack",
        description="Attack one image of a data set, or an image file. Norm and epsilon default "
        "to the standard threat model of the data set.",
    )
    kinds = parser.add_subparsers(dest="attack", required=True, metavar="ATTACK")
    for name in ATTACKS.names():
        attack = ATTACKS.get(name)
        text = (attack.__doc__ or "").splitlines()[0]
        kind = kinds.add_parser(name, help=text.replace("%", "%%"), description=text)
        add_subject(kind)
        image = kind.add_mutually_exclusive_group()
        image.add_argument("--index", type=int, default=0, help="index in the split (default 0)")
        image.add_argument("--image", type=Path, metavar="FILE", help="your own image file")
        kind.add_argument("--label", help="true class of --image (default: the predicted class)")
        kind.add_argument("--target", help="target class (default: untargeted)")
        kind.add_argument("--output", type=Path, metavar="FILE", help="save the result as PNG")
        add_parameters(kind, attack)
    return parser


def _image(selection: ModelSelection, options: argparse.Namespace) -> tuple[Tensor, Tensor, str]:
    """Return image [1,C,H,W], label [1] and a line that says which image it is."""
    if options.image is not None:
        try:
            content = options.image.read_bytes()
        except OSError as error:
            raise InputError(f"{options.image} cannot be read: {error.strerror}") from None
        x = decode_image(content, selection.info.image_shape)[None]
        if options.label is not None:
            return x, _label(selection, "label", options.label), str(options.image)
        y = predict_logits(selection.model, x).argmax(dim=1)
        return x, y, f"{options.image} (taken for {selection.info.class_names[int(y)]})"
    if options.label is not None:
        raise InputError("--label belongs to --image; images of a data set have their labels")
    images = selection.images(options)
    if not 0 <= options.index < len(images):
        raise InputError(f"--index must be in [0, {len(images) - 1}], got {options.index}")
    image = images.subset([options.index])
    name = f"{image.image_id(0)} ({image.class_names[int(image.y)]})"
    return image.x, image.y, name


def _target(selection: ModelSelection, text: str, y: Tensor) -> Tensor:
    """Return the class to reach, int64 [1], which is another than that of the image, y [1]."""
    target = _label(selection, "target", text)
    if int(target) == int(y):
        name = selection.info.class_names[int(y)]
        raise InputError(f"--target should be another class than {name}, the image's own")
    return target


def _label(selection: ModelSelection, option: str, text: str) -> Tensor:
    """Return a class given by name or number, as int64 [1]."""
    names = selection.info.class_names
    if text in names:
        return torch.tensor([names.index(text)])
    if text.isdecimal() and int(text) < len(names):
        return torch.tensor([int(text)])
    raise unknown_name(f"class in --{option}", text, list(names))


def _report(
    selection: ModelSelection,
    attack: Attack,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    target: Tensor | None,
) -> list[str]:
    names = selection.info.class_names
    clean = predict_logits(selection.model, x)
    check_outputs(clean, y, selection.model.num_classes, selection.model)
    before, after = clean[0], predict_logits(selection.model, x_adv)[0]
    distance = float(attack.threat_model.distance(x_adv, x))
    lines = [
        f"attack    {attack_line(attack)}",
        f"cost      at most {attack.passes()} forward-backward passes",
        f"distance  {distance:.5f} ({distance * 255:.2f}/255) in {attack.norm}",
        f"before    {_top(before, names)}",
        f"after     {_top(after, names)}",
        f"outcome   {_outcome(attack, before, after, distance, y, target, names)}",
    ]
    return [*lines, RANDOM_NOTE] if selection.model.stochastic else lines


def _top(logits: Tensor, names: tuple[str, ...]) -> str:
    if not bool(torch.isfinite(logits).all()):
        return NO_NUMBERS
    probabilities, classes = logits.softmax(dim=0).topk(min(NUM_SHOWN, len(names)))
    pairs = zip(classes.tolist(), probabilities.tolist(), strict=True)
    return ", ".join(f"{names[label]} {percent(probability, 1)}" for label, probability in pairs)


def _outcome(
    attack: Attack,
    before: Tensor,
    after: Tensor,
    distance: float,
    y: Tensor,
    target: Tensor | None,
    names: tuple[str, ...],
) -> str:
    first, last, true = names[int(before.argmax())], names[int(after.argmax())], names[int(y)]
    if distance > attack.epsilon + BUDGET_TOLERANCE:
        return f"the attack failed: it needed more than epsilon {attack.epsilon:.5f}"
    if not bool(torch.isfinite(after).all()):
        return f"the attack succeeded: {first} -> {NO_NUMBERS}"
    if target is not None:
        wanted = names[int(target)]
        if first == wanted:
            return f"{true} is misclassified as {wanted}, the target, without an attack"
        reached = last == wanted
        return (
            f"the attack {'reached' if reached else 'failed to reach'} {wanted}: {first} -> {last}"
        )
    if first != true:
        return f"{true} is misclassified as {first} without an attack"
    if last != true:
        return f"the attack succeeded: {first} -> {last}"
    return f"the attack failed: the model still predicts {true}"


def _save(selection: ModelSelection, path: Path, x_adv: Tensor) -> str:
    try:
        write_atomically(path, encode_png(x_adv[0]))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    labels = [
        int(predict_logits(selection.model, image).argmax())
        for image in (x_adv, quantize_8bit(x_adv))
    ]
    kept = "the same" if labels[0] == labels[1] else "another"
    return f"saved     {path} (rounded to 8 bits, the model gives {kept} answer)\n"
