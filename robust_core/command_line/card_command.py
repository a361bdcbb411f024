"""`python -m robust_core card`."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from robust_core.checkpoints.card import Card
from robust_core.checkpoints.catalog import checkpoint_info, load_trained, save_checkpoint
from robust_core.checkpoints.file import rounded_to_half
from robust_core.command_line import PROGRAM
from robust_core.command_line.options import Parser, configuration, positive
from robust_core.config.imported import ImportConfig
from robust_core.config.run import RunConfig
from robust_core.distributed import ProcessGroup
from robust_core.errors import InputError
from robust_core.training.evaluator import measure_card


def run(arguments: list[str], terminated: Callable[[], bool]) -> int:
    """Measure a card again, write it into its checkpoint and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    info = checkpoint_info(options.checkpoint)
    if info.inference:
        raise InputError(f"a card is of a whole checkpoint, got the inference {options.checkpoint}")
    config = info.config
    if isinstance(config, ImportConfig):
        raise InputError(
            f"{info.name} was not trained here, so no recipe says what its card holds; measure it "
            f"with {PROGRAM} evaluate --model {info.name}"
        )
    if options.recipe is not None:
        recipe = RunConfig.from_json(options.recipe)
        config = config.model_copy(update={"evaluation": recipe.evaluation})
        if recipe != config:
            raise InputError(
                f"{options.recipe} is no recipe of {info.name}: but for its evaluation it should "
                "be what the checkpoint was trained with"
            )
    _with_notes(info.card, options.note)  # what cannot be written is refused before the work
    model, method = load_trained(info.path)
    assert method is not None, "what a run has made has a method"

    def save(path: Path, card: Card) -> None:
        save_checkpoint(
            path,
            model,
            config=config,
            method=method,
            class_names=info.class_names,
            epoch=info.epoch,
            card=card,
        )

    try:
        with TemporaryDirectory() as folder:
            measured = info.path
            if options.half:
                for part in (model, method):
                    for weights in part.parameters():
                        weights.copy_(rounded_to_half(weights))
                measured = Path(folder) / info.path.name
                save(measured, info.card)
            card = measure_card(measured, config, info.epoch, device=ProcessGroup().device)
        card = _with_notes(card, options.note)
        save(options.output or info.path, card)
    except OSError as error:
        raise InputError(f"the checkpoint cannot be written: {error.strerror}") from None
    sys.stdout.write(f"{info.name}: {card.headline()}\n")
    return 0


def _with_notes(card: Card, notes: list[str]) -> Card:
    return Card.create(card.model_dump() | {"notes": (*card.notes, *notes)})


def _parser() -> Parser:
    parser = Parser(
        command="card",
        description="Measure the model card of a checkpoint again on test images, following the "
        "evaluation of its recipe, and write it into the checkpoint. The weights do not change, "
        "except with --half.",
    )
    parser.add_argument("checkpoint", help="name of a checkpoint, or a .safetensors file")
    parser.add_argument(
        "--recipe",
        type=configuration,
        metavar="FILE",
        help="configuration, or name of a shipped recipe, with the evaluation to run (default: "
        "that of the checkpoint)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the checkpoint to this file instead"
    )
    parser.add_argument(
        "--half",
        action="store_true",
        help="round the weights to half precision first, which halves the file; the card is of the "
        "rounded network",
    )
    parser.add_argument(
        "--note",
        action="append",
        default=[],
        metavar="SENTENCE",
        help="sentence for the card that its numbers do not say (repeatable)",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads")
    return parser
