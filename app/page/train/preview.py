"""What a run will do, before it starts: words, pictures, numbers of images, time to expect."""

import numpy as np
import streamlit as st
import torch

from app.ui import measure
from app.ui.browser.pictures import Picture, picture_row
from app.ui.forms import show_input_error
from app.ui.plain import in_markdown
from app.ui.run_link import BUDGET
from app.ui.units import capitalised, count_words, duration_words
from app.ui.words import exact_words
from robust_core.config.run import RunConfig
from robust_core.data import DataPreview, ImageSet, data_preview, data_source, load_data
from robust_core.errors import InputError
from robust_core.paths import data_folder
from robust_core.training.estimate import estimate_seconds

OPTIMISERS = {"sgd": "SGD", "adam": "Adam"}
TITLES = {"train": "Train", "validation": "Val.", "test": "Test"}
FIRST_BUDGET = "quick"  # its networks are small enough to be measured at once
LARGEST = 64  # pixels of a picture on the screen
MOST_ROWS = 12  # classes that are listed one by one
FEW_IMAGES = 30  # validation images below which an accuracy is hardly a number
WHERE = """Put one of these into the folder `{folder}` and reload this page:

- a folder with one folder of pictures for each class, or with `train`, `test` and maybe `val`, each
  with such folders;
- a file `name.npz` with `x_train`, `y_train`, `x_test`, `y_test` (pixels uint8, [N,H,W] or
  [N,H,W,C]; labels from 0) and maybe `x_val`, `y_val` and `class_names`.

It is then in the list above under its name. Everything stays on this computer."""


def say_where() -> None:
    """Offer the words on where a person's own data go."""
    with st.popover("Your own data", icon=":material/folder_open:", width="stretch"):
        st.markdown(WHERE.format(folder=data_folder()))


def describe_run(config: RunConfig) -> RunConfig | None:
    """Say what a run will do and show its data; None, with the reason, if they are of no use."""
    limit = config.evaluation.num_images
    images = "all" if limit is None else f"up to {limit:,}"
    validation, test = exact_words(config.validation_attack()), exact_words(config.test_attack())
    st.caption(
        f"{count_words(config.epochs, 'epoch')} of {config.model.name}, "
        f"{OPTIMISERS[config.optimiser.name]} at {config.optimiser.learning_rate:g}. Evaluated "
        f"after each epoch on {images} validation images under {validation}; at "
        f"the end on test images under {test}."
    )
    for warning in config.warnings():
        st.caption(f":material/warning: {in_markdown(capitalised(warning))}.")
    try:
        _show_preview(config)
    except InputError as error:
        show_input_error(error)
        return None
    return config


def _show_preview(config: RunConfig) -> None:
    """Draw what is known of the data of a run, and the time to expect.

    Raises:
        InputError: the data cannot be used, with the reason.
    """
    data = config.data
    found = data_preview(data.name, data.parameters, seed=data.seed)
    if found is not None:
        _draw(found)
    if (seconds := _seconds(config, found)) is not None:
        st.caption(
            f"Time to expect: {duration_words(seconds)} for {count_words(config.epochs, 'epoch')}, "
            "by a measurement here; longer while other work runs."
        )


def _draw(found: DataPreview) -> None:
    names, (_, channels, height, width) = found.class_names, found.x.shape
    picture_row(
        [
            Picture(
                torch.from_numpy(np.ascontiguousarray(x)) / 255.0,
                names[int(label)],
                "",
                f"The first training picture of {names[int(label)]}",
            )
            for x, label in zip(found.x, found.y, strict=True)
        ],
        label="The first picture of each class, as the network gets it",
        largest=LARGEST,
        key="train.preview",
    )
    st.caption(
        f"{count_words(len(names), 'class')}, images of {channels}×{height}×{width}. "
        "For training, validation and test: "
        + ", ".join(f"{int(count.sum()):,}" for count in found.counts.values())
        + " images."
    )
    _draw_counts(found)
    for note in found.notes:
        st.caption(in_markdown(f"{capitalised(note)}."))
    few = int(found.counts["validation"].sum())
    if few < FEW_IMAGES:
        st.warning(
            f"Only {count_words(few, 'validation image')}: each is {100 / few:.0f} points of the "
            "accuracy after an epoch, so the choice of the best epoch is hardly more than chance.",
            icon=":material/warning:",
        )


def _draw_counts(found: DataPreview) -> None:
    """Draw the number of images of each class; of many classes the extremes."""
    whole = np.stack(list(found.counts.values())).sum(axis=0)
    if len(found.class_names) > MOST_ROWS:
        low, high = int(np.argmin(whole)), int(np.argmax(whole))
        st.caption(
            f"From {int(whole[low]):,} images of {in_markdown(found.class_names[low])} to "
            f"{int(whole[high]):,} of {in_markdown(found.class_names[high])}."
        )
        return
    titles = [TITLES[split] for split in found.counts]
    counts = found.counts.values()
    rows = [
        {"Class": name} | dict(zip(titles, (int(count[k]) for count in counts), strict=True))
        for k, name in enumerate(found.class_names)
    ]
    told = "; ".join(", ".join(f"{title} {cell}" for title, cell in row.items()) for row in rows)
    st.dataframe(rows, hide_index=True, key="train.counts", alt=f"Images of each class: {told}")


def _seconds(config: RunConfig, found: DataPreview | None) -> float | None:
    """Return the time to expect; None of a set that is not on this computer."""
    if found is not None:
        _, channels, height, width = found.x.shape
        extent = ((channels, height, width), len(found.class_names))
        numbers = [int(found.counts[split].sum()) for split in ("train", "validation")]
    elif data_source(config.data.name).embedded:
        train, validation = (_embedded(config, split) for split in ("train", "validation"))
        extent = (train.image_shape, train.num_classes)
        numbers = [len(train), len(validation)]
    else:
        return None
    if BUDGET.value != FIRST_BUDGET and not st.button("Measure time", icon=":material/timer:"):
        return None
    return measure.run(
        "train.seconds",
        (config.model_dump_json(), *extent, *numbers),
        lambda _: estimate_seconds(
            config, *extent, num_images=numbers[0], num_validation=numbers[1]
        ),
        "Measuring a step of this training",
    )


def _embedded(config: RunConfig, split: str) -> ImageSet:
    data = config.data

    def load() -> ImageSet:
        return load_data(data.name, split, data.parameters, seed=data.seed)

    return measure.kept("train.embedded", (data.model_dump_json(), split), load, most=4)
