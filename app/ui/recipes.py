"""Lines that make a result of a page again outside the browser: in Python, or as a command.

They are made from the objects that the page itself ran. Knows no streamlit.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any

from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.parameters import Parameters

COMMAND = "robust-lab"
WIDTH = 88  # letters in a line


@dataclass(frozen=True)
class Recipe:
    """How to make a result again: lines of Python; a command, or "" where there is none."""

    python: str
    command: str = ""


def recipe(lines: Sequence[str], *imports: str, command: str = "") -> Recipe:
    """Return lines of Python behind their imports, `robust_core` as rc among them."""
    head = ["import robust_core as rc", *sorted(imports)]
    return Recipe("\n".join([*head, "", *lines]) + "\n", command)


def model_line(info: CheckpointInfo, name: str = "model") -> str:
    """Return the line that loads a model."""
    return f"{name} = rc.load_model({info.name!r})"


def data_line(info: CheckpointInfo, split: str = "test", name: str = "data") -> str:
    """Return the line that loads a split of the data set of a model, as in its training."""
    choice = info.config.data
    values = [repr(choice.name), f"split={split!r}"]
    if choice.parameters:
        values.append(f"parameters={choice.parameters!r}")
    if split in ("train", "validation") and choice.seed:
        values.append(f"seed={choice.seed}")
    return f"{name} = rc.load_data({', '.join(values)})"


def sample_line(info: CheckpointInfo, number: int) -> str:
    """Return the line that loads a stratified sample of the test images."""
    return f"{data_line(info)}.sample({number})"


def image_lines(info: CheckpointInfo, image_id: str) -> list[str]:
    """Return the lines that load an image x [C,H,W] and its label y."""
    _, split, index = image_id.rsplit("/", 2)
    return [
        data_line(info, split),
        f"i = data.index.tolist().index({index})",
        "x, y = data.x[i], int(data.y[i])",
    ]


def attack_line(attack: Attack) -> str:
    """Return the line that creates an attack: threat model, seed, and what is not a default."""
    return f"attack = {call('rc.create_attack', [repr(attack.name)], _told(attack))}"


def call(function: str, values: Sequence[str], named: Mapping[str, Any]) -> str:
    """Return a call, over several lines where it is long."""
    parts = [*values, *(f"{name}={value!r}" for name, value in named.items())]
    line = f"{function}({', '.join(parts)})"
    if len(line) <= WIDTH - len("attack = "):
        return line
    return f"{function}(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def trace_recipe(
    info: CheckpointInfo, image_id: str, position: int, attack: Attack, target: int | None
) -> Recipe:
    """Return an attack on one image.

    Args:
        info: the attacked model.
        image_id: a stable name such as "digits/test/17".
        position: of the image in its split.
        attack: the attack.
        target: the class to reach; None: untargeted.
    """
    split = image_id.rsplit("/", 2)[1]
    more = "" if target is None else f", target={target}"
    lines = [
        *image_lines(info, image_id),
        model_line(info),
        attack_line(attack),
        f"trace = trace_attack(model, x, y, attack{more})",
        "print(trace.clean_prediction, trace.prediction, trace.distance)",
    ]
    words = [COMMAND, "attack", attack.name, "--model", info.name]
    words += ["--split", split, "--index", str(position)]
    if target is not None:
        words += ["--target", info.class_names[target]]
    for name, value in _told(attack).items():
        words += _option(name, value)
    imported = "from robust_core.evaluation.trace import trace_attack"
    return recipe(lines, imported, command=shlex.join(words))


def evaluation_recipe(plan: Parameters) -> Recipe:
    """Return an evaluation by an `EvaluationPlan`."""
    values = plan.model_dump(mode="json", exclude_defaults=True)
    lines = [
        f"plan = EvaluationPlan.create({_literal(values)})",
        "results = run_evaluation(plan).results()",
        "for one in results.checkpoints:",
        "    print(one.name, one.clean.clean_accuracy, one.worst_case_accuracy)",
    ]
    imported = "from robust_core.evaluation_runs import EvaluationPlan, run_evaluation"
    command = _with_file("plan.json", values, [COMMAND, "evaluate", "--plan", "plan.json"])
    return recipe(lines, imported, command=command)


def training_recipe(config: Parameters) -> Recipe:
    """Return a training by a `RunConfig`."""
    values = config.model_dump(mode="json", exclude_defaults=True)
    lines = [
        f"config = rc.RunConfig.create({_literal(values)})",
        "run = rc.train(config)",
        "last = run.metrics()[-1]",
        "print(last.clean_accuracy, last.robust_accuracy)",
    ]
    command = _with_file("config.json", values, [COMMAND, "train", "config.json"])
    return recipe(lines, command=command)


def parameters_line(name: str, value: Parameters) -> str:
    """Return the line that creates a parameter model, with what is not a default."""
    values = value.model_dump(mode="json", exclude_defaults=True)
    return f"{name} = {type(value).__name__}.create({_literal(values)})"


def _told(attack: Attack) -> dict[str, Any]:
    always = [name for name in ("norm", "epsilon", "seed") if name in type(attack).model_fields]
    values = attack.model_dump(mode="json", include=set(always))
    return {name: values[name] for name in always} | attack.model_dump(
        mode="json", exclude_defaults=True, exclude=set(always)
    )


def _option(name: str, value: Any) -> list[str]:
    option = name.replace("_", "-")
    match value:
        case bool():
            return [f"--{option}" if value else f"--no-{option}"]
        case None:
            return [f"--{option}", "none"]
        case list() | dict():
            return [f"--{option}", json.dumps(value)]
        case _:
            return [f"--{option}", str(value)]


def _literal(values: Any) -> str:
    text = pformat(values, width=WIDTH, sort_dicts=False)
    return text if "\n" not in text else "\n    " + text.replace("\n", "\n    ") + "\n"


def _with_file(name: str, values: Any, command: Sequence[str]) -> str:
    text = json.dumps(values, indent=2)
    return f"cat > {name} <<'END'\n{text}\nEND\n{shlex.join(command)}"
