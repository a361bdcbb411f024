"""`python -m robust_core evaluate`."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from robust_core.acceleration.mode import Engine, fastest_engine
from robust_core.attacks.base import ATTACKS, Attack
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.command_line.main import WRONG_INPUT
from robust_core.command_line.options import (
    Parser,
    add_parameters,
    given_parameters,
    parse_value,
    positive,
)
from robust_core.command_line.subject import attack_line, with_balls
from robust_core.command_line.work import Work, add_work_options, time_left, watched
from robust_core.data import data_source
from robust_core.distributed import Team, assembled
from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding, Severity, verdict
from robust_core.evaluation.lowest import share_words
from robust_core.evaluation_runs.directory import (
    EvaluationDirectory,
    EvaluationStatus,
    create_evaluation,
    initialise_evaluation,
)
from robust_core.evaluation_runs.evaluator import run_evaluation
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.evaluation_runs.results import AttackResult, CheckpointResult
from robust_core.evaluation_runs.subjects import default_attacks
from robust_core.files import write_atomically
from robust_core.job_control import evaluation_directory
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel

BAR = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}{postfix}]"
NETWORK = "network"  # what --crafted-on calls the network itself
WORK: Work[EvaluationDirectory, EvaluationPlan] = Work(
    plan="a plan",
    missing="evaluate needs --model, --plan, --run or --resume",
    at=EvaluationDirectory,
    find=evaluation_directory,
    create=create_evaluation,
    initialise=initialise_evaluation,
)


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Evaluate, write a report and return the exit code."""
    parser, parameters = _parser(arguments)
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    with assembled() as team:
        directory, plan = team.agree(lambda: _directory_and_plan(options, parameters))
        try:
            with watched(options, team, BAR, _draw) as on_progress:
                run_evaluation(
                    plan, directory, team=team, should_stop=terminated, on_progress=on_progress
                )
        except InputError:
            if not options.quiet:
                raise
            return WRONG_INPUT  # the evaluation's log has the sentence
        if team.leads:
            _report(options, directory)
    return 0


def _parser(arguments: list[str]) -> tuple[Parser, type[Parameters]]:
    """Return a parser with the options that the attacks named in `arguments` have in common."""
    chooser = Parser(add_help=False)
    _add_model(chooser)
    _add_attack(chooser)
    names = _names(chooser.parse_known_args(arguments)[0])
    parser = Parser(
        prog="python -m robust_core evaluate",
        description="Measure clean accuracy and accuracy under attacks. Every batch is kept: "
        "Ctrl-C or SIGTERM stops, --resume goes on. Several processes share the work under "
        "torchrun. --attack NAME --help shows the parameters of another attack; several attacks "
        "take those that all of them have. Norm and epsilon are the standard of the data set where "
        "they are not given; attacks that are bound to others keep their own.",
    )
    _add_model(parser)
    _add_attack(parser)
    parser.add_argument("--plan", type=Path, metavar="FILE", help="everything from a JSON file")
    parser.add_argument("--data", help="data set (default: what the model was trained on)")
    parser.add_argument("--split", default="test", help="split of the data set (default test)")
    parser.add_argument(
        "--num-images", type=positive, metavar="N", help="a stratified sample of N (default all)"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=128, help="images a batch (default 128)"
    )
    parser.add_argument(
        "--decision-samples",
        type=positive,
        default=1,
        metavar="N",
        help="passes whose mean decides, for random models (default 1)",
    )
    parser.add_argument(
        "--verdicts",
        type=positive,
        default=1,
        metavar="N",
        help="decisions of a random model, all of which must be right (default 1)",
    )
    parser.add_argument("--surrogate", metavar="NAME", help="make the attack on this checkpoint")
    parser.add_argument(
        "--crafted-on",
        metavar="INFERENCE",
        help="make the attack on this inference of the same network, or on the network (network), "
        "the way some papers have; judged is what --model names, e.g. digits-atld:imt",
    )
    parser.add_argument(
        "--claim", action="store_true", help="note that a paper's claim was attacked in this way"
    )
    parser.add_argument(
        "--curve",
        action="append",
        default=[],
        metavar="NAME=LIST",
        help="draw accuracy against a parameter of the attack, e.g. epsilon=0,2/255,4/255, "
        "num_steps=1,10,100, num_restarts=1,5,10, eot_samples=1,5,20; may be given again",
    )
    parser.add_argument(
        "--check", action="store_true", help="check the numbers for masked gradients"
    )
    parser.add_argument(
        "--engine",
        choices=["reference", "float32", "bfloat16", "fastest"],
        default="float32",
        help="arithmetic of the attacks (default float32); fastest: compiled bfloat16 where this "
        "machine has matrix units for it, every verdict confirmed in float32",
    )
    add_work_options(parser, kind="evaluation", shelf="checkpoints/evaluations")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row for every image here")
    parameters = _common([ATTACKS.get(name) for name in names])
    add_parameters(parser, parameters)
    return parser, parameters


def _add_model(parser: Parser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="checkpoint: a name or a .safetensors file; may be given again",
    )


def _add_attack(parser: Parser) -> None:
    parser.add_argument(
        "--attack",
        action="append",
        default=[],
        metavar="NAME",
        help="attack, or none; may be given again (default pgd; adaptive for models with a "
        "test-time transformation and for stochastic ones)",
    )


def _names(options: Namespace) -> list[str]:
    if options.attack:
        return [] if options.attack == ["none"] else options.attack
    return list(default_attacks([checkpoint_info(name) for name in options.model]))


def _common(attacks: list[type[Attack]]) -> type[Parameters]:
    """Return parameters that the attacks share: those of the only one, else the ball and seed."""
    if not attacks:
        return Parameters
    return attacks[0] if len(attacks) == 1 else Attack


def _directory_and_plan(
    options: Namespace, parameters: type[Parameters]
) -> tuple[EvaluationDirectory, EvaluationPlan]:
    directory = WORK.directory(options, lambda: _plan(options, parameters))
    return directory, directory.plan()


def _plan(options: Namespace, parameters: type[Parameters]) -> EvaluationPlan | None:
    if options.plan is not None:
        if options.model or options.attack:
            raise InputError("evaluate takes --plan, or --model and --attack, not both")
        return EvaluationPlan.from_json(options.plan)
    if not options.model:
        return None
    attacks = [ATTACKS.get(name) for name in _names(options)]
    values = with_balls(attacks, given_parameters(options, parameters), lambda: _standards(options))
    made = {
        "surrogate": None if options.surrogate is None else _portable(options.surrogate),
        "crafted_on": "" if options.crafted_on == NETWORK else options.crafted_on,
        "role": "claim" if options.claim else "check",
    }
    engine = (
        fastest_engine(Team().device) if options.engine == "fastest" else Engine(options.engine)
    )
    return EvaluationPlan.create(
        {
            "checkpoints": [_portable(name) for name in options.model],
            "attacks": [
                {
                    "name": ATTACKS.name_of(attack),
                    "parameters": attack.create(own).model_dump(mode="json"),
                    **made,
                }
                for attack, own in zip(attacks, values, strict=True)
            ],
            "data": None if options.data is None else _data(options),
            "split": options.split,
            "num_images": options.num_images,
            "batch_size": options.batch_size,
            "eot_samples": options.decision_samples,
            "num_verdicts": options.verdicts,
            "curves": [_curve(text) for text in options.curve],
            "check_reliability": options.check,
            "precision": engine.precision,
            "compiled": engine.compiled != "no",
        }
    )


def _standards(options: Namespace) -> set[ThreatModel]:
    """Return the standard threat model of the data set, or of those of the models."""
    names = [options.data] if options.data else []
    names = names or [checkpoint_info(name).config.data.name for name in options.model]
    return {data_source(name).threat_model for name in names}


def _data(options: Namespace) -> dict[str, Any]:
    """Return the data set by name; a model's own keeps the parameters it was trained with."""
    own = checkpoint_info(options.model[0]).config.data
    return own.model_dump(mode="json") if options.data == own.name else {"name": options.data}


def _portable(name: str) -> str:
    """Return a checkpoint's name; a path is made absolute, for it outlives this directory."""
    info = checkpoint_info(name)
    return str(info.path.resolve()) if str(info.path) == info.name else info.name


def _curve(text: str) -> dict[str, Any]:
    """Return the curve that an option asks for: "num_steps=1,10,100"."""
    name, equals, values = text.partition("=")
    try:
        if not equals:
            raise ValueError
        numbers = [float(parse_value(part.strip())) for part in values.split(",")]
    except (TypeError, ValueError):
        raise InputError(
            f"--curve expects a parameter and numbers such as epsilon=0,2/255,4/255, got {text!r}"
        ) from None
    return {"parameter": name.strip(), "values": numbers}


def _draw(bar: tqdm, status: EvaluationStatus) -> None:
    bar.n = status.share
    what = [status.checkpoint, status.attack or status.phase or status.state]
    bar.set_description_str(" ".join(filter(None, what)), refresh=False)
    bar.set_postfix_str(time_left(status), refresh=False)


def _report(options: Namespace, directory: EvaluationDirectory) -> None:
    """Write what was found to stdout and to the files asked for."""
    results = directory.results()
    wanted = results.plan.check_reliability
    lines = [line for one in results.checkpoints for line in _lines(one, wanted)]
    state = directory.status().state
    lines.append(f"evaluation {directory.run_id} {state}: {directory.path}")
    if state == "stopped":
        lines.append("what is done is kept; --resume or --run goes on")
    if not options.quiet:
        sys.stdout.write("\n".join(lines) + "\n")
    if options.json is not None:
        _write(options.json, json.dumps(results.to_json(), indent=2) + "\n")
    if options.csv is not None:
        _write(options.csv, results.to_csv())


def _lines(result: CheckpointResult, wanted: bool) -> list[str]:
    clean = result.clean
    lines = [
        f"model     {result.name}",
        f"images    {clean.num_images} of {result.data}/{result.split}",
        f"clean     {share_words(clean.clean_accuracy, clean.clean_interval)}",
    ]
    for one in result.attacks:
        lines += [*_attack_lines(one), *_check_lines(one.report.findings, wanted)]
    lowest = result.lowest
    if result.attacks and (len(result.attacks) > 1 or lowest.finding is not None):
        lines += [
            f"lowest    {share_words(lowest.accuracy, lowest.interval)}, worst case of all attacks "
            f"and checks on {lowest.num_images} images",
            f"          {result.headline}",
        ]
    return [*lines, ""]


def _attack_lines(one: AttackResult) -> list[str]:
    report = one.report
    assert report.attack is not None, "a report in a list of attacks has one"
    via = f", made on {one.choice.source}" if one.choice.source else ""
    claim = ", as the paper's claim was" if one.choice.role == "claim" else ""
    lines = [
        f"attack    {attack_line(report.attack)}{via}{claim}",
        f"robust    {share_words(report.robust_accuracy, report.robust_interval)}",
        f"cost      {report.seconds:.1f} s, {report.forward_passes} forward and "
        f"{report.backward_passes} backward passes of an image",
    ]
    lines += [f"note      {note}" for note in report.notes]
    for curve in one.curves:
        points = zip(curve.values, curve.accuracies, strict=True)
        listed = ", ".join(f"{value:.4g}: {share:.1%}" for value, share in points)
        lines.append(f"curve     {curve.parameter} {listed}")
    return lines


def _check_lines(findings: Sequence[Finding], wanted: bool) -> list[str]:
    """Return what the checks of a number found; `wanted`: whether the plan asks for them."""
    if not findings:
        return [f"checks    {'not yet made' if wanted else 'not checked (--check)'}"]
    bad = [finding for finding in findings if finding.severity is not Severity.OK]
    reasons = [f"  {finding.severity:<4}    {finding.sentence}" for finding in bad]
    return [f"checks    {verdict(findings)}", *reasons]


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
