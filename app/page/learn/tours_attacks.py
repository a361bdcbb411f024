"""Tours about attacks, adversarial training and whether a defence is real."""

from app.page.learn.lesson import PGD, ImageRule, Measure, Scene, Step, Tour, answers
from robust_core.attacks.base import create_attack

STANDARD, ROBUST, MASKED = "digits-standard", "digits-pgd_at", "digits-masked"
TRADES, SPAT = "digits-trades", "digits-spat"
ATLD, IMT = "digits-atld", "digits-atld:imt"

NOISE = create_attack("random_search", norm="Linf", epsilon=0.1, num_queries=50)
FGSM = create_attack("fgsm", norm="Linf", epsilon=0.1)
TWICE = create_attack("pgd", norm="Linf", epsilon=0.2, num_steps=20)
HUGE = create_attack("pgd", norm="Linf", epsilon=0.5, num_steps=20)
LONG = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=100)
EUCLIDEAN = create_attack("pgd", norm="L2", epsilon=2.0, num_steps=20)
MARGIN = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=20, loss="margin")
BPDA = create_attack("bpda", norm="Linf", epsilon=0.1, num_steps=20)
SQUARE = create_attack("square", norm="Linf", epsilon=0.1, num_queries=100)
APGD = create_attack("apgd", norm="Linf", epsilon=0.1, num_steps=20)

PARTED = ImageRule(fooled=(STANDARD,), safe=(ROBUST,))
SEEMING = ImageRule(fooled=(STANDARD,), safe=(MASKED, ROBUST))

ADVERSARIAL = Tour(
    "What is an adversarial example?",
    "A change that you hardly see, and a model that reads another digit.",
    (
        Step(
            "A model that reads digits",
            "A classifier gives every class a probability. The class with the highest one is its "
            "answer. The model below was trained on handwriting in the ordinary way.",
            Scene("picture", (STANDARD,)),
            "How many of 60 test images does it read right?",
            answers("fewer than 80 %", 0.8, "80 to 95 %", 0.95, "more than 95 %"),
            Measure("clean_accuracy", (STANDARD,)),
            "It reads clean digits almost perfectly. That says nothing about an attacker yet.",
        ),
        Step(
            "Random noise",
            "Now every pixel may change by at most 25.5/255, a tenth of the way from black to "
            "white. Let us try 50 random changes of each image. The image falls if one of them "
            "changes the answer.",
            Scene("play", (STANDARD,), NOISE),
            "How many images stay right?",
            answers("fewer than half", 0.5, "50 to 90 %", 0.9, "more than 90 %"),
            Measure("accuracy", (STANDARD,), NOISE),
            "Random noise is harmless. There are very many directions in the space of images, and "
            "hardly any of them is dangerous.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "One step along the gradient",
            "The loss says how wrong the model is. Its gradient says how each pixel should change "
            "to make the loss grow. FGSM takes one step that way. The limit is the same as for the "
            "noise.",
            Scene("play", (STANDARD,), FGSM),
            "How many images stay right now?",
            answers("fewer than 70 %", 0.7, "70 to 90 %", 0.9, "more than 90 %, as with noise"),
            Measure("accuracy", (STANDARD,), FGSM),
            "The gradient finds a direction that noise does not find. An image that is changed "
            "little on purpose, and read wrong for it, is an adversarial example.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "Many small steps",
            "PGD takes 20 small steps and looks at the gradient anew before each. After each step "
            "it goes back into the allowed ball.",
            Scene("play", (STANDARD,)),
            "How many more images fall to PGD than to the single step?",
            answers("none", 0.02, "up to 30 points more", 0.3, "nearly all that were left"),
            Measure("attack_gap", (STANDARD,), FGSM, PGD),
            "More steps make a stronger attack. A model that withstands one step has not shown "
            "much. Move the slider of the player back to see where the model gives in.",
            before=Scene("play", (STANDARD,), FGSM),
        ),
        Step(
            "How sure is the model?",
            "The model gave the right digit a high probability before. PGD has changed the answer.",
            Scene("play", (STANDARD,)),
            "What probability is left for the right digit?",
            answers("less than 10 %", 0.1, "10 to 50 %", 0.5, "more than 50 %"),
            Measure("confidence", (STANDARD,)),
            "The model does not hesitate: it is sure of a wrong answer. High confidence is no sign "
            "that an image is safe.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "Does it fool another model?",
            "The second model was trained differently. We make each adversarial image for the "
            "first model and show it to the second one.",
            Scene("transfer", (STANDARD, ROBUST)),
            "How many of these images does the second model read right?",
            answers("fewer than half", 0.5, "50 to 80 %", 0.8, "more than 80 %"),
            Measure("accuracy", (ROBUST, STANDARD)),
            "An adversarial example is made for a model. Some fool another model, too: they "
            "transfer. This second model withstands most of them. The next tour says why.",
            before=Scene("picture", (STANDARD, ROBUST)),
        ),
    ),
    PARTED,
)

TRAINING = Tour(
    "Why adversarial training?",
    "Show a model attacked images while it learns, and it learns something else.",
    (
        Step(
            "Learn from attacked images",
            "Adversarial training attacks every image before the model learns from it. PGD "
            "adversarial training uses PGD and the ordinary loss. Both models below have the same "
            "network and saw the same digits.",
            Scene("side", (STANDARD, ROBUST)),
            "How many more images does the trained-against-PGD model keep under PGD?",
            answers("about as many", 0.05, "5 to 20 points more", 0.2, "over 20 points more"),
            Measure("accuracy_gap", (ROBUST, STANDARD)),
            "Only the training images were different, and the model withstands far more. Most "
            "other defences in this laboratory build on this one.",
            before=Scene("picture", (STANDARD, ROBUST)),
        ),
        Step(
            "Is there a price?",
            "The second model spent its effort on hard, attacked images. We now test both without "
            "an attack.",
            Scene("picture", (STANDARD, ROBUST)),
            "How many points of clean accuracy does it lose here?",
            answers("none", 0.005, "up to 10 points", 0.1, "more than 10 points"),
            Measure("clean_gap", (STANDARD, ROBUST)),
            "There is a price. On these easy digits it is small. On harder images published robust "
            "models lose more.",
        ),
        Step(
            "A larger radius",
            "The model was trained against changes of at most 25.5/255. An attacker need not keep "
            "to that. We double the radius.",
            Scene("play", (ROBUST,), TWICE),
            "How many images stay right?",
            answers("fewer than 10 %", 0.1, "10 to 60 %", 0.6, "more than 60 %"),
            Measure("accuracy", (ROBUST,), TWICE),
            "Robust always means: robust against this budget. A number without its radius says "
            "nothing.",
            before=Scene("play", (ROBUST,)),
        ),
        Step(
            "Another norm",
            "So far every pixel had its own limit (Linf). The L2 norm limits the length of the "
            "whole change instead: few pixels may change a lot. The model has never seen that.",
            Scene("play", (ROBUST,), EUCLIDEAN),
            "How many more images fall to L2 with radius 2 than to Linf with 25.5/255?",
            answers("none", 0.02, "up to 15 points", 0.15, "more than 15 points"),
            Measure("attack_gap", (ROBUST,), PGD, EUCLIDEAN),
            "Adversarial training protects against what it has seen, and less against the rest. "
            "The two radii cannot be compared; the point is that neither number speaks for both.",
            before=Scene("play", (ROBUST,)),
        ),
        Step(
            "Another recipe",
            "TRADES keeps the loss of the clean image. It adds a second term: the output on the "
            "attacked image should be close to the output on the clean one.",
            Scene("side", (TRADES, ROBUST)),
            "Which of the two withstands more of the 60 images under PGD?",
            answers(
                "PGD training, by over 5 points",
                -0.05,
                "about the same",
                0.05,
                "TRADES, by over 5 points",
            ),
            Measure("accuracy_gap", (TRADES, ROBUST)),
            "Different ways of training on attacked images end close together here. A difference "
            "of a few points on 60 images may be chance.",
            before=Scene("picture", (TRADES, ROBUST)),
        ),
    ),
    PARTED,
)

MASKING = Tour(
    "Gradient masking, and how to catch it",
    "A model can look robust because the attack is blind.",
    (
        Step(
            "A splendid number",
            "The model digits-masked rounds its input before it looks. It was trained without any "
            "attack. We attack it and the adversarially trained model with the same PGD.",
            Scene("side", (MASKED, ROBUST)),
            "Which one seems more robust?",
            answers(
                "the adversarially trained one",
                -0.02,
                "both alike",
                0.02,
                "the one that rounds",
            ),
            Measure("accuracy_gap", (MASKED, ROBUST)),
            "Should a little rounding beat real training? When a number is too good, ask whether "
            "the attack worked.",
            before=Scene("picture", (MASKED, ROBUST)),
        ),
        Step(
            "Where is the gradient?",
            "PGD follows the gradient of the loss. Rounding is flat almost everywhere: a tiny "
            "change of the input changes nothing behind it.",
            Scene("gradients", (MASKED, STANDARD)),
            "At how many of 60 images is the gradient exactly zero?",
            answers("at fewer than 10 %", 0.1, "at about half", 0.9, "at more than 90 %"),
            Measure("zero_gradient", (MASKED,)),
            "PGD stayed at its random start: it had nothing to follow. The model is not strong, it "
            "is only hard to read. That is gradient masking.",
            before=Scene("picture", (MASKED,)),
        ),
        Step(
            "Borrow another gradient",
            "We make the adversarial images for the standard model, which hides nothing. Then we "
            "show them to the model that rounds.",
            Scene("transfer", (STANDARD, MASKED)),
            "How many images does the rounding model read right?",
            answers("fewer than 60 %", 0.6, "60 to 90 %", 0.9, "more than 90 %, as under PGD"),
            Measure("accuracy", (MASKED, STANDARD)),
            "Images made for another model break it, and the attack on itself does not. A healthy "
            "model is hurt most by the attack on itself.",
            before=Scene("picture", (STANDARD, MASKED)),
        ),
        Step(
            "Step around the rounding",
            "BPDA runs the model as it is. When it computes the gradient, it acts as if the "
            "rounding were not there.",
            Scene("play", (MASKED,), BPDA),
            "How many images stay right now?",
            answers("fewer than 60 %", 0.6, "60 to 90 %", 0.9, "more than 90 %"),
            Measure("accuracy", (MASKED,), BPDA),
            "The attack that knows the trick finds the weakness at once. An attack must be adapted "
            "to the defence it tests.",
            before=Scene("play", (MASKED,)),
        ),
        Step(
            "An absurd radius",
            "Now every pixel may change by half of the way from black to white. Any image can be "
            "turned into plain grey. No model can read that.",
            Scene("surface", (MASKED,), HUGE),
            "How many images of the rounding model stay right under PGD with this radius?",
            answers("fewer than 20 %", 0.2, "20 to 80 %", 0.8, "more than 80 %"),
            Measure("accuracy", (MASKED,), HUGE),
            "If an attack cannot win with an absurd budget, the attack is broken. Look at the map: "
            "there is no smooth hill that PGD could have climbed.",
            before=Scene("picture", (MASKED,)),
        ),
        Step(
            "The checks do it for you",
            "The page Attack repeats an attack in a dozen ways and says what is suspicious.",
            Scene("doubt", (MASKED,)),
            "How many checks raise a doubt about this result?",
            answers("none", 0.5, "one or two", 2.5, "three or more"),
            Measure("alarms", (MASKED,)),
            "Several simple checks catch it, each for its own reason. One alarm is enough to ask "
            "for a better attack.",
            before=Scene("play", (MASKED,)),
        ),
    ),
    SEEMING,
)

REAL = Tour(
    "Is this defence real?",
    "Five questions to ask of any claim, each with a defence that fails or passes.",
    (
        Step(
            "1. Which attack stands behind the number?",
            "A claim is only as good as the attack behind it. Take digits-masked: it withstands "
            "PGD. BPDA knows how it works.",
            Scene("claim", (ROBUST, SPAT, MASKED)),
            "How many points does digits-masked lose from PGD to BPDA?",
            answers("fewer than 5", 0.05, "5 to 30", 0.3, "more than 30"),
            Measure("attack_gap", (MASKED,), PGD, BPDA),
            "Ask for the attack, its norm, its radius, its steps and the number of images. The "
            "table below names them for three models. Then ask whether the attack was adapted to "
            "the defence.",
            before=Scene("picture", (ROBUST, SPAT, MASKED)),
        ),
        Step(
            "2. Does an attack without gradients do better?",
            "Square changes random squares of the image and keeps what helps. It sees answers "
            "only, so hidden gradients do not stop it. PGD sees the whole model and should win.",
            Scene("play", (MASKED,), SQUARE),
            "Compare them on digits-masked: which attack leaves fewer images right?",
            answers("Square", -0.02, "both alike", 0.02, "PGD"),
            Measure("attack_gap", (MASKED,), SQUARE, PGD),
            "The blind attack beats the seeing one. Then the gradient is masked, and the number "
            "under PGD is worthless. On a healthy model it is the other way round.",
            before=Scene("play", (MASKED,)),
        ),
        Step(
            "3. Do more steps change the number?",
            "An attack that stops too early flatters the model. We give PGD 100 steps instead of "
            "20 on the adversarially trained model.",
            Scene("play", (ROBUST,), LONG),
            "How many more images fall?",
            answers("up to 2 points", 0.02, "2 to 15 points", 0.15, "more than 15 points"),
            Measure("attack_gap", (ROBUST,), PGD, LONG),
            "The number stands still, so the attack has converged. This is a good sign for the "
            "model, and a check that costs nothing but time.",
            before=Scene("play", (ROBUST,)),
        ),
        Step(
            "4. Does another loss change the number?",
            "SPAT returns cosines, all between -1 and 1. The cross-entropy of such small numbers "
            "is nearly flat. The margin loss looks only at the label and its best rival.",
            Scene("play", (SPAT,), MARGIN),
            "How many points does SPAT lose from cross-entropy to the margin loss?",
            answers("up to 1", 0.01, "1 to 15", 0.15, "more than 15"),
            Measure("attack_gap", (SPAT,), PGD, MARGIN),
            "A part of the number came from the loss, not from the model. The rest is real here. "
            "A gap of more than about 4 points calls for a closer look.",
            before=Scene("play", (SPAT,)),
        ),
        Step(
            "5. Does the attack go through the whole defence?",
            "ATLD moves every test image a little before it decides. The published attack was made "
            "on the bare network and then sent through that step. APGD goes through the step "
            "itself.",
            Scene("play", (IMT,), APGD),
            "How many points higher is the number of the published way?",
            answers("about the same", 0.03, "3 to 10", 0.1, "more than 10"),
            Measure("source_gap", (IMT, ATLD), APGD),
            "An attack that does not see the defence is a transfer attack. What counts is the "
            "worst of all attacks that you can mount.",
            before=Scene("picture", (IMT, ATLD)),
        ),
        Step(
            "All checks at once",
            "Now the adversarially trained model meets the same checks that caught digits-masked.",
            Scene("doubt", (ROBUST,)),
            "How many checks raise a doubt?",
            answers("none", 0.5, "one or two", 2.5, "three or more"),
            Measure("alarms", (ROBUST,)),
            "Nothing speaks against the result on this image. That is no proof: a stronger attack "
            "may still come. Robustness can be refuted, not shown once and for all.",
            before=Scene("play", (ROBUST,)),
        ),
    ),
    SEEMING,
)
