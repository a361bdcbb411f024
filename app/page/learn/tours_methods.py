"""Tours about the ideas behind the four research systems."""

from app.page.learn.lesson import PGD, ImageRule, Measure, Scene, Step, Tour, answers
from robust_core.attacks.base import create_attack

STANDARD, ROBUST = "digits-standard", "digits-pgd_at"
PAG, SPAT, CIIV, ATLD = "digits-pag", "digits-spat", "digits-ciiv", "digits-atld"
ONE_VIEW, IMT = "digits-ciiv:one_view", "digits-atld:imt"
FEW_DIGITS = 16  # images of a measurement on the retina, which is costly

FEW_TARGETED = 20  # images of a measurement with targeted attacks towards every class

TEN_STEPS = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=10)
SHORT = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=5)
AVERAGED = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=5, eot_samples=3)
MARGIN = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=20, loss="margin")
APGD = create_attack("apgd", norm="Linf", epsilon=0.1, num_steps=20)

GRADIENTS = Tour(
    "What do robust gradients look like?",
    "The gradient shows how an image should change to look more like a class to the model.",
    (
        Step(
            "The gradient as an image",
            "The gradient of a class score shows how each pixel should change to increase it. Red "
            "means brighter, blue means darker. All tiles share one scale.",
            Scene("gradients", (STANDARD, ROBUST)),
            "Whose gradient is better aligned with the direction to the class mean?",
            answers(
                "that of the standard model",
                -0.05,
                "neither: cosines within 0.05",
                0.05,
                "that of the adversarially trained model",
            ),
            Measure("alignment_gap", (ROBUST, STANDARD)),
            "The PAG paper starts from the observation that gradients of robust models look like "
            "the class. Measured against class means, the standard model is better aligned on "
            "these digits. So do not only look at gradients: measure them.",
            before=Scene("picture", (STANDARD, ROBUST)),
        ),
        Step(
            "Train the gradient itself",
            "PAG asks the converse question. It trains on clean images only. An extra loss term "
            "aligns the gradient of each class with a target, here the direction to the class "
            "mean. No attack is used.",
            Scene("targets", (PAG, ROBUST)),
            "How much higher is the mean cosine of PAG than that of the adversarially trained "
            "model?",
            answers("less than 0.05", 0.05, "0.05 to 0.2", 0.2, "more than 0.2"),
            Measure("alignment_gap", (PAG, ROBUST)),
            "The gradient was trained towards the target, and it is aligned with it. Below each "
            "tile is the cosine with the target above it: 1 is the same direction.",
            before=Scene("gradients", (PAG, ROBUST)),
        ),
        Step(
            "Does alignment imply robustness?",
            "PAG was never trained on attacked images. We attack it and the standard model with "
            "the same PGD.",
            Scene("side_by_side", (PAG, STANDARD)),
            "How much higher is the accuracy of PAG under PGD?",
            answers("less than 5 points", 0.05, "5 to 30 points", 0.3, "more than 30 points"),
            Measure("accuracy_gap", (PAG, STANDARD)),
            "PAG gains some robustness without any attack in training. That is the finding of the "
            "PAG paper, reproduced here on a small scale.",
            before=Scene("picture", (PAG, STANDARD)),
        ),
        Step(
            "Is it enough?",
            "PAG has the better aligned gradient. The other model was trained against PGD. We "
            "attack both with PGD.",
            Scene("side_by_side", (ROBUST, PAG)),
            "Which one is more accurate under PGD?",
            answers("PAG", -0.05, "neither: within 5 points", 0.05, "PGD training"),
            Measure("accuracy_gap", (ROBUST, PAG)),
            "The better aligned model is not the more robust one here. Alignment and robustness "
            "are related, but one does not replace the other.",
            before=Scene("picture", (ROBUST, PAG)),
        ),
        Step(
            "Turn one digit into another",
            "A targeted attack with a very large epsilon moves the image towards each class in "
            "turn. It ends at an image that the model assigns to that class.",
            Scene("morph", (STANDARD, ROBUST, PAG)),
            "Which model gives the target class the higher probability at the end?",
            answers(
                "the standard model",
                -0.05,
                "neither: within 5 points",
                0.05,
                "the adversarially trained model",
            ),
            Measure("morph_gap", (ROBUST, STANDARD)),
            "The models are equally confident, so confidence does not tell them apart. The images "
            "do: compare them.",
            before=Scene("picture", (STANDARD, ROBUST, PAG)),
        ),
    ),
    ImageRule(safe=(ROBUST,)),
)

VIRTUAL = Tour(
    "Virtual targets",
    "An untargeted attack has no target, and still ends in the same few classes.",
    (
        Step(
            "Which classes are predicted?",
            "An untargeted attack may end in any wrong class. There are nine wrong digits for each "
            "image. If all were equally likely, each would get about 11\u00a0% of the errors.",
            Scene("labels", (STANDARD,)),
            "What share of the errors goes to the most frequent wrong digit of their class?",
            answers("less than 25\u00a0%", 0.25, "25 to 40\u00a0%", 0.4, "more than 40\u00a0%"),
            Measure("top_share", (STANDARD,)),
            "The errors concentrate on few classes. Classes that resemble each other are virtual "
            "targets of each other (SPAT paper). Move the step slider to see this develop.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "A target that nobody chose",
            "A targeted attack aims at one class. We run it for every class and note which class "
            "it reaches best. Then we compare with the class where the untargeted attack ended.",
            Scene("pairs", (STANDARD,)),
            "For what share of the misclassified images are the two classes the same?",
            answers("less than 33\u00a0%", 0.33, "33 to 67\u00a0%", 0.67, "more than 67\u00a0%"),
            Measure("agreement", (STANDARD,), TEN_STEPS, number=FEW_TARGETED),
            "An untargeted attack acts like the easiest targeted attack. The pairs below are "
            "hard-class pairs: two classes that are often confused under attack.",
            before=Scene("labels", (STANDARD,)),
        ),
        Step(
            "Are similar classes confused?",
            "The last layer has a weight vector for each class. Classes with similar weight "
            "vectors are similar to the network. The rank correlation measures whether similar "
            "classes are confused more often: 0 is no relation, 1 a perfect one.",
            Scene("similarity", (STANDARD,)),
            "How high is the rank correlation?",
            answers("below 0.1: none", 0.1, "0.1 to 0.6: weak", 0.6, "above 0.6: strong"),
            Measure("similarity", (STANDARD,)),
            "Similarity explains a part of the confusion. A single pair can still be far from the "
            "trend.",
            before=Scene("pairs", (STANDARD,)),
        ),
        Step(
            "Train on the hard pairs",
            "SPAT weights the classes by their current similarity to the image: hard pairs count "
            "more. A second term penalises probability that an attack shifts between classes.",
            Scene("side_by_side", (SPAT, ROBUST)),
            "Which one is more accurate under PGD?",
            answers(
                "PGD training, by more than 5 points",
                -0.05,
                "neither: within 5 points",
                0.05,
                "SPAT, by more than 5 points",
            ),
            Measure("accuracy_gap", (SPAT, ROBUST)),
            "On these digits the two are close. Easy data does not always show the effect of a "
            "loss.",
            before=Scene("picture", (SPAT, ROBUST)),
        ),
        Step(
            "Another loss for the attack",
            "SPAT returns cosines without a scale, and the cross-entropy of such small logits is "
            "nearly flat. So PGD may be weak. We attack again with the margin loss.",
            Scene("checks", (SPAT,)),
            "How much lower is accuracy with the margin loss than with cross-entropy?",
            answers("less than 1 point", 0.01, "1 to 15 points", 0.15, "more than 15 points"),
            Measure("attack_gap", (SPAT,), PGD, MARGIN),
            "The lower accuracy counts. With a cosine head, always attack with a margin loss, too.",
            before=Scene("play", (SPAT,)),
        ),
    ),
    ImageRule(safe=(SPAT, ROBUST)),
)

RETINA = Tour(
    "The retina",
    "A model with a random, foveated sampler, and whether its randomness makes it robust.",
    (
        Step(
            "Foveated sampling",
            "CiiV samples the image as a retina does. Near the fixation every pixel is kept. "
            "Further away pixels are dropped at random. Click the image or use the arrow keys to "
            "move the fixation.",
            Scene("views", (CIIV,)),
            "What share of the pixels do its masks keep on average?",
            answers("less than 50\u00a0%", 0.5, "50 to 90\u00a0%", 0.9, "more than 90\u00a0%"),
            Measure("kept_pixels", (CIIV,)),
            "The masks drop few pixels. Most of the randomness comes from the pixel values: each "
            "becomes a random choice between on and off.",
        ),
        Step(
            "Nine views, one prediction",
            "The model takes nine views at fixed fixations and averages their logits. Masks and "
            "pixel noise are new in every pass. So the same image may get another prediction.",
            Scene("predictions", (CIIV,)),
            "We classify the attacked image in 20 passes. How many passes differ from the "
            "majority?",
            answers("none or one", 0.08, "two to five", 0.26, "more than five"),
            Measure("disagreement", (CIIV,), SHORT),
            "The mean of nine views is stable here, although masks and noise are new in every "
            "pass. A stochastic model can be stably correct or stably wrong. Attack the image "
            "below and compare the predicted classes.",
            before=Scene("views", (CIIV,)),
        ),
        Step(
            "Which views does the attack use?",
            "The published attack was computed on a single view in the centre. The model then "
            "predicted from all nine. Here the attack uses either one view or all nine.",
            Scene("play", (CIIV,), SHORT),
            "How much higher is accuracy if the attack uses only one view?",
            answers("less than 2 points", 0.02, "2 to 40 points", 0.4, "more than 40 points"),
            Measure("surrogate_gap", (CIIV, ONE_VIEW), SHORT, number=FEW_DIGITS),
            "The attack that uses fewer views is weaker, here on 16 images. Always attack the "
            "model that is evaluated.",
            before=Scene("picture", (CIIV,)),
        ),
        Step(
            "Average the randomness away",
            "The gradient of a stochastic model is random, too. Expectation over transformation "
            "(EOT) averages the gradients of several passes before each step.",
            Scene("play", (CIIV,), AVERAGED),
            "How much lower is accuracy if each gradient averages three passes?",
            answers("less than 0.5 points", 0.005, "0.5 to 20 points", 0.2, "more than 20 points"),
            Measure("attack_gap", (CIIV,), SHORT, AVERAGED, number=FEW_DIGITS),
            "With so few images and steps, averaging has no visible effect. A single test like "
            "this is not conclusive: the Retina page plots accuracy against the number of passes.",
            before=Scene("play", (CIIV,), SHORT),
        ),
        Step(
            "Comparison with adversarial training",
            "CiiV was trained on clean images only. The other model was trained against PGD. We "
            "attack both with the same short PGD.",
            Scene("side_by_side", (CIIV, ROBUST), SHORT),
            "Which one is more accurate under this attack?",
            answers("CiiV", -0.05, "neither: within 5 points", 0.05, "PGD training"),
            Measure("accuracy_gap", (ROBUST, CIIV), SHORT, number=FEW_DIGITS),
            "Retinotopic sampling helps against a plain attack. Here it does not replace "
            "adversarial training.",
            before=Scene("picture", (CIIV, ROBUST)),
        ),
    ),
    ImageRule(safe=(STANDARD, ROBUST), attack=create_attack("fgsm", norm="Linf", epsilon=0.02)),
)

LATENT = Tour(
    "The latent shift",
    "A change that is small in the image can be large inside the network.",
    (
        Step(
            "Small in the image, large in the features",
            "Before its last layer the network turns an image into a vector, its features. The map "
            "shows the features in two dimensions. Noise and attack have the same perturbation "
            "budget.",
            Scene("map", (STANDARD,)),
            "How many times as far as noise does the attack move the mean feature?",
            answers("less than 2 times", 2.0, "2 to 10 times", 10.0, "more than 10 times"),
            Measure("drift", (STANDARD,)),
            "The perturbation is small in the image and large in the features. It follows the "
            "directions to which the network is sensitive; noise has no preferred direction.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "New neighbours",
            "Images of one digit are close together on the map. We compare the ten nearest clean "
            "neighbours of an image before and after the attack.",
            Scene("map", (ROBUST,)),
            "How much larger is the share of kept neighbours in the adversarially trained model?",
            answers("less than 5 points", 0.05, "5 to 20 points", 0.2, "more than 20 points"),
            Measure("overlap_gap", (ROBUST, STANDARD)),
            "In the adversarially trained model an attacked image keeps more of its neighbours. "
            "The effect of the training is visible in the features, too.",
            before=Scene("map", (STANDARD,)),
        ),
        Step(
            "Can a discriminator detect the attack?",
            "ATLD trains a second network, the discriminator, to separate the outputs of clean "
            "and attacked images. The classifier is trained to make both similar. AUROC 0.5 is "
            "chance, 1 is perfect separation.",
            Scene("scores", (ATLD,)),
            "What AUROC does the trained discriminator reach for clean against PGD images?",
            answers("below 0.7", 0.7, "0.7 to 0.9", 0.9, "above 0.9"),
            Measure("detection", (ATLD,)),
            "The classifier has succeeded: the discriminator can hardly separate the two. Such a "
            "discriminator is a poor detector of attacks.",
            before=Scene("map", (ATLD,)),
        ),
        Step(
            "Transform before classifying",
            "At test time ATLD moves each image one step in the direction that the discriminator "
            "scores as more natural (IMT). The paper computed its attacks on the base network, "
            "without this step, and evaluated them with it.",
            Scene("side_by_side", (IMT, ATLD)),
            "How much higher is the accuracy with the step than without it under that attack?",
            answers("not at all: it is lower", 0.0, "0 to 10 points", 0.1, "more than 10 points"),
            Measure("same_surrogate_gap", (IMT, ATLD)),
            "On the small model shipped here the step does not help. The paper reports a large "
            "gain on CIFAR-10 under this kind of attack.",
            before=Scene("picture", (IMT, ATLD)),
        ),
        Step(
            "An adaptive attack",
            "An attacker who knows about the step includes it. APGD now computes its gradient "
            "through the step.",
            Scene("play", (IMT,), APGD),
            "How much lower is accuracy under this attack than under that on the base network?",
            answers("less than 3 points", 0.03, "3 to 10 points", 0.1, "more than 10 points"),
            Measure("surrogate_gap", (IMT, ATLD), APGD),
            "The adaptive attack is stronger. The published attack is a transfer attack, and its "
            "accuracy is an upper bound.",
            before=Scene("play", (ATLD,), APGD),
        ),
    ),
    ImageRule(fooled=(STANDARD,), safe=(ROBUST, ATLD)),
)
