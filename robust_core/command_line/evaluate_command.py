"""`python -m robust_core evaluate`."""

from argparse import Namespace
from collections.abc import Callable

import torch
from tqdm import tqdm

from robust_core.command_line.evaluation_options import evaluation_parser, evaluation_plan
from robust_core.command_line.evaluation_report import write_report
from robust_core.command_line.main import WRONG_INPUT
from robust_core.command_line.work import Work, time_left, watched
from robust_core.distributed import process_group
from robust_core.errors import InputError
from robust_core.evaluation_runs.directory import EvaluationDirectory, EvaluationStatus
from robust_core.evaluation_runs.evaluator import run_evaluation
from robust_core.evaluation_runs.plan import EvaluationPlan
from robust_core.parameters import Parameters

BAR = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}{postfix}]"
WORK = Work(
    EvaluationDirectory,
    plan="a plan",
    missing="evaluate needs --model, --plan, --run or --resume",
)


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Evaluate, write a report and return the exit code."""
    parser, parameters = evaluation_parser(arguments)
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    with process_group() as group:
        directory, plan = group.agree(lambda: _directory_and_plan(options, parameters))
        try:
            with watched(options, group, BAR, _draw) as on_progress:
                run_evaluation(
                    plan, directory, group=group, should_stop=terminated, on_progress=on_progress
                )
        except InputError:
            if not options.quiet:
                raise
            return WRONG_INPUT  # the evaluation's log has the sentence
        if group.is_main:
            write_report(options, directory)
    return 0


def _directory_and_plan(
    options: Namespace, parameters: type[Parameters]
) -> tuple[EvaluationDirectory, EvaluationPlan]:
    directory = WORK.directory(options, lambda: evaluation_plan(options, parameters))
    return directory, directory.plan()


def _draw(bar: tqdm, status: EvaluationStatus) -> None:
    bar.n = status.share
    what = [status.checkpoint, status.attack or status.phase or status.state]
    bar.set_description_str(" ".join(filter(None, what)), refresh=False)
    bar.set_postfix_str(time_left(status), refresh=False)
