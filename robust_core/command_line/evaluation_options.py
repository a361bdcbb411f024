"""The options of `evaluate`, and the plan that they ask for."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robust_core.attacks.base import ATTACKS, Attack
from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.command_line.options import (
    Parser,
    add_parameters,
    given_parameters,
    parse_value,
    positive,
)
from robust_core.command_line.selection import with_threat_models
from robust_core.command_line.work import add_work_options
from robust_core.config.attack_run import SAME_NETWORK
from robust_core.data import data_source
from robust_core.errors import InputError
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.evaluation_runs.quick import quick_plan
from robust_core.evaluation_runs.subjects import default_attacks
from robust_core.parameters import Parameters
from robust_core.threat_model import ThreatModel

NETWORK = "network"  # what --surrogate-mode calls the base network


def evaluation_parser(arguments: list[str]) -> tuple[Parser, type[Parameters]]:
    """Return a parser with the options that the attacks named in `arguments` have in common."""
    chooser = Parser(add_help=False)
    _add_model(chooser)
    _add_attack(chooser)
    _add_quick(chooser)
    names = _names(chooser.parse_known_args(arguments)[0])
    parser = Parser(
        command="evaluate",
        description="Measure clean accuracy and robust accuracy under attacks. Results are saved "
        "after every batch: Ctrl-C or SIGTERM stops, --resume continues. Under torchrun, several "
        "processes share the work. --attack NAME --help shows the parameters of that attack; with "
        "several attacks, only parameters that all of them have can be set. Norm and epsilon "
        "default to the standard threat model of the data set; attacks with a fixed norm or "
        "epsilon keep theirs.",
    )
    _add_model(parser)
    _add_attack(parser)
    parser.add_argument("--plan", type=Path, metavar="FILE", help="evaluation plan (JSON)")
    parser.add_argument("--data", help="data set (default: the training data set of the model)")
    parser.add_argument("--split", default="test", help="split of the data set (default test)")
    parser.add_argument(
        "--num-images",
        type=positive,
        metavar="N",
        help="evaluate a stratified sample of N images (default all)",
    )
    parser.add_argument("--batch-size", type=positive, default=128, help="batch size (default 128)")
    parser.add_argument(
        "--decision-samples",
        type=positive,
        default=1,
        metavar="N",
        help="forward passes averaged per prediction, for stochastic models (default 1)",
    )
    parser.add_argument(
        "--num-repeats",
        type=positive,
        default=1,
        metavar="N",
        help="repeated evaluations per image of a stochastic model, all of which must be correct "
        "(default 1)",
    )
    parser.add_argument(
        "--surrogate",
        metavar="NAME",
        help="surrogate: the checkpoint that the attack is computed on",
    )
    parser.add_argument(
        "--surrogate-mode",
        metavar="MODE",
        help="surrogate: compute the attack on this inference mode of the same network, or on the "
        "base network (network), as some papers did; --model names the evaluated model, e.g. "
        "digits-atld:imt",
    )
    parser.add_argument(
        "--claim",
        action="store_true",
        help="mark the attack as the evaluation that the paper of the method reports",
    )
    parser.add_argument(
        "--curve",
        action="append",
        default=[],
        metavar="NAME=LIST",
        help="measure accuracy as a function of an attack parameter, e.g. epsilon=0,2/255,4/255, "
        "num_steps=1,10,100, num_restarts=1,5,10, eot_samples=1,5,20; may be repeated",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="run the reliability checks (masked gradients, weak attacks)",
    )
    _add_quick(parser)
    parser.add_argument(
        "--acceleration",
        choices=["reference", "float32", "bfloat16", "fastest"],
        default="float32",
        help="acceleration of the attacks (default float32); fastest: what is the fastest for "
        "this network here, measured once; every success is confirmed in float32",
    )
    add_work_options(parser, kind="evaluation")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the results to this file (JSON)"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write one row per image to this file (CSV)"
    )
    parameters = _common([ATTACKS.get(name) for name in names])
    add_parameters(parser, parameters)
    return parser, parameters


def _add_model(parser: Parser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="checkpoint: a name or a .safetensors file; may be repeated",
    )


def _add_attack(parser: Parser) -> None:
    parser.add_argument(
        "--attack",
        action="append",
        default=[],
        metavar="NAME",
        help="attack, or none; may be repeated (default pgd; adaptive for stochastic models and "
        "test-time defences)",
    )


def _add_quick(parser: Parser) -> None:
    parser.add_argument(
        "--quick",
        action="store_true",
        help="quick verdict in about two minutes: PGD on a few images, its checks, the cheap ones "
        "first, until the first that fails, then the adaptive attack with a time limit",
    )


def _names(options: Namespace) -> list[str]:
    if options.quick:
        return ["pgd", "adaptive"]
    if options.attack:
        return [] if options.attack == ["none"] else options.attack
    return list(default_attacks([checkpoint_info(name) for name in options.model]))


def _common(attacks: list[type[Attack]]) -> type[Parameters]:
    """Return parameters that the attacks share: of the only one, else norm, epsilon, seed."""
    if not attacks:
        return Parameters
    return attacks[0] if len(attacks) == 1 else Attack


def evaluation_plan(options: Namespace, parameters: type[Parameters]) -> EvaluationPlan | None:
    """Return what the options ask for; None where they do not say.

    Raises:
        InputError: they contradict each other, or name something unknown.
    """
    if options.plan is not None:
        if options.model or options.attack or options.quick:
            raise InputError("evaluate takes --plan, or --model and --attack, not both")
        return EvaluationPlan.from_json(options.plan)
    if options.quick and options.attack:
        raise InputError("evaluate takes --quick, which has its own attacks, or --attack, not both")
    if not options.model:
        return None
    attacks = [ATTACKS.get(name) for name in _names(options)]
    values = with_threat_models(
        attacks, given_parameters(options, parameters), lambda: _standards(options)
    )
    if options.quick:
        return _quick_plan(options, values[0])
    made = {
        "surrogate": _surrogate(options),
        "role": "claim" if options.claim else "check",
    }
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
            "num_repeats": options.num_repeats,
            "curves": [_curve(text) for text in options.curve],
            "check_reliability": options.check,
            "precision": options.acceleration,
        }
    )


def _quick_plan(options: Namespace, values: Mapping[str, Any]) -> EvaluationPlan:
    """Return the quick verdict under the norm, epsilon and seed of `values`."""
    infos = [checkpoint_info(_portable(name)) for name in options.model]
    attack = ATTACKS.get("pgd").create(values)
    plan = quick_plan(infos, attack.threat_model, seed=attack.seed)
    return plan if options.num_images is None else plan.with_images(options.num_images)


def _surrogate(options: Namespace) -> str | None:
    """Return what the attacks are computed on, as `AttackRun.surrogate` names it."""
    if options.surrogate_mode is None:
        return None if options.surrogate is None else _portable(options.surrogate)
    if options.surrogate is not None:
        raise InputError("evaluate takes --surrogate or --surrogate-mode, not both")
    return SAME_NETWORK + ("" if options.surrogate_mode == NETWORK else options.surrogate_mode)


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
