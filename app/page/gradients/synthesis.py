"""Synthesis: every class drawn by the gradient of each model, from a seed or into a hole."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from app.page.gradients import charts, measure
from app.page.gradients.controls import offer, seconds, short_name, wanted, warn_of_masking
from app.page.gradients.morph import EPSILON, EPSILON_KEY, LARGEST
from app.ui import cached
from app.ui.image_picker import ChosenImage
from app.ui.units import percent
from robust_core.analysis.synthesis import class_seeds, generate, inpaint, with_hole
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.gradients import predict_logits
from robust_core.models.base import Classifier

TASK_KEY, SEED_KEY = "gradients.task", "gradients.seed"
TASKS = {"seed": "From a seed", "hole": "Fill a hole"}
NUM_STEPS = 40
LARGEST_SEED = 9999
SOURCE = (
    "After Santurkar et al., “Image Synthesis with a Single (Robust) Classifier”, NeurIPS 2019, "
    "arXiv:1906.09453. The pictures show what a model knows; they measure no robustness."
)


def show_synthesis(models: Sequence[CheckpointInfo], image: ChosenImage) -> None:
    """Draw where each class began and what every model made of it, classes in columns."""
    task, seed, epsilon = _controls()
    warn_of_masking(models)
    names, labels = models[0].class_names, [info.name for info in models]
    asked = (task, seed, epsilon, image.image_id or image.x.sum().item(), *labels)
    if wanted("Draw", seconds(models, NUM_STEPS * len(names), len(names)), "gradients.draw"):
        st.session_state["gradients.drawn"] = asked
    if st.session_state.get("gradients.drawn") != asked:
        st.info("Press Draw to follow the gradient of every class.")
        return
    start = _seeds(models[0], seed) if task == "seed" else image.x.expand(len(names), -1, -1, -1)
    found = [_lead(info, start, task, epsilon) for info in models]
    hole = hole_of(start)
    first = start if task == "seed" else with_hole(start, hole)
    tiles = np.stack([first.numpy(), *(x for x, _ in found)]).transpose(0, 1, 3, 4, 2)
    reached = np.stack([probabilities.diagonal() for _, probabilities in found])  # [R, K]
    words = charts.Words(
        ["Beginning", *(short_name(info) for info in models)],
        list(names),
        [[""] * len(names), *([percent(float(share)) for share in row] for row in reached)],
    )
    st.plotly_chart(
        charts.picture_grid(tiles, words),
        config={"displayModeBar": False},
        key="gradients.synthesis",
        alt=f"{TASKS[task]}: pictures of every class. Mean probability of the wanted class: "
        + ", ".join(
            f"{short_name(info)} {row.mean():.0%}"
            for info, row in zip(models, reached, strict=True)
        ),
    )
    st.caption(
        f"{_begun(task, seed)} Then {NUM_STEPS} steps of {2.5 * epsilon / NUM_STEPS:.2g} along the "
        f"gradient of log p(class), within L2 {epsilon:g} of the beginning. Under each tile: how "
        f"sure the model is of the class. {SOURCE}"
    )
    data = measure.npz(
        pictures=tiles, probability=reached, models=np.array(labels), epsilon=epsilon, seed=seed
    )
    offer(data, charts.picture_bytes(tiles), "synthesis")


def hole_of(x: Tensor) -> Tensor:
    """Return the hole of images [.,.,H,W]: the middle half of both sides, bool [H,W]."""
    height, width = x.shape[-2:]
    hole = torch.zeros(height, width, dtype=torch.bool)
    hole[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return hole


def _controls() -> tuple[str, int, float]:
    """Draw the choice of task, seed and radius, and return them."""
    st.session_state.setdefault(TASK_KEY, "seed")
    st.session_state.setdefault(SEED_KEY, 0)
    st.session_state.setdefault(EPSILON_KEY, EPSILON)
    left, middle, right = st.columns([1.2, 1, 2])
    task = left.segmented_control(
        "Task",
        list(TASKS),
        format_func=TASKS.__getitem__,
        key=TASK_KEY,
        required=True,
        persist_state="session",
    )
    seed = middle.number_input(
        "Seed",
        0,
        LARGEST_SEED,
        key=SEED_KEY,
        persist_state="session",
        disabled=task != "seed",
        help="Of the draw from the Gaussian of each class.",
    )
    epsilon = right.slider(
        "Radius (L2, pixels in [0, 1])",
        0.0,
        LARGEST,
        step=0.5,
        key=EPSILON_KEY,
        persist_state="session",
        help="How far the picture may move from where it began.",
    )
    return str(task), int(seed), float(epsilon)


def _begun(task: str, seed: int) -> str:
    if task == "seed":
        return (
            f"Each class begins at a draw from the Gaussian of its training images (seed {seed})."
        )
    return "Each class begins at the image without its middle, which alone may change."


def _seeds(info: CheckpointInfo, seed: int) -> Tensor:
    train = cached.load_images(info, "train")
    generator = torch.Generator().manual_seed(seed)
    return class_seeds(train.x, train.y, torch.arange(train.num_classes), generator)


def _lead(
    info: CheckpointInfo, start: Tensor, task: str, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures [K,C,H,W] and the model's probabilities [K,K]."""
    pixels = start.contiguous().numpy().tobytes()
    model = cached.load_model(info)
    return _led(info.digest, info.name, pixels, task, epsilon, model, start.contiguous())


@st.cache_data(max_entries=64, show_spinner=False)
def _led(
    digest: str,
    name: str,
    pixels: bytes,
    task: str,
    epsilon: float,
    _model: Classifier,
    _start: Tensor,
) -> tuple[np.ndarray, np.ndarray]:
    check = cached.latest_only("gradients").begin()
    classes = torch.arange(len(_start))
    steps = {
        "epsilon": epsilon,
        "step_size": 2.5 * epsilon / NUM_STEPS,
        "num_steps": NUM_STEPS,
        "on_step": lambda step: check(),
    }
    with cached.heavy_work(check):
        if task == "seed":
            x = generate(_model, _start, classes, **steps)
        else:
            x = inpaint(_model, _start, hole_of(_start), classes, **steps)
        return x.numpy(), predict_logits(_model, x).softmax(dim=1).numpy()
