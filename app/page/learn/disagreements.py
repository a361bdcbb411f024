"""When tools disagree: what other libraries do differently, and how to make the numbers agree."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Disagreement:
    """One difference, as seen with the version named, on a CPU with PyTorch 2.15.0.

    Attributes:
        tool: library and version.
        theirs: what it does.
        ours: what this laboratory does.
        agree: what to set so that both give the same.
        script: file in `findings/` that shows it; "": none.
    """

    tool: str
    theirs: str
    ours: str
    agree: str
    script: str = ""


DISAGREEMENTS = (
    Disagreement(
        "torchattacks 3.5.1",
        "Clips pixels outside [0, 1] without a word. After set_normalization_used, pixels in "
        "[0, 1] move by epsilon divided by std and leave the range.",
        "Attacks refuse pixels outside [0, 1]; normalisation is part of the model.",
        "Give pixels in [0, 1] and a model that normalises them itself.",
    ),
    Disagreement(
        "captum 0.9.0, robust.FGSM and robust.PGD",
        "The default loss is -log(output). Where the logit of the class is negative, the attack "
        "helps the model.",
        "FGSM and PGD maximise the cross-entropy of the logits, unless another loss is chosen.",
        "Give captum a cross-entropy of the logits as loss_func.",
    ),
    Disagreement(
        "captum 0.9.0, robust.FGSM and robust.PGD",
        "Pixels with a gradient below 1e-6 never move, so logits divided by 100,000 look like a "
        "defence. L2 with a random start fails on batches.",
        "The sign of a gradient counts, however small it is. The check Scale of the logits "
        "repeats an attack with other scales.",
        "Multiply the logits before captum attacks them, or use another library.",
    ),
    Disagreement(
        "pyautoattack 0.2.0",
        "Sets the seed of PyTorch's global generator; without a seed it takes the clock in whole "
        "seconds. The version standard raises an error for fewer than ten classes.",
        "Every attack draws from a generator of its own, with its own seed.",
        "Save and restore the global generator around the call, and name a seed.",
    ),
    Disagreement(
        "Foolbox 3.3.4, Carlini-Wagner and EAD",
        "The image returned for a failed attack is all black, with success False.",
        "Whether an attack succeeded is decided by the evaluation, from the image returned.",
        "Read Foolbox's images through its success flags.",
    ),
    Disagreement(
        "Foolbox 3.3.4 in L2 and torchattacks 3.5.1 PGDL2, float16",
        "A zero gradient gives NaN pixels; Foolbox counts them as a success.",
        "Attacks take float32 images only. An output that is not finite is reported by a check.",
        "Attack in float32.",
    ),
    Disagreement(
        "SecML-Torch 1.5, native PGD",
        "The last step is never returned: with one step the result is the clean image.",
        "The result has all steps in it; one step of PGD without random start is a step.",
        "Give SecML-Torch one step more than here.",
    ),
    Disagreement(
        "ART 1.20.1, AutoAttack",
        "FAB is not in the default, and a plain installation lacks the package multiprocess.",
        "AutoAttack (standard) runs APGD with cross-entropy, targeted APGD, FAB-T and Square.",
        "Install multiprocess, and compare attack by attack instead of the ensembles.",
    ),
    Disagreement(
        "PyTorch 2.15.0, autocast on a CPU in bfloat16",
        "log_softmax stays bfloat16, unlike on CUDA: its loss is 0 where cross-entropy is 0.0011.",
        "Losses are computed from float32 logits.",
        "Call .float() on the logits before the softmax.",
    ),
    Disagreement(
        "captum 0.9.0, DeepLift and Guided Backprop",
        "With functional ReLU, Guided Backprop is the plain gradient, without a word. DeepLift "
        "raises an error if one module is used twice.",
        "The view Attribution leaves these methods out for such a network and says why.",
        "Give every ReLU a module of its own.",
    ),
    Disagreement(
        "timm 1.0.31",
        "num_features is not the width of the last layer's input in mobilenetv3, mobilenetv4, "
        "ghostnet, vgg and lcnet.",
        "Features are the input of the last linear layer.",
        "Ask timm for head_hidden_size.",
    ),
    Disagreement(
        "transformers 5.24.0, image processors",
        "Float images in [0, 1] are divided by 255 again.",
        "Pixels are in [0, 1] and are normalised in the model, once.",
        "Pass do_rescale=False to the processor.",
    ),
    Disagreement(
        "MedMNIST 3.0.2",
        "Labels are [N, 1]; compared with predictions [N] they become a matrix [N, N].",
        "Labels are [N].",
        "Use labels.squeeze(1).",
    ),
    Disagreement(
        "safetensors 0.8.0, numpy interface",
        "A transposed array is saved with its values in the wrong order, without an error.",
        "Checkpoints are written from contiguous tensors.",
        "Call np.ascontiguousarray before saving.",
        "safetensors_numpy_strides.sh",
    ),
)


def find_disagreements(words: str) -> list[Disagreement]:
    """Return those that contain every one of the words."""
    wanted = words.casefold().split()
    return [
        one
        for one in DISAGREEMENTS
        if all(word in f"{one.tool} {one.theirs} {one.ours}".casefold() for word in wanted)
    ]
