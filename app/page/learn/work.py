"""What the guided tours compute on: reports, traces, surveys and studies, each kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
import torch

from app.page.hard_pairs import measure as hard_pairs
from app.page.hard_pairs.measure import Study, StudyPlan
from app.page.latent.survey import Survey, make_survey
from app.page.learn.lesson import NUM_IMAGES, ImageRule
from app.ui import cached
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words
from app.ui.words import use_words
from robust_core.attacks.base import Attack
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.evaluation.accuracy import RobustnessReport
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.trace import STOCHASTIC_SAMPLES, AttackTrace

MAP_IMAGES, PAIR_IMAGES = 60, 120  # of a map of features, and of a study of pairs
MOST_REPORTS = 128

Shelf = Mapping[str, CheckpointInfo]


@dataclass(frozen=True)
class Measured:
    """A computed number, and in Markdown what it is and what it rests on."""

    value: float
    words: str


def find_image(rule: ImageRule, shelf: Shelf, first: CheckpointInfo) -> ChosenImage:
    """Return the first test image that fits a rule, or the first of all.

    Args:
        rule: what the image must be like.
        shelf: the checkpoints by name.
        first: the checkpoint whose data set is shown.
    """
    images = cached.load_images(first)
    fits = torch.ones(min(NUM_IMAGES, len(images)), dtype=torch.bool)
    for names, stands in ((rule.fooled, False), (rule.safe, True)):
        for name in names:
            found = report(shelf[name], rule.attack, NUM_IMAGES)
            fits &= found.clean_correct & (found.robust_correct == stands)
    place = int(fits.int().argmax())
    return ChosenImage(images.x[place], int(images.y[place]), images.image_id(place))


def report(
    info: CheckpointInfo, attack: Attack, number: int, source: CheckpointInfo | None = None
) -> RobustnessReport:
    """Return how a sample of test images fares under an attack, computed once and kept.

    Args:
        info: the model that judges.
        attack: the attack.
        number: of images.
        source: the model that the attack is made on; None: `info` itself.
    """
    source = None if source is None or source.name == info.name else source
    places = tuple((one.digest, one.inference) for one in (info, source) if one is not None)
    key = ("report", places, attack.name, attack, number)
    found = _reports().get(key)
    if found is None:
        model = cached.load_model(info)
        images = cached.load_images(info).sample(number)
        surrogate = None if source is None else cached.load_model(source)
        with cached.heavy_work(new_check()):
            found = evaluate(
                model,
                images.x,
                images.y,
                attack,
                eot_samples=STOCHASTIC_SAMPLES if model.stochastic else 1,
                surrogate=surrogate,
            )
        _reports().put(key, found)
    return found


def trace(info: CheckpointInfo, attack: Attack, image: ChosenImage) -> AttackTrace:
    """Return the attack on the image, as the page Attack records it."""
    return cached.run_attack(info, image.x, image.label, attack, None, check=new_check())


def survey(info: CheckpointInfo, attack: Attack) -> Survey:
    """Return where a sample of test images lies, as the page Latent space maps them."""
    return make_survey(info, attack, None, MAP_IMAGES, check=new_check())


def study_plan(attack: Attack, number: int | None = None) -> StudyPlan:
    """Return the attack as the page Hard pairs makes it: PGD from the image itself.

    Args:
        attack: PGD, whose norm, radius and steps count.
        number: test images of the sample; None: as many as a study of pairs has.
    """
    values = attack.model_dump(include={"norm", "epsilon", "num_steps"})
    return StudyPlan.create(values | {"num_images": number or PAIR_IMAGES})


def study(info: CheckpointInfo, attack: Attack) -> Study:
    """Return who is taken for whom, as the page Hard pairs measures it."""
    plan = study_plan(attack)
    return hard_pairs.known_study(info, plan) or hard_pairs.run_study(
        info, plan, check=new_check(), on_share=lambda share: None
    )


def new_check() -> Callable[[], None]:
    """Return the check of new work, which ends what this session began before."""
    return cached.latest_only("learn").begin()


@st.cache_resource
def _reports() -> cached.Recent[RobustnessReport]:
    return cached.Recent(MOST_REPORTS)


def model_name(info: CheckpointInfo) -> str:
    """Return how a checkpoint is called, with the way it is used if it is not the usual one."""
    if info.inference:
        return f"{info.name.partition(':')[0]} ({use_words(info.inference)})"
    return info.name


def each_model(infos: Sequence[CheckpointInfo], numbers: Sequence[str]) -> str:
    """Return "digits-standard **42 %**, digits-pgd_at **85 %**"."""
    pairs = zip(infos, numbers, strict=True)
    return ", ".join(f"{model_name(info)} **{number}**" for info, number in pairs)


def sampled_images(number: int) -> str:
    """Return "a sample of 60 test images"."""
    return f"a sample of {count_words(number, 'test image')}"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{round(100 * difference):+d} points"
