"""The glossary: one sentence for each term, and the papers and code of the methods."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term, its explanation in one sentence, and the page of this laboratory that shows it."""

    word: str
    sentence: str
    page: str = ""


@dataclass(frozen=True)
class Paper:
    """A source; a field that is not known for certain is empty.

    topic: method or term. arxiv: number on arXiv. code: repository, owner/name.
    """

    topic: str
    title: str = ""
    authors: str = ""
    venue: str = ""
    arxiv: str = ""
    code: str = ""


TERMS = (
    Term(
        "Adaptive attack",
        "An attack designed for the defence that it tests, with full knowledge of it.",
    ),
    Term(
        "Adversarial example",
        "An image with a small change that was made to cause a misclassification.",
        "attack",
    ),
    Term(
        "Adversarial training",
        "Training on images that are attacked in every training step.",
        "train",
    ),
    Term(
        "Alignment",
        "The cosine between a model's input gradient and a direction towards the class.",
        "gradients",
    ),
    Term(
        "AutoAttack",
        "An ensemble of four parameter-free attacks, APGD-CE, targeted APGD, FAB and Square, that "
        "succeeds on an image if one of them does.",
        "robustness",
    ),
    Term(
        "BPDA",
        "Backward pass differentiable approximation: an attack that runs a part without a useful "
        "gradient as it is, but uses an approximation of its gradient.",
        "attack",
    ),
    Term("Black-box attack", "An attack that uses the outputs of a model, but not its gradients."),
    Term(
        "Clean accuracy", "The share of images that a model classifies correctly without an attack."
    ),
    Term(
        "Discriminator",
        "A second network that is trained to separate the outputs of clean and attacked images.",
        "latent",
    ),
    Term(
        "Easy-class pair",
        "Two classes that are rarely confused under attack; the opposite of a hard-class pair.",
        "hard_pairs",
    ),
    Term(
        "EOT",
        "Expectation over transformation: a stochastic model's gradient, averaged over passes.",
        "retina",
    ),
    Term("Epsilon", "The perturbation budget: the largest change of an image, measured in a norm."),
    Term(
        "Feature Scattering",
        "Training on a batch that is perturbed jointly, without labels, to move its outputs away "
        "from those of the clean batch.",
    ),
    Term(
        "FGSM",
        "Fast gradient sign method: an attack of one step along the sign of the gradient.",
        "attack",
    ),
    Term(
        "Fixation",
        "The point of an image around which a retina samples most densely.",
        "retina",
    ),
    Term(
        "Gradient",
        "The change of the pixels that increases a loss or class score fastest.",
        "gradients",
    ),
    Term(
        "Gradient masking",
        "A model gives no useful gradient, so that attacks fail although it is not robust.",
        "attack",
    ),
    Term(
        "Hard-class pair",
        "Two classes that are often confused under attack.",
        "hard_pairs",
    ),
    Term(
        "IMT",
        "Inference with manifold transformation: before an image is classified, it is moved one "
        "step in the direction that a discriminator scores as more natural.",
        "latent",
    ),
    Term(
        "Latent space",
        "The space of the features, the inputs of a network's last layer.",
        "latent",
    ),
    Term(
        "Linf",
        "The largest change of any pixel; each pixel may change by up to epsilon.",
    ),
    Term(
        "LMAE",
        "Latent manifold adversarial example: an image perturbed so that a discriminator can "
        "separate it best from a clean one.",
    ),
    Term("Logits", "The class scores of a network, before softmax turns them into probabilities."),
    Term("Loss", "A number that measures how wrong a prediction is."),
    Term(
        "L2",
        "The length of the whole change: the root of the summed squared changes of all pixels.",
    ),
    Term(
        "Margin",
        "The best wrong logit minus the label's logit; above zero the image is misclassified.",
        "attack",
    ),
    Term(
        "PAG",
        "Perceptually aligned gradients: gradients that look like the class that they increase.",
        "gradients",
    ),
    Term(
        "PGD",
        "Projected gradient descent: an attack of many small gradient steps, each projected back "
        "to the perturbation budget.",
        "attack",
    ),
    Term(
        "Retinotopic sampling",
        "Random sampling of an image as by a retina: densely at the fixation, sparsely around it.",
        "retina",
    ),
    Term(
        "Robust accuracy",
        "The share of images that stay correct under a given attack and threat model.",
        "robustness",
    ),
    Term(
        "Robust overfitting",
        "Robust accuracy decreases late in training, although the training loss still improves.",
        "train",
    ),
    Term(
        "Targeted attack",
        "An attack towards one chosen class; an untargeted attack accepts any wrong class.",
        "attack",
    ),
    Term(
        "Threat model", "What an attacker may do: norm, epsilon, knowledge and criterion.", "attack"
    ),
    Term(
        "TRADES",
        "Training with the clean loss and a second term that keeps the outputs on the clean and "
        "the attacked image close.",
        "train",
    ),
    Term(
        "Transfer",
        "An adversarial example computed on one model, the surrogate model, also fools another.",
        "compare",
    ),
    Term(
        "Virtual target",
        "The class in which untargeted attacks end most often, because it resembles the true one.",
        "hard_pairs",
    ),
    Term("White-box attack", "An attack with access to the whole model and its gradients."),
)

PAPERS = (
    Paper(
        "PAG",
        "Do Perceptually Aligned Gradients Imply Robustness?",
        "R. Ganz, B. Kawar, M. Elad",
        "ICML 2023 oral",
        "2207.11378",
        "royg27/PAG-ROB",
    ),
    Paper(
        "ATLD, LMAE, IMT",
        "Improving Model Robustness with Latent Distribution Locally and Globally",
        "Qian, Zhang, Huang, Wang, Zhang, Yi",
        "ICLR 2021 submission",
        "2107.04401",
        "LitterQ/ATLD-pytorch",
    ),
    Paper(
        "SPAT, hard-class pairs, virtual targets",
        "Improving Adversarial Robustness with Self-Paced Hard-Class Pair Reweighting",
        "P. Hou, J. Han, X. Li",
        "AAAI-23, vol. 37 no. 12, pp. 14883-14891",
        "2210.15068",
        "puerrrr/Self-Paced-Adversarial-Training",
    ),
    Paper(
        "CiiV, retinotopic sampling",
        "Adversarial Visual Robustness by Causal Intervention",
        "",
        "ICLR 2022 submission, withdrawn",
        "2106.09534",
        "KaihuaTang/CiiV-Adversarial-Robustness.pytorch",
    ),
    Paper(
        "Adaptive attacks on test-time defences, ATLD among them",
        "Evaluating the Adversarial Robustness of Adaptive Test-time Defenses",
        "Croce, Gowal, Brunner, Shelhamer, Hein, Cemgil",
        "ICML 2022",
        "2202.13711",
        "fra31/evaluating-adaptive-test-time-defenses",
    ),
    Paper(
        "Errors under attack, class by class",
        "Intriguing class-wise properties of adversarial training",
        venue="ICLR 2021 submission",
        arxiv="2105.14240",
    ),
    Paper("PGD adversarial training", code="MadryLab/cifar10_challenge"),
    Paper("TRADES", code="yaodongyu/TRADES"),
    Paper("MART", code="YisenWang/MART"),
    Paper("AWP", code="csdongxian/AWP"),
    Paper("Fast-AT (FGSM-RS)", code="locuslab/fast_adversarial"),
    Paper("Free-AT", code="ashafahi/free_adv_train"),
    Paper("Feature Scattering", code="Haichao-Zhang/FeatureScatter"),
    Paper("Cosine head (HE)", code="ShawnXYang/AT_HE"),
    Paper("AutoAttack", code="fra31/auto-attack"),
    Paper("RobustBench", code="RobustBench/robustbench"),
)


def find_terms(words: str) -> tuple[Term, ...]:
    """Return the terms whose entry contains all of `words`, in alphabetical order."""
    wanted = words.lower().split()
    found = [
        term
        for term in TERMS
        if all(part in f"{term.word} {term.sentence}".lower() for part in wanted)
    ]
    return tuple(sorted(found, key=lambda term: term.word.lower()))


def paper_words(paper: Paper) -> str:
    """Return a source in one line of Markdown: authors, title, venue, arXiv number, code."""
    parts = [paper.authors, f"*{paper.title}*" if paper.title else "", paper.venue]
    if paper.arxiv:
        parts.append(f"[arXiv:{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})")
    if paper.code:
        parts.append(f"code {paper.code}")
    return f"**{paper.topic}.** " + ", ".join(part for part in parts if part) + "."
