"""Reveals of the guided tours that look inside: gradients, checks, views, features and pairs."""

import torch

from app.page.gradients import measure as gradients_work
from app.page.hard_pairs import measure as hard_pairs
from app.page.hard_pairs.measure import Study
from app.page.latent.survey import distances
from app.page.learn.lesson import Measure
from app.page.learn.work import (
    Measured,
    each_model,
    model_name,
    new_check,
    sampled_images,
    study,
    study_plan,
    survey,
    trace,
)
from app.page.retina.sampling import decide, look, own_settings, retinotopic_network
from app.ui import cached, honesty
from app.ui.finding_words import check_title
from app.ui.image_picker import ChosenImage
from app.ui.units import count_words, percent
from app.ui.words import attack_words, seeded_words
from robust_core.analysis.hard_classes import rank_correlation
from robust_core.checkpoints.catalog import CheckpointInfo
from robust_core.errors import InputError
from robust_core.evaluation.finding import Severity
from robust_core.gradients import input_gradient
from robust_core.losses import cross_entropy
from robust_core.models.discriminator import detection_auroc

NUM_PASSES = 20  # of a random model over one image
MORPH_RADIUS = 6.0
SEED = 0  # of the views of a random model


def confidence(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the probability of the label after the attack on the image."""
    found = trace(infos[0], wanted.attack, image)
    name = infos[0].class_names[image.label]
    before, after = float(found.clean[image.label]), float(found.adversarial[image.label])
    return Measured(
        after,
        f"{model_name(infos[0])} gives {name} **{percent(before)}** before and "
        f"**{percent(after)}** after the attack on {image.image_id}: "
        f"{seeded_words(wanted.attack)}.",
    )


def zero_gradient(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the share of images at which the gradient is exactly zero."""
    model = cached.load_model(infos[0])
    images = cached.load_images(infos[0]).sample(wanted.number)
    with cached.heavy_work(new_check()):
        found = input_gradient(model, images.x, lambda logits: cross_entropy(logits, images.y))
    share = float((found.gradient.flatten(1).abs().amax(dim=1) == 0).double().mean())
    return Measured(
        share,
        f"The gradient of {model_name(infos[0])} is exactly zero, in every pixel, at "
        f"**{percent(share)}** of {sampled_images(wanted.number)} (gradient of the cross-entropy).",
    )


def alarms(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return how many checks of the attack on the image raise a doubt or an alarm."""
    findings = honesty.check(
        infos[0],
        trace(infos[0], wanted.attack, image),
        check_current=new_check(),
        on_share=lambda share: None,
    )
    raised = [finding for finding in findings if finding.severity is not Severity.OK]
    titles = ": " + ", ".join(check_title(finding).lower() for finding in raised) if raised else ""
    return Measured(
        float(len(raised)),
        f"**{len(raised)} of {len(findings)} checks** of {model_name(infos[0])} on "
        f"{image.image_id} raise a doubt or an alarm{titles}. {seeded_words(wanted.attack)}.",
    )


def alignment_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the alignment with class means of the first model minus that of the second."""
    means = [
        gradients_work.sample_alignment(info, "CM", None, wanted.number).mean for info in infos
    ]
    told = each_model(infos, [f"{mean:+.3f}" for mean in means])
    return Measured(
        means[0] - means[1],
        f"Mean cosine of gradient and direction to the class mean: {told}. "
        f"{wanted.number} random test images, all classes, seed {gradients_work.SEED}.",
    )


def morph_gap(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return how much surer the first model is of its morphs than the second."""
    shares = []
    for info in infos:
        _, found = gradients_work.morph(info, image.x, image.label, MORPH_RADIUS)
        shares.append(float(found.diagonal().mean()))
    told = each_model(infos, [percent(share) for share in shares])
    return Measured(
        shares[0] - shares[1],
        f"Mean probability of the wanted class at the end: {told}. Targeted PGD, L2 "
        f"{MORPH_RADIUS:g}, {gradients_work.MORPH_STEPS} steps, no random start, {image.image_id}, "
        "every class once.",
    )


def kept(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the share of pixels that the masks of a pass keep."""
    settings = own_settings(infos[0])
    glances = look(image.x, settings, None, SEED)
    share = sum(glance.keep_ratio for glance in glances) / len(glances)
    return Measured(
        share,
        f"The masks of {model_name(infos[0])} keep **{100 * share:.1f} %** of the pixels: "
        "mean over "
        f"{count_words(len(glances), 'view')} of {count_words(settings.num_samples, 'sample')}, "
        f"seed {SEED}.",
    )


def indecision(wanted: Measure, infos: list[CheckpointInfo], image: ChosenImage) -> Measured:
    """Return the share of passes over the attacked image that differ from the majority."""
    network = retinotopic_network(infos[0])
    if network is None:
        raise InputError(f"{infos[0].name} should look through a retina, but sees whole images")
    attacked = torch.from_numpy(trace(infos[0], wanted.attack, image).x_adv)
    with cached.heavy_work(new_check()):
        found = decide(network, attacked, network.settings, None, SEED, NUM_PASSES)
    answers = found.decision.argmax(dim=1)
    share = float((answers != answers.mode().values).double().mean())
    return Measured(
        share,
        f"**{round(share * NUM_PASSES)} of {NUM_PASSES} passes** of {model_name(infos[0])} over "
        f"the attacked {image.image_id} decide otherwise than most: {seeded_words(wanted.attack)}; "
        f"views from seed {SEED}.",
    )


def drift(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return how many times as far an attack moves the mean feature as noise does."""
    found = survey(infos[0], wanted.attack)
    moved, noise = distances(found, "adversarial")[0], distances(found, "noisy")[0]
    times = moved.drift / max(noise.drift, 1e-12)
    return Measured(
        times,
        f"Under attack the mean feature of {model_name(infos[0])} moves **{times:.1f} times** as "
        f"far as under random noise of the same size ({moved.drift:.3g} and {noise.drift:.3g}). "
        f"{seeded_words(wanted.attack)}, {sampled_images(len(found.images))}.",
    )


def overlap_gap(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the share of clean neighbours kept under attack, first minus second model."""
    found = [survey(info, wanted.attack) for info in infos]
    shares = [distances(one, "adversarial")[0].overlap for one in found]
    told = each_model(infos, [percent(share) for share in shares])
    return Measured(
        shares[0] - shares[1],
        f"Share of its 10 nearest clean neighbours that an attacked image keeps: {told}. "
        f"{seeded_words(wanted.attack)}, {sampled_images(len(found[0].images))}.",
    )


def detection(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return how well the discriminator tells clean from attacked images, as AUROC."""
    found = survey(infos[0], wanted.attack)
    if not found.scores:
        raise InputError(f"{infos[0].name} should have a discriminator, but has none")
    area = detection_auroc(found.scores["clean"], found.scores["adversarial"])
    return Measured(
        area,
        f"AUROC **{area:.2f}**: in {percent(area)} of all pairs the discriminator of "
        f"{model_name(infos[0])} finds the clean image more natural than the attacked one. "
        f"{seeded_words(wanted.attack)}, {sampled_images(len(found.images))}.",
    )


def top_share(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the share of errors in the commonest wrong class of each class."""
    found = study(infos[0], wanted.attack)
    errors = found.confusion().attacked.clone().fill_diagonal_(0)
    total = max(int(errors.sum()), 1)
    share = int(errors.max(dim=1).values.sum()) / total
    return Measured(
        share,
        f"Of {count_words(total, 'wrong answer')} under attack **{percent(share)}** fall into the "
        f"commonest wrong class of their digit. {_study_words(found, infos[0])}",
    )


def agreement(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return how often the untargeted attack ends where a targeted one gets furthest."""
    plan = study_plan(wanted.attack, wanted.number)
    nothing = {"check": new_check(), "on_share": lambda share: None}
    targeted = hard_pairs.known_targeted(infos[0], plan) or hard_pairs.run_targeted(
        infos[0], plan, **nothing
    )
    free = hard_pairs.known_study(infos[0], plan) or hard_pairs.run_study(infos[0], plan, **nothing)
    fallen = free.attacked != free.images.y
    agrees = (targeted.lead.argmax(dim=1) == free.attacked)[fallen]
    share = float(agrees.double().mean()) if len(agrees) else 0.0
    return Measured(
        share,
        f"**{int(agrees.sum())} of {len(agrees)} fallen images** end in the class that a targeted "
        f"attack reaches best, {percent(share)}. {_study_words(free, infos[0])}",
    )


def similarity(wanted: Measure, infos: list[CheckpointInfo], _: ChosenImage) -> Measured:
    """Return the rank correlation of class similarity and confusion."""
    found = study(infos[0], wanted.attack)
    if found.weight_similarity is None:
        raise InputError(f"{infos[0].name} should have class weights, but has none")
    value = rank_correlation(found.weight_similarity, found.confusion().attacked_shares())
    return Measured(
        value,
        f"Spearman's rank correlation **{value:+.2f}** between the similarity of two classes' "
        f"weights and the share of one taken for the other. {_study_words(found, infos[0])}",
    )


def _study_words(found: Study, info: CheckpointInfo) -> str:
    plan = found.plan
    words = attack_words("pgd", plan.model_dump(include={"norm", "epsilon", "num_steps"}))
    return (
        f"{model_name(info)}, {words}, from the image itself (nothing random), "
        f"{sampled_images(len(found.images))}."
    )
