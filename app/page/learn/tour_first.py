"""The first tour: what an adversarial example is."""

from dataclasses import replace

from app.page.learn.lesson import PGD, ImageRule, Measure, Scene, Step, Tour, answers
from app.ui.model_picker import PHOTOGRAPHS
from app.ui.words import distance_words
from robust_core.attacks.base import Attack, create_attack

STANDARD, ROBUST = "digits-standard", "digits-pgd_at"
NOISE = create_attack("random_search", norm="Linf", epsilon=0.1, num_queries=50)
FGSM = create_attack("fgsm", norm="Linf", epsilon=0.1)
DIFFERENT = ImageRule(fooled=(STANDARD,), safe=(ROBUST,))


def _invisible(model: str, about: str, attack: Attack) -> Step:
    """Return the step with a change that cannot be seen; `about` says what the model is."""
    return Step(
        "A change that nobody sees",
        "A classifier gives every class a probability. The class with the highest probability is "
        f"its prediction. {about} Now every colour value may change by at most "
        f"{distance_words(attack.norm, attack.epsilon)}. An attack chooses the change.",
        Scene("play", (model,), attack),
        "What probability is left for the correct class?",
        answers("less than 10\u00a0%", 0.1, "10 to 50\u00a0%", 0.5, "more than 50\u00a0%"),
        Measure("confidence", (model,), attack),
        "You see no difference, and the prediction collapses. An image with a small change that "
        "was made to cause a misclassification is an adversarial example. How is it found? The "
        "next steps try it on handwritten digits, where the change can be seen.",
        before=Scene("picture", (model,)),
        image=ImageRule(),
    )


_WITH_DRAWINGS = Tour(
    "What is an adversarial example?",
    "A change that you do not see, and a model that predicts something else.",
    (
        _invisible(
            "shapes-standard",
            "The model shown was trained in the standard way on drawn shapes.",
            create_attack("pgd", norm="Linf", epsilon=8 / 255, num_steps=20),
        ),
        Step(
            "A model that classifies digits",
            "The model shown was trained in the standard way, too, on handwritten digits. They are "
            "small and grey, so that everything can be tried on many of them at once.",
            Scene("picture", (STANDARD,)),
            "What share of 60 test images does it classify correctly?",
            answers("less than 80\u00a0%", 0.8, "80 to 95\u00a0%", 0.95, "more than 95\u00a0%"),
            Measure("clean_accuracy", (STANDARD,)),
            "It classifies clean digits almost perfectly. That says nothing yet about attacked "
            "images.",
        ),
        Step(
            "Random noise",
            "Now every pixel may change by at most 25.5/255, a tenth of the way from black to "
            "white. We try 50 random changes of each image. The attack succeeds if one of them "
            "changes the prediction.",
            Scene("play", (STANDARD,), NOISE),
            "What share of the images stays correct?",
            answers("less than 50\u00a0%", 0.5, "50 to 90\u00a0%", 0.9, "more than 90\u00a0%"),
            Measure("accuracy", (STANDARD,), NOISE),
            "Random noise of this size is almost harmless. The space of images has very many "
            "directions, and hardly any of them changes the prediction.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "One step along the gradient",
            "The loss measures how wrong the model is. Its gradient is the direction in which the "
            "loss increases fastest. FGSM takes one step along the sign of the gradient. The "
            "perturbation budget is the same as for the noise.",
            Scene("play", (STANDARD,), FGSM),
            "What share of the images stays correct now?",
            answers(
                "less than 70\u00a0%",
                0.7,
                "70 to 90\u00a0%",
                0.9,
                "more than 90\u00a0%, as with noise",
            ),
            Measure("accuracy", (STANDARD,), FGSM),
            "The gradient finds a direction that noise does not find. That is how adversarial "
            "examples are made.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "Many small steps",
            "PGD takes 20 small steps and computes a new gradient before each. After each step it "
            "projects the image back into the perturbation budget.",
            Scene("play", (STANDARD,)),
            "By how many percentage points is accuracy lower under PGD than under FGSM?",
            answers("less than 2 points", 0.02, "2 to 30 points", 0.3, "more than 30 points"),
            Measure("attack_gap", (STANDARD,), FGSM, PGD),
            "More steps make a stronger attack, so robustness to a single step does not show much. "
            "Move the player's slider back to see at which step the prediction changes.",
            before=Scene("play", (STANDARD,), FGSM),
        ),
        Step(
            "How sure is the model?",
            "The model gave the correct digit a high probability. PGD has changed the prediction.",
            Scene("play", (STANDARD,)),
            "What probability is left for the correct digit?",
            answers("less than 10\u00a0%", 0.1, "10 to 50\u00a0%", 0.5, "more than 50\u00a0%"),
            Measure("confidence", (STANDARD,)),
            "The model is confident in a wrong prediction. High confidence does not show that a "
            "prediction is correct.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "Does it fool another model?",
            "The second model was trained differently. We compute each adversarial example on the "
            "first model, the surrogate model, and evaluate it on the second one.",
            Scene("transfer", (STANDARD, ROBUST)),
            "What share of these images does the second model classify correctly?",
            answers("less than 50\u00a0%", 0.5, "50 to 80\u00a0%", 0.8, "more than 80\u00a0%"),
            Measure("accuracy", (ROBUST, STANDARD)),
            "An adversarial example that also fools another model transfers. The second model is "
            "robust to most of these. The next tour explains why.",
            before=Scene("picture", (STANDARD, ROBUST)),
        ),
    ),
    DIFFERENT,
)

ADVERSARIAL = replace(
    _WITH_DRAWINGS,
    rather=replace(
        _WITH_DRAWINGS,
        steps=(
            _invisible(
                PHOTOGRAPHS,
                "The model shown was trained in the standard way on photographs of 1,000 things.",
                create_attack("pgd", norm="Linf", epsilon=2 / 255, num_steps=10),
            ),
            *_WITH_DRAWINGS.steps[1:],
        ),
    ),
)
