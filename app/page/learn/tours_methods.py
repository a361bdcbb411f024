"""Tours about what the four research systems are built on."""

from app.page.learn.lesson import PGD, ImageRule, Measure, Scene, Step, Tour, answers
from robust_core.attacks.base import create_attack

STANDARD, ROBUST = "digits-standard", "digits-pgd_at"
PAG, SPAT, CIIV, ATLD = "digits-pag", "digits-spat", "digits-ciiv", "digits-atld"
ONE_VIEW, IMT = "digits-ciiv:one_view", "digits-atld:imt"
FEW_DIGITS = 16  # images of a measurement on the retina, which costs nine passes a view

FEW_TARGETED = 20  # images of a measurement that attacks each towards every class

TEN_STEPS = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=10)
SHORT = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=5)
AVERAGED = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=5, eot_samples=3)
MARGIN = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=20, loss="margin")
APGD = create_attack("apgd", norm="Linf", epsilon=0.1, num_steps=20)

GRADIENTS = Tour(
    "What do robust gradients look like?",
    "Ask a model how the image should change, and look at its answer.",
    (
        Step(
            "The model draws its wish",
            "The gradient of a class says how each pixel should change to raise that class. Red "
            "asks for more light, blue for less. All tiles share one scale.",
            Scene("gradients", (STANDARD, ROBUST)),
            "Whose gradient points closer to the mean image of the class?",
            answers(
                "that of the standard model",
                -0.05,
                "both alike",
                0.05,
                "that of the one trained on attacks",
            ),
            Measure("alignment_gap", (ROBUST, STANDARD)),
            "The PAG paper starts from robust gradients that look like the class. Measured against "
            "class means, the standard model wins on these digits. So look, and measure, too.",
            before=Scene("picture", (STANDARD, ROBUST)),
        ),
        Step(
            "Train the gradient itself",
            "PAG asks the question the other way round. It trains on clean images only. An extra "
            "term turns the gradient of each class towards a target, here the mean of the class. "
            "No attack is used.",
            Scene("targets", (PAG, ROBUST)),
            "How much higher is the alignment of PAG than that of the adversarially trained model?",
            answers("not at all", 0.05, "a little: up to 0.2", 0.2, "much: over 0.2"),
            Measure("alignment_gap", (PAG, ROBUST)),
            "The gradient follows where it was led. Under each tile stands the cosine with the "
            "target above it: 1 is the same direction.",
            before=Scene("gradients", (PAG, ROBUST)),
        ),
        Step(
            "Does alignment bring robustness?",
            "PAG has never seen an attacked image. We attack it and the standard model with the "
            "same PGD.",
            Scene("side", (PAG, STANDARD)),
            "How many more images does PAG keep?",
            answers("about as many", 0.05, "5 to 30 points more", 0.3, "over 30 points more"),
            Measure("accuracy_gap", (PAG, STANDARD)),
            "Some robustness came without any attack in training. That is the finding of the PAG "
            "paper, seen here on a small scale.",
            before=Scene("picture", (PAG, STANDARD)),
        ),
        Step(
            "Is it enough?",
            "PAG has the better aligned gradient. PGD training has seen attacks. Both now meet "
            "PGD.",
            Scene("side", (ROBUST, PAG)),
            "Which one keeps more images?",
            answers("PAG", -0.05, "both alike", 0.05, "PGD training"),
            Measure("accuracy_gap", (ROBUST, PAG)),
            "The better aligned model is not the more robust one here. Alignment and robustness "
            "are related, but one number does not replace the other.",
            before=Scene("picture", (ROBUST, PAG)),
        ),
        Step(
            "Turn one digit into another",
            "Follow the gradient far beyond any budget, towards each class in turn. Each model "
            "ends up with an image that it takes for that class.",
            Scene("morph", (STANDARD, ROBUST, PAG)),
            "Which model is surer that it has reached the class?",
            answers("the standard one", -0.05, "both alike", 0.05, "the adversarially trained one"),
            Measure("morph_gap", (ROBUST, STANDARD)),
            "The models are equally sure, so confidence cannot tell them apart. Your eyes can: "
            "compare what each of them has drawn.",
            before=Scene("picture", (STANDARD, ROBUST, PAG)),
        ),
    ),
    ImageRule(safe=(ROBUST,)),
)

VIRTUAL = Tour(
    "Virtual targets",
    "Nobody told the attack where to go, and still it goes to the same few classes.",
    (
        Step(
            "Where do the errors go?",
            "An untargeted attack wants any wrong answer. There are nine wrong digits for each "
            "image. If the attack did not care, each would get about one error in nine.",
            Scene("labels", (STANDARD,)),
            "How many errors fall into the commonest wrong digit of their class?",
            answers("about one in nine", 0.25, "25 to 40 %", 0.4, "more than 40 %"),
            Measure("top_share", (STANDARD,)),
            "The errors crowd together. Classes that resemble each other are virtual targets of "
            "each other (SPAT paper). Move the step slider to watch the crowd form.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "A target that nobody chose",
            "A targeted attack aims at one class. We aim at every class in turn and note which one "
            "is reached best. Then we look where the untargeted attack went by itself.",
            Scene("pairs", (STANDARD,)),
            "How often did it end in the class that is reached best?",
            answers("in under a third", 1 / 3, "a third to two thirds", 2 / 3, "more often"),
            Measure("agreement", (STANDARD,), TEN_STEPS, number=FEW_TARGETED),
            "An untargeted attack works like the easiest of all targeted ones. The pairs below are "
            "hard-class pairs: two classes that are taken for each other.",
            before=Scene("labels", (STANDARD,)),
        ),
        Step(
            "Is it likeness?",
            "The last layer has a weight vector for each class. Two classes with similar weights "
            "are alike to the network. The rank correlation says whether alike classes are "
            "confused more often: 0 is no relation, 1 a perfect one.",
            Scene("similarity", (STANDARD,)),
            "How strong is the rank correlation?",
            answers("none, below 0.1", 0.1, "weak, 0.1 to 0.6", 0.6, "strong, over 0.6"),
            Measure("similarity", (STANDARD,)),
            "Likeness explains a part of it. The single point of a pair can still lie far off the "
            "trend.",
            before=Scene("pairs", (STANDARD,)),
        ),
        Step(
            "Train on the hard pairs",
            "SPAT weighs classes by how similar they are to the image now: hard pairs count more. "
            "A second term punishes it when an attack shifts probability between the classes.",
            Scene("side", (SPAT, ROBUST)),
            "How does SPAT compare with PGD training under PGD?",
            answers(
                "SPAT is worse by over 5 points",
                -0.05,
                "about the same",
                0.05,
                "SPAT is better by over 5 points",
            ),
            Measure("accuracy_gap", (SPAT, ROBUST)),
            "On these digits the two are close. A better loss does not always show on easy data.",
            before=Scene("picture", (SPAT, ROBUST)),
        ),
        Step(
            "Ask twice",
            "SPAT returns cosines without a scale, and the cross-entropy of such small numbers is "
            "nearly flat. So PGD may climb badly. We attack again with the margin loss.",
            Scene("doubt", (SPAT,)),
            "How many points does SPAT lose with the margin loss?",
            answers("up to 1", 0.01, "1 to 15", 0.15, "more than 15"),
            Measure("attack_gap", (SPAT,), PGD, MARGIN),
            "The honest number is the lower one. With a cosine head always attack with a margin "
            "loss, too.",
            before=Scene("play", (SPAT,)),
        ),
    ),
    ImageRule(safe=(SPAT, ROBUST)),
)

RETINA = Tour(
    "The retina",
    "A model that looks through a random, foveated eye, and what its randomness is worth.",
    (
        Step(
            "Sharp in the middle",
            "CiiV samples the image as an eye does. Near the fixation every pixel is kept. Further "
            "away pixels are dropped at random. Click the image or use the arrow keys to look "
            "elsewhere.",
            Scene("sight", (CIIV,)),
            "What share of the pixels do its masks keep on average?",
            answers("less than half", 0.5, "50 to 90 %", 0.9, "more than 90 %"),
            Measure("kept", (CIIV,)),
            "The mask is mild. Most of the randomness comes from the pixels: each becomes a coin "
            "toss between on and off.",
        ),
        Step(
            "Nine looks, one answer",
            "The model takes nine views with fixed fixations and averages their logits. Masks and "
            "pixel noise are new every time. So the same image may get another answer.",
            Scene("votes", (CIIV,)),
            "We attack the image and let the model decide 20 times. How many passes differ from "
            "the majority?",
            answers("none or one", 0.08, "two to five", 0.26, "more than five"),
            Measure("indecision", (CIIV,), SHORT),
            "The mean of nine views is steady here, although masks and noise are new every time. A "
            "random model can be steadily right or steadily wrong. Attack the image below and look "
            "at the votes.",
            before=Scene("sight", (CIIV,)),
        ),
        Step(
            "What may the attacker see?",
            "The published test let the attacker see one view in the centre. The model then "
            "decided with all nine. Here the attacker sees either one view or all nine.",
            Scene("play", (CIIV,), SHORT),
            "How many points does the model gain if the attacker sees only one view?",
            answers("none", 0.02, "2 to 40 points", 0.4, "more than 40 points"),
            Measure("source_gap", (CIIV, ONE_VIEW), SHORT, number=FEW_DIGITS),
            "The attacker who sees less reaches less, here on 16 images. Always attack the model "
            "that decides.",
            before=Scene("picture", (CIIV,)),
        ),
        Step(
            "Average the randomness away",
            "The gradient of a random model is random, too. Expectation over transformation (EOT) "
            "averages several passes before each step.",
            Scene("play", (CIIV,), AVERAGED),
            "How many more images fall if each gradient averages three passes?",
            answers("no more, or fewer", 0.005, "up to 20 points", 0.2, "over 20 points"),
            Measure("attack_gap", (CIIV,), SHORT, AVERAGED, number=FEW_DIGITS),
            "On so few images and steps averaging shows nothing. A single test like this one "
            "settles nothing: the Retina page draws accuracy against the number of passes.",
            before=Scene("play", (CIIV,), SHORT),
        ),
        Step(
            "Against training on attacks",
            "CiiV was trained on clean images only. The other model was trained against PGD. Both "
            "meet the same short PGD.",
            Scene("side", (CIIV, ROBUST), SHORT),
            "Which one keeps more images?",
            answers("CiiV", -0.05, "both alike", 0.05, "PGD training"),
            Measure("accuracy_gap", (ROBUST, CIIV), SHORT, number=FEW_DIGITS),
            "Looking through a retina helps against a plain attack. Here it does not replace "
            "training on attacked images.",
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
            "Far inside, near outside",
            "Before its last layer the network turns an image into a list of numbers, its "
            "features. The map shows them in two dimensions. Noise and attack have the same "
            "budget in the image.",
            Scene("map", (STANDARD,)),
            "How much further does the attack move the mean feature than noise does?",
            answers("less than twice as far", 2.0, "2 to 10 times", 10.0, "more than 10 times"),
            Measure("drift", (STANDARD,)),
            "The attack is small in the picture and large in the features. It goes where the "
            "network is sensitive; noise goes everywhere a little.",
            before=Scene("picture", (STANDARD,)),
        ),
        Step(
            "New neighbours",
            "Images of one digit lie together on the map. We look at the ten nearest clean "
            "neighbours of an image, before and after the attack.",
            Scene("map", (ROBUST,)),
            "How many more of them does an image keep in the adversarially trained model?",
            answers("no more", 0.05, "5 to 20 points more", 0.2, "over 20 points more"),
            Measure("overlap_gap", (ROBUST, STANDARD)),
            "In the adversarially trained model an attacked image stays nearer to its own kind. "
            "What the training did can be seen in the features, too.",
            before=Scene("map", (STANDARD,)),
        ),
        Step(
            "Can a discriminator tell?",
            "ATLD trains a second network, the discriminator. It learns to tell the outputs of "
            "clean images from those of attacked ones. The classifier learns to make both alike. "
            "AUROC 0.5 is a guess, 1 is perfect.",
            Scene("scores", (ATLD,)),
            "How well does the discriminator tell clean from PGD images at the end?",
            answers("hardly, below 0.7", 0.7, "fairly, 0.7 to 0.9", 0.9, "well, over 0.9"),
            Measure("detection", (ATLD,)),
            "The classifier has won this game: both kinds look alike to the discriminator. A "
            "discriminator that guesses is a poor detector of attacks.",
            before=Scene("map", (ATLD,)),
        ),
        Step(
            "Move back before deciding",
            "At test time ATLD moves the received image one step towards what the discriminator "
            "finds natural (IMT). The paper made its attacks on the bare network and then sent "
            "them through this step.",
            Scene("side", (IMT, ATLD)),
            "How many points of robust accuracy does the step add under that attack?",
            answers("it costs accuracy", 0.0, "up to 10 points", 0.1, "more than 10 points"),
            Measure("same_source_gap", (IMT, ATLD)),
            "On the small model shipped here the step does not help. The paper reports a large "
            "gain on CIFAR-10 under this kind of attack.",
            before=Scene("picture", (IMT, ATLD)),
        ),
        Step(
            "Attack through the step",
            "An attacker who knows about the step attacks through it. APGD now computes its "
            "gradient through the moved image.",
            Scene("play", (IMT,), APGD),
            "How many points lower is the result of the attack that goes through?",
            answers("about the same", 0.03, "3 to 10", 0.1, "more than 10"),
            Measure("source_gap", (IMT, ATLD), APGD),
            "The adaptive attack is stronger. The published way is a transfer attack, and its "
            "number is an upper bound.",
            before=Scene("play", (ATLD,), APGD),
        ),
    ),
    ImageRule(fooled=(STANDARD,), safe=(ROBUST, ATLD)),
)
