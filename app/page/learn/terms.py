"""The glossary: one sentence for each term, and the papers and repositories behind the methods."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word, one sentence about it, and the page of this laboratory where it can be seen."""

    word: str
    sentence: str
    page: str = ""


@dataclass(frozen=True)
class Paper:
    """A source. What is not known for certain is left empty.

    topic: what it is about here. arxiv: number on arXiv. code: repository, owner/name.
    """

    topic: str
    title: str = ""
    authors: str = ""
    venue: str = ""
    arxiv: str = ""
    code: str = ""


TERMS = (
    Term("Adaptive attack", "An attack made for the defence it tests, with full knowledge of it."),
    Term(
        "Adversarial example",
        "An image that was changed little, on purpose, so that a model reads it wrong.",
        "attack",
    ),
    Term("Adversarial training", "Training on images that are attacked at every step.", "train"),
    Term(
        "Alignment",
        "The cosine between a model's gradient and a direction that points at the class.",
        "gradients",
    ),
    Term(
        "AutoAttack",
        "Four parameter-free attacks in a row: APGD-CE, targeted APGD, FAB and Square; an image "
        "falls if one of them succeeds.",
        "robustness",
    ),
    Term(
        "BPDA",
        "An attack that runs a part without a useful gradient as it is, and takes another gradient "
        "for it.",
        "attack",
    ),
    Term("Black-box attack", "An attack that sees the answers of a model, but no gradient."),
    Term("Clean accuracy", "The share of images that a model reads right without an attack."),
    Term(
        "Discriminator",
        "A second network that learns to tell the outputs of clean images from those of attacked "
        "ones.",
        "latent",
    ),
    Term(
        "Easy-class pair",
        "Two classes that are rarely taken for each other under attack; the opposite of a hard "
        "pair.",
        "hard_pairs",
    ),
    Term(
        "EOT",
        "Expectation over transformation: a random model's gradient, averaged over several passes.",
        "retina",
    ),
    Term("Epsilon", "The radius: how far an attack may move an image, measured in a norm."),
    Term(
        "Feature Scattering",
        "Training on a batch that is moved as a whole, so that its outputs scatter, without "
        "labels.",
    ),
    Term("FGSM", "An attack of one step along the sign of the gradient.", "attack"),
    Term(
        "Fixation",
        "The point that an eye looks at; around it the retina samples most densely.",
        "retina",
    ),
    Term("Gradient", "It says how each pixel should change to make a number grow.", "gradients"),
    Term(
        "Gradient masking",
        "A model that hides its gradient, so that attacks fail although it is not robust.",
        "attack",
    ),
    Term(
        "Hard-class pair",
        "Two classes that are often taken for each other under attack.",
        "hard_pairs",
    ),
    Term(
        "IMT",
        "Inference with manifold transformation: one step towards what a discriminator finds "
        "natural, before the image is classified.",
        "latent",
    ),
    Term(
        "Latent space",
        "The space of the features, the numbers inside a network before its last layer.",
        "latent",
    ),
    Term(
        "Linf",
        "The norm that counts the largest change of any pixel: each may move by epsilon.",
    ),
    Term(
        "LMAE",
        "Latent manifold adversarial example: moved so that a discriminator can tell it best from "
        "a clean one.",
    ),
    Term("Logits", "The raw numbers for the classes, before they become probabilities."),
    Term("Loss", "A number that says how wrong a model is on an image."),
    Term("L2", "The norm that counts the length of the whole change, over all pixels together."),
    Term(
        "Margin",
        "The best wrong logit minus the label's; above zero the label has lost.",
        "attack",
    ),
    Term(
        "PAG",
        "Perceptually aligned gradients: gradients that look like the class they raise.",
        "gradients",
    ),
    Term("PGD", "An attack of many small gradient steps, each led back into the ball.", "attack"),
    Term(
        "Retinotopic sampling",
        "Looking at an image as a retina does: densely at the fixation, sparsely around it, at "
        "random.",
        "retina",
    ),
    Term(
        "Robust accuracy",
        "The share of images that stay right under a named attack with a named budget.",
        "robustness",
    ),
    Term(
        "Robust overfitting",
        "Robust accuracy falls again while training goes on, although training loss improves.",
        "train",
    ),
    Term(
        "Targeted attack",
        "An attack that wants one chosen class as the answer; an untargeted one wants any wrong "
        "class.",
        "attack",
    ),
    Term("Threat model", "What an attacker may do: norm, radius, knowledge and goal.", "attack"),
    Term(
        "TRADES",
        "Training with the clean loss and a second term that keeps the outputs of clean and "
        "attacked image close.",
        "train",
    ),
    Term(
        "Transfer",
        "An adversarial image made for one model fools another one, too.",
        "compare",
    ),
    Term(
        "Virtual target",
        "The class where an untargeted attack ends by itself, because it resembles the true one.",
        "hard_pairs",
    ),
    Term("White-box attack", "An attack that sees the whole model and its gradients."),
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
    """Return the terms in whose word or sentence all of `words` occur, in alphabetical order."""
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
