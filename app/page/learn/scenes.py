"""The live scenes of the guided tours: components of the other pages, on the tour's image."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import streamlit as st

from app.navigation import OTHER_PAGES, page_script
from app.page.attack.reliability_panel import show_reliability
from app.page.attack.surface_panel import show_surface
from app.page.compare.outcome import show_outcomes
from app.page.compare.transfer import show_image_transfer
from app.page.gradients.maps import show_classes, show_targets
from app.page.gradients.morph import show_morph
from app.page.hard_pairs.controls import LABELS, PAIRS, SIMILARITY, cell_keys
from app.page.hard_pairs.labels import show_labels
from app.page.hard_pairs.similarity import show_pairs, show_similarity
from app.page.latent.details import show_details
from app.page.latent.map import show_map
from app.page.latent.measure import image_path
from app.page.learn import work
from app.page.learn.lesson import Scene, SceneKind
from app.page.learn.retina_insights import SEED
from app.page.retina.decision import show_decision
from app.page.retina.network import own_settings, retinotopic_network
from app.page.retina.views import show_views
from app.page.start.checkpoint_table import checkpoint_table
from app.ui import models, outcome
from app.ui.attack_controls import AttackPlan
from app.ui.attack_link import link_state as attack_state
from app.ui.browser.pictures import Picture, picture_row
from app.ui.forms import SLIDER_END, SLIDER_STEP
from app.ui.image_picker import ChosenImage
from app.ui.kept import slider
from app.ui.units import percent
from app.ui.words import seeded_words
from robust_core.analysis.confusion import hard_pairs
from robust_core.attacks.base import Attack, attack_from
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.gradients import predict_logits
from robust_core.threat_model import Norm

Infos = Sequence[CheckpointInfo]
WITH_EPSILON = ("play", "side_by_side")  # scenes with a slider of epsilon
PICTURE_WIDTH = 224
TAB_KEY, DISCRIMINATOR = "latent.tabs", "Discriminator"
SURFACE_KEY = "attack.surface"
ATTACK, COMPARE, GRADIENTS = page_script("attack"), page_script("compare"), page_script("gradients")
RETINA, LATENT, HARD_PAIRS = page_script("retina"), page_script("latent"), page_script("hard_pairs")
START, TRAIN, ROBUSTNESS = page_script("start"), page_script("train"), page_script("robustness")
TITLES = {
    ATTACK: "Attack",
    COMPARE: "Compare",
    GRADIENTS: "Gradients",
    RETINA: "Retina",
    LATENT: "Latent space",
    HARD_PAIRS: "Hard pairs",
    START: "Start",
    TRAIN: "Train",
    ROBUSTNESS: "Robustness",
}


def show_scene(
    scene: Scene,
    infos: Infos,
    image: ChosenImage,
    hidden: Collection[str] = (),
    *,
    pictures_first: bool = False,
) -> None:
    """Draw a scene, its epsilon where it can be changed, and the link to the scene's page.

    Args:
        scene: what to draw.
        infos: the scene's checkpoints.
        image: the image of the tour.
        hidden: names of controls that are not drawn.
        pictures_first: draw the slider of epsilon below.

    Raises:
        InputError: a checkpoint or its data cannot be loaded.
    """
    first = st.container() if pictures_first else None
    if scene.kind in WITH_EPSILON and "radius" not in hidden:
        scene = _with_epsilon(scene)
    with first or st.container():
        _DRAW[scene.kind](scene, infos, image)
    if not {"links", OTHER_PAGES} & set(hidden):
        page, state = page_state(scene, infos, image)
        st.page_link(
            page,
            label=f"Open in the {TITLES[page]} page",
            icon=":material/open_in_new:",
            query_params=state,
        )


def page_state(scene: Scene, infos: Infos, image: ChosenImage) -> tuple[str, dict[str, str]]:
    """Return the page that shows a scene in full, and the query that leads to the same state."""
    first, plan = infos[0], AttackPlan(scene.attack, None)
    place = {"model": first.name, "image": str(image.image_id)}
    match scene.kind:
        case "picture" | "play" | "checks" | "surface":
            return ATTACK, attack_state(first, image, plan)
        case "side_by_side" | "transfer":
            return COMPARE, attack_state(first, image, plan) | {"with": _names(infos[1:])}
        case "gradients" | "targets" | "morph":
            view = "classes" if scene.kind == "gradients" else scene.kind
            return GRADIENTS, place | {"with": _names(infos[1:]), "view": view}
        case "views" | "predictions":
            return RETINA, place
        case "map" | "scores":
            own = {"images": str(work.MAP_IMAGES)}
            return LATENT, attack_state(first, image, plan) | own
        case "pairs" | "labels" | "similarity":
            view = {"pairs": PAIRS, "labels": LABELS, "similarity": SIMILARITY}[scene.kind]
            values = work.confusion_plan(scene.attack).model_dump(mode="json")
            words = {name: str(value) for name, value in values.items()}
            return HARD_PAIRS, {"model": first.name, "view": view} | words
        case _:
            return START, {}


def _with_epsilon(scene: Scene) -> Scene:
    """Draw the slider of epsilon and return the scene with its value, at first the step's."""
    attack = scene.attack
    linf = attack.norm is Norm.LINF
    scale, end = (255.0, SLIDER_END[Norm.LINF]) if linf else (1.0, SLIDER_END[Norm.L2])
    own = round(attack.epsilon * scale, 6)
    key = f"learn.epsilon.{','.join(scene.models)}.{seeded_words(attack)}"
    chosen = slider(
        f"Epsilon ({attack.norm}{', n/255' if linf else ''})",
        0.0,
        max(end, own),
        start=own,
        step=SLIDER_STEP[attack.norm],
        format="%g/255" if linf else "%g",
        key=key,
        keep=False,
        width=360,
        help="Changes the attack shown here; the question is about the initial value.",
    )
    if chosen == own:
        return scene
    values = attack.model_dump() | {"epsilon": chosen / scale}
    return replace(scene, attack=attack_from(attack.name, values))


def _names(infos: Infos) -> str:
    return ",".join(info.name for info in infos)


def _picture(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    label = infos[0].class_names[image.label]
    found = []
    for info in infos:
        model = models.load_model(info)
        seen = predict_logits(model, image.x[None]).softmax(dim=1)[0]
        winner = int(seen.argmax())
        answer = f"{info.class_names[winner]}, {percent(float(seen[winner]))}"
        words = f"predicts {answer}"
        alt = f"Clean image of {label}, classified by {info.name} as {answer}"
        found.append(Picture(image.x, info.name, words, alt, role="clean"))
    picture_row(
        found, label="The clean image", largest=PICTURE_WIDTH, key=f"learn.clean.{_names(infos)}"
    )
    st.caption(f"{image.image_id}, labelled {label}.")


def _play(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    trace = work.trace(infos[0], scene.attack, image)
    outcome.show_outcome(trace, infos[0])
    outcome.show_player(trace, infos[0])
    _show_attack(scene.attack, infos)


def _checks(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    trace = work.trace(infos[0], scene.attack, image)
    outcome.show_outcome(trace, infos[0])
    show_reliability(trace, infos[0])
    _show_attack(scene.attack, infos)


def _surface(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    st.session_state.setdefault(SURFACE_KEY, True)
    trace = work.trace(infos[0], scene.attack, image)
    outcome.show_outcome(trace, infos[0])
    show_surface(trace, infos[0])
    _show_attack(scene.attack, infos)


def _side_by_side(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    traces = [work.trace(info, scene.attack, image) for info in infos]
    show_outcomes(infos, traces)
    outcome.show_players(infos, traces)
    _show_attack(scene.attack, infos)


def _transfer(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    traces = [work.trace(info, scene.attack, image) for info in infos]
    show_image_transfer(infos, traces)
    _show_attack(scene.attack, infos)


def _views(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    show_views(infos[0], image, own_settings(infos[0]), SEED)


def _predictions(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    network = retinotopic_network(infos[0])
    if network is None:
        st.info(f"{infos[0].name} classifies whole images, so there are no views.")
        return
    show_decision(infos[0], network, image, own_settings(infos[0]), SEED)


def _map(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    found = work.latent(infos[0], scene.attack)
    path = image_path(infos[0], work.trace(infos[0], scene.attack, image))
    show_map(infos[0], found, path, scene.attack.seed)
    _show_attack(scene.attack, infos)


def _scores(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    st.session_state.setdefault(TAB_KEY, DISCRIMINATOR)
    show_details(infos[0], work.latent(infos[0], scene.attack), scene.attack)
    _show_attack(scene.attack, infos)


def _labels(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    found, key = work.confusion(infos[0], scene.attack), cell_keys(infos[0])[0]
    worst = hard_pairs(found.confusion().attacked_shares(), 1)
    if worst:
        st.session_state.setdefault(key, worst[0].first)
    show_labels(found, infos[0])


def _pairs(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    show_pairs(work.confusion(infos[0], scene.attack), infos[0], "all")


def _similarity(scene: Scene, infos: Infos, image: ChosenImage) -> None:
    show_similarity(work.confusion(infos[0], scene.attack), infos[0], "all")


def _show_attack(attack: Attack, infos: Infos) -> None:
    st.caption(f"{', '.join(info.name for info in infos)}: {seeded_words(attack)}.")


_DRAW: dict[SceneKind, Callable[[Scene, Infos, ChosenImage], None]] = {
    "picture": _picture,
    "play": _play,
    "checks": _checks,
    "surface": _surface,
    "side_by_side": _side_by_side,
    "transfer": _transfer,
    "gradients": lambda scene, infos, image: show_classes(infos, image),
    "targets": lambda scene, infos, image: show_targets(infos, infos, image),
    "morph": lambda scene, infos, image: show_morph(infos, image),
    "views": _views,
    "predictions": _predictions,
    "map": _map,
    "scores": _scores,
    "pairs": _pairs,
    "labels": _labels,
    "similarity": _similarity,
    "card_table": lambda scene, infos, image: checkpoint_table(infos, "learn.cards"),
}
