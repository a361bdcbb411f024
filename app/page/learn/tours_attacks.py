"""Tours about adversarial training, gradient masking and reliable evaluation."""

from app.page.learn.lesson import PGD, ImageRule, Measure, Scene, Step, Tour, answers
from app.page.learn.tour_first import DIFFERENT, ROBUST, STANDARD
from robust_core.attacks.base import create_attack

MASKED, TRADES, SPAT = "digits-masked", "digits-trades", "digits-spat"
ATLD, IMT = "digits-atld", "digits-atld:imt"

DOUBLE_EPSILON = create_attack("pgd", norm="Linf", epsilon=0.2, num_steps=20)
LARGE_EPSILON = create_attack("pgd", norm="Linf", epsilon=0.5, num_steps=20)
MORE_STEPS = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=100)
L2_PGD = create_attack("pgd", norm="L2", epsilon=2.0, num_steps=20)
MARGIN = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=20, loss="margin")
BPDA = create_attack("bpda", norm="Linf", epsilon=0.1, num_steps=20)
SQUARE = create_attack("square", norm="Linf", epsilon=0.1, num_queries=100)
APGD = create_attack("apgd", norm="Linf", epsilon=0.1, num_steps=20)

SEEMINGLY_ROBUST = ImageRule(fooled=(STANDARD,), safe=(MASKED, ROBUST))

TRAINING = Tour(
    "Why adversarial training?",
    "Train a model on attacked images, and it becomes more robust.",
    (
        Step(
            "Train on attacked images",
            "Adversarial training attacks every image before the model is trained on it. PGD "
            "adversarial training uses PGD and the usual cross-entropy. Both models below have the "
            "same architecture and the same training digits.",
            Scene("side_by_side", (STANDARD, ROBUST)),
            "How much higher is the accuracy of the adversarially trained model under PGD?",
            answers("less than 5 points", 0.05, "5 to 20 points", 0.2, "more than 20 points"),
            Measure("accuracy_gap", (ROBUST, STANDARD)),
            "Only the training images differ, and the model is far more robust. Most other "
            "defences in this laboratory build on adversarial training.",
            before=Scene("picture", (STANDARD, ROBUST)),
        ),
        Step(
            "Is there a price?",
            "The adversarially trained model was trained on attacked images only. We now evaluate "
            "both models without an attack.",
            Scene("picture", (STANDARD, ROBUST)),
            "How much lower is its clean accuracy?",
            answers("less than 0.5 points", 0.005, "0.5 to 10 points", 0.1, "more than 10 points"),
            Measure("clean_gap", (STANDARD, ROBUST)),
            "There is a price. On these easy digits it is small. On harder data published robust "
            "models lose more clean accuracy.",
        ),
        Step(
            "A larger epsilon",
            "The model was trained with epsilon 25.5/255. An attacker need not keep to that. We "
            "double epsilon.",
            Scene("play", (ROBUST,), DOUBLE_EPSILON),
            "What share of the images stays correct?",
            answers("less than 10\u00a0%", 0.1, "10 to 60\u00a0%", 0.6, "more than 60\u00a0%"),
            Measure("accuracy", (ROBUST,), DOUBLE_EPSILON),
            "A model is robust only under a given threat model. A robust accuracy without its norm "
            "and epsilon says nothing.",
            before=Scene("play", (ROBUST,)),
        ),
        Step(
            "Another norm",
            "So far each pixel had its own limit (Linf). The L2 norm limits the length of the "
            "whole perturbation instead: few pixels may change a lot. The model was not trained "
            "for that.",
            Scene("play", (ROBUST,), L2_PGD),
            "How much lower is accuracy under L2 with epsilon 2 than under Linf with 25.5/255?",
            answers("less than 2 points", 0.02, "2 to 15 points", 0.15, "more than 15 points"),
            Measure("attack_gap", (ROBUST,), PGD, L2_PGD),
            "Adversarial training protects under the threat model of its training, and less under "
            "others. The two epsilons cannot be compared; neither accuracy holds for both norms.",
            before=Scene("play", (ROBUST,)),
        ),
        Step(
            "Another training method",
            "TRADES trains with the loss of the clean image and adds a second term: the output on "
            "the attacked image should be close to the output on the clean one.",
            Scene("side_by_side", (TRADES, ROBUST)),
            "Which of the two is more accurate on 60 images under PGD?",
            answers(
                "PGD training, by more than 5 points",
                -0.05,
                "neither: within 5 points",
                0.05,
                "TRADES, by more than 5 points",
            ),
            Measure("accuracy_gap", (TRADES, ROBUST)),
            "Different kinds of adversarial training give similar robust accuracies here. A "
            "difference of a few points on 60 images may be chance.",
            before=Scene("picture", (TRADES, ROBUST)),
        ),
    ),
    DIFFERENT,
)

MASKING = Tour(
    "Gradient masking, and how to catch it",
    "A model can seem robust because the attack gets no useful gradient.",
    (
        Step(
            "A high accuracy",
            "The model digits-masked rounds its input before the network. It was trained without "
            "any attack. We attack it and the adversarially trained model with the same PGD.",
            Scene("side_by_side", (MASKED, ROBUST)),
            "Which one seems more robust?",
            answers(
                "the adversarially trained one",
                -0.02,
                "neither: within 2 points",
                0.02,
                "the one that rounds",
            ),
            Measure("accuracy_gap", (MASKED, ROBUST)),
            "Should a little rounding beat adversarial training? When an accuracy is too good to "
            "be true, ask whether the attack worked.",
            before=Scene("picture", (MASKED, ROBUST)),
        ),
        Step(
            "Where is the gradient?",
            "PGD follows the gradient of the loss. Rounding is constant almost everywhere: a tiny "
            "change of the input does not change the output.",
            Scene("gradients", (MASKED, STANDARD)),
            "At what share of 60 images is the gradient exactly zero?",
            answers("less than 10\u00a0%", 0.1, "10 to 90\u00a0%", 0.9, "more than 90\u00a0%"),
            Measure("zero_gradient", (MASKED,)),
            "PGD stayed at its random start: it had no gradient to follow. The model is not "
            "robust, its gradient is hidden. That is gradient masking.",
            before=Scene("picture", (MASKED,)),
        ),
        Step(
            "Use a surrogate model",
            "We compute the adversarial examples on the standard model, whose gradient is not "
            "masked. Then we evaluate them on the model that rounds.",
            Scene("transfer", (STANDARD, MASKED)),
            "What share of the images does the rounding model classify correctly?",
            answers(
                "less than 60\u00a0%",
                0.6,
                "60 to 90\u00a0%",
                0.9,
                "more than 90\u00a0%, as under PGD",
            ),
            Measure("accuracy", (MASKED, STANDARD)),
            "The transfer attack fools it, and the direct attack does not. Without gradient "
            "masking the direct attack is the stronger one.",
            before=Scene("picture", (STANDARD, MASKED)),
        ),
        Step(
            "Replace the gradient of the rounding",
            "BPDA runs the model as it is. For the gradient it replaces the rounding by the "
            "identity.",
            Scene("play", (MASKED,), BPDA),
            "What share of the images stays correct now?",
            answers("less than 60\u00a0%", 0.6, "60 to 90\u00a0%", 0.9, "more than 90\u00a0%"),
            Measure("accuracy", (MASKED,), BPDA),
            "An attack that knows the defence breaks it at once. An evaluation needs such an "
            "adaptive attack.",
            before=Scene("play", (MASKED,)),
        ),
        Step(
            "A very large epsilon",
            "Now every pixel may change by half of the way from black to white. Any image can be "
            "turned into plain grey. No model can classify that.",
            Scene("surface", (MASKED,), LARGE_EPSILON),
            "What accuracy does the rounding model keep under PGD with this epsilon?",
            answers("less than 20\u00a0%", 0.2, "20 to 80\u00a0%", 0.8, "more than 80\u00a0%"),
            Measure("accuracy", (MASKED,), LARGE_EPSILON),
            "If an attack fails even with such a large perturbation budget, the attack is too "
            "weak. The loss surface below shows why: it has no slope that PGD could follow.",
            before=Scene("picture", (MASKED,)),
        ),
        Step(
            "Reliability checks",
            "The Attack page repeats an attack in a dozen ways and reports what is suspicious.",
            Scene("checks", (MASKED,)),
            "How many checks warn or fail for this result?",
            answers("none", 0.5, "one or two", 2.5, "three or more"),
            Measure("raised_checks", (MASKED,)),
            "Several simple checks detect the masking, each for its own reason. One failed check "
            "is enough to require a better attack.",
            before=Scene("play", (MASKED,)),
        ),
    ),
    SEEMINGLY_ROBUST,
)

REAL = Tour(
    "Is this defence reliable?",
    "Five questions about any reported robustness, each with a defence that fails or passes.",
    (
        Step(
            "1. Which attack was used?",
            "A reported robust accuracy is only as good as its attack. Take digits-masked: it "
            "resists PGD. BPDA is adapted to it.",
            Scene("card_table", (ROBUST, SPAT, MASKED)),
            "How much lower is the accuracy of digits-masked under BPDA than under PGD?",
            answers("less than 5 points", 0.05, "5 to 30 points", 0.3, "more than 30 points"),
            Measure("attack_gap", (MASKED,), PGD, BPDA),
            "Ask for the attack, its norm, epsilon and steps, and the number of images. The table "
            "below lists them for three models. Then ask whether the attack was adapted to the "
            "defence.",
            before=Scene("picture", (ROBUST, SPAT, MASKED)),
        ),
        Step(
            "2. Is an attack without gradients stronger?",
            "Square changes random squares of the image and keeps what helps. It needs the outputs "
            "only, so gradient masking does not stop it. PGD has access to the whole model and "
            "should be stronger.",
            Scene("play", (MASKED,), SQUARE),
            "Which attack leaves the lower accuracy of digits-masked?",
            answers("Square", -0.02, "neither: within 2 points", 0.02, "PGD"),
            Measure("attack_gap", (MASKED,), SQUARE, PGD),
            "The black-box attack is stronger than the white-box attack. Then the gradient is "
            "masked, and the accuracy under PGD is worthless. Without masking it is the other way "
            "round.",
            before=Scene("play", (MASKED,)),
        ),
        Step(
            "3. Do more steps lower the accuracy?",
            "An attack that stops too early overestimates robustness. We give PGD 100 steps "
            "instead of 20 on the adversarially trained model.",
            Scene("play", (ROBUST,), MORE_STEPS),
            "How much lower is accuracy under 100 steps than under 20?",
            answers("less than 2 points", 0.02, "2 to 15 points", 0.15, "more than 15 points"),
            Measure("attack_gap", (ROBUST,), PGD, MORE_STEPS),
            "Accuracy hardly changes, so the attack has converged. This is a good sign for the "
            "model, and a check that costs nothing but time.",
            before=Scene("play", (ROBUST,)),
        ),
        Step(
            "4. Does another loss lower the accuracy?",
            "SPAT returns cosines, all between -1 and 1. The cross-entropy of such small logits is "
            "nearly flat. The margin loss uses only the logits of the label and of the best other "
            "class.",
            Scene("play", (SPAT,), MARGIN),
            "How much lower is the accuracy of SPAT with the margin loss than with cross-entropy?",
            answers("less than 1 point", 0.01, "1 to 15 points", 0.15, "more than 15 points"),
            Measure("attack_gap", (SPAT,), PGD, MARGIN),
            "A part of the accuracy came from the attack's loss, not from the model. The rest is "
            "real here. A gap of more than about 4 points calls for a closer look.",
            before=Scene("play", (SPAT,)),
        ),
        Step(
            "5. Does the attack include the whole defence?",
            "ATLD moves every test image a little before it is classified. The published attack "
            "was computed on the base network, without that step, and evaluated with it. Here "
            "APGD is computed in both ways.",
            Scene("play", (IMT,), APGD),
            "How much higher is accuracy under the attack computed on the base network?",
            answers("less than 3 points", 0.03, "3 to 10 points", 0.1, "more than 10 points"),
            Measure("surrogate_gap", (IMT, ATLD), APGD),
            "An attack that leaves out the defence is a transfer attack. What counts is the "
            "strongest of all attacks.",
            before=Scene("picture", (IMT, ATLD)),
        ),
        Step(
            "All checks at once",
            "The adversarially trained model now gets the same checks that found digits-masked.",
            Scene("checks", (ROBUST,)),
            "How many checks warn or fail?",
            answers("none", 0.5, "one or two", 2.5, "three or more"),
            Measure("raised_checks", (ROBUST,)),
            "Nothing speaks against the result on this image. That is no proof: a stronger attack "
            "may still be found. Attacks can refute robustness, not prove it.",
            before=Scene("play", (ROBUST,)),
        ),
    ),
    SEEMINGLY_ROBUST,
)
