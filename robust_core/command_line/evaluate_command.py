"""`python -m robust_core evaluate`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from robust_core.attacks.base import ATTACKS
from robust_core.command_line.options import Parser, add_parameters, positive
from robust_core.command_line.subject import add_subject, attack_line, load_subject
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import RobustnessReport, evaluate
from robust_core.training.atomic import write_atomically


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Evaluate, write a report and return the exit code."""
    options = _parser(arguments).parse_args(arguments)
    subject = load_subject(options)
    attack = None if options.attack == "none" else subject.attack(options.attack, options)
    images = subject.images(options)
    if options.num_images is not None:
        images = images.subset(slice(options.num_images))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tqdm(total=len(images), unit="image", leave=False, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.update(done - bar.n)

        report = evaluate(
            subject.model.to(device),
            images.x.to(device),
            images.y.to(device),
            attack,
            batch_size=options.batch_size,
            on_progress=show,
        )
    sys.stdout.write(_text(subject.info.name, f"{images.name}/{images.split}", report))
    if options.json is not None:
        about = {"model": subject.info.name, "digest": subject.info.digest}
        about |= {"data": images.name, "split": images.split, "index": images.index.tolist()}
        text = json.dumps(about | report.to_json(), indent=2) + "\n"
        try:
            write_atomically(options.json, text.encode())
        except OSError as error:
            raise InputError(f"{options.json} cannot be written: {error.strerror}") from None
    return 0


def _parser(arguments: list[str]) -> Parser:
    """Return a parser with the options of the attack that `arguments` name."""
    chooser = Parser(add_help=False)
    _add_attack(chooser)
    name = chooser.parse_known_args(arguments)[0].attack
    parser = Parser(
        prog="python -m robust_core evaluate",
        description="Measure clean accuracy and accuracy under an attack. --attack NAME --help "
        "shows the parameters of another attack.",
    )
    add_subject(parser)
    _add_attack(parser)
    parser.add_argument(
        "--num-images", type=positive, metavar="N", help="the first N (default all)"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=256, help="images a batch (default 256)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report here")
    if name != "none":
        add_parameters(parser, ATTACKS.get(name))
    return parser


def _add_attack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--attack", default="pgd", help="attack, or none (default pgd)")


def _text(model: str, images: str, report: RobustnessReport) -> str:
    lines = [
        f"model     {model}",
        f"images    {report.num_images} of {images}",
        f"clean     {report.clean_accuracy:.1%} {_interval(report.clean_interval)}",
    ]
    if report.attack is not None:
        lines += [
            f"attack    {attack_line(report.attack)}",
            f"robust    {report.robust_accuracy:.1%} {_interval(report.robust_interval)}",
        ]
    lines.append(
        f"cost      {report.seconds:.1f} s, {report.forward_passes} forward and "
        f"{report.backward_passes} backward passes of an image"
    )
    return "\n".join(lines) + "\n"


def _interval(interval: tuple[float, float]) -> str:
    return f"(95 % interval {interval[0]:.1%} to {interval[1]:.1%})"
