"""Attribution: which pixels a class score comes from, with captum, and explanation quality.

All methods explain the logit z_c. Every call works on a copy where a method needs hooks, draws from
a generator of its own and leaves the model as it was.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from captum.attr import (
    DeepLift,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from torch import Tensor, nn

from robust_core.attacks.base import check_images
from robust_core.errors import InputError
from robust_core.models.base import Classifier
from robust_core.models.heads import CosineHead
from robust_core.models.modes import evaluation_mode
from robust_core.models.vit import SelfAttention
from robust_core.registry import unknown_name

AttributionName = Literal[
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "smoothgrad",
    "guided_backprop",
    "grad_cam",
    "occlusion",
    "deep_lift",
]
BASELINE = 0.5  # mid-grey, zero in the scale of the networks
NUM_PATH_STEPS = 32  # of integrated gradients
SMOOTHGRAD_DEVIATION, SMOOTHGRAD_SAMPLES = 0.1, 16
WINDOW_SHARE = 8  # the occluding square is an eighth of the image wide
PERTURBATION, NUM_PERTURBATIONS = 0.1, 32  # of infidelity
RADIUS, NUM_NEIGHBOURS = 0.02, 8  # of sensitivity

LOCAL = ("saliency", "input_x_gradient", "smoothgrad")  # need one pass at a time
HOOKED = ("guided_backprop", "deep_lift", "grad_cam")
GRADIENT_FREE = ("grad_cam", "occlusion")  # need no gradient with respect to pixels
BASELINE_OF = {"input_x_gradient": 0.0, "integrated_gradients": BASELINE, "deep_lift": BASELINE}


def not_applicable(model: Classifier, method: AttributionName) -> str | None:
    """Return why a method says nothing about a model, as a clause; None where it applies.

    Args:
        model: in eval mode.
        method: which method.

    Raises:
        InputError: an unknown method.
    """
    if method not in get_args(AttributionName):
        raise unknown_name("attribution method", method, list(get_args(AttributionName)))
    if model.stochastic and method not in LOCAL:
        return "it compares passes or layers of a network that sees another draw each time"
    if model.masking_parts and method not in GRADIENT_FREE:
        parts = ", ".join(model.masking_parts)
        return f"its part {parts} passes no gradient on, so the map would be zero"
    if method == "grad_cam":
        if any(isinstance(module, SelfAttention) for module in model.modules()):
            return "a transformer has tokens and no map of a last convolution"
        if _last_convolution(model) is None:
            return "it has no convolution to take a map from"
    if method in ("guided_backprop", "deep_lift"):
        return _unhookable(model, method)
    return None


def attribute(
    model: Classifier, x: Tensor, target: Tensor, method: AttributionName, *, seed: int = 0
) -> Tensor:
    """Return how much every pixel speaks for a class, signed: [N,C,H,W], [N] -> [N,C,H,W].

    - saliency: grad z_c, with its sign.
    - input_x_gradient: x * grad z_c.
    - integrated_gradients: (x - b) * mean of grad z_c on the line from b = 0.5 (mid-grey) to x;
      sums to z_c(x) - z_c(b). Sundararajan et al., ICML 2017, arXiv:1703.01365.
    - smoothgrad: mean gradient over 16 images with Gaussian noise of 0.1. Smilkov et al.,
      arXiv:1706.03825.
    - guided_backprop: gradient that only passes where it is positive at each ReLU. Springenberg et
      al., arXiv:1412.6806.
    - grad_cam: last convolution's maps, weighted by their mean gradients, negative parts kept, put
      bilinearly to the image's size, the same in every channel. Selvaraju et al., ICCV 2017,
      arXiv:1610.02391.
    - occlusion: fall of z_c when a square of an eighth of the width turns mid-grey. Zeiler and
      Fergus, ECCV 2014, arXiv:1311.2901.
    - deep_lift: rescale rule against mid-grey; sums as integrated gradients does. Shrikumar et al.,
      ICML 2017, arXiv:1704.02685.

    Args:
        model: maps [N,C,H,W] in [0, 1] to logits [N,K].
        x: images in [0, 1].
        target: class c of each image, int64.
        method: which method.
        seed: of the noise of smoothgrad; torch's default generator is left as it was.

    Raises:
        InputError: no images, images outside [0, 1], a class that does not exist, or a method that
            does not apply to the model.
    """
    check_images(model, x, target)
    if len(x) == 0:
        raise InputError("an attribution needs at least one image, got none")
    reason = not_applicable(model, method)
    if reason is not None:
        raise InputError(f"{method} does not apply to this model: {reason}")
    return _attribute(model, x, target, method, seed)


@dataclass(frozen=True)
class ExplanationQuality:
    """Explanation quality of an attribution: two measures, 0 at best, means over the images.

    Attributes:
        infidelity: E (<attribution, I> - (z_c(x) - z_c(x - I)))^2 over Gaussian I of deviation 0.1,
            the attribution scaled to fit best, so that methods and models can be compared.
        sensitivity: max over neighbours within 0.02 (Linf) of how far the attribution moves,
            relative to its length.
    """

    infidelity: float
    sensitivity: float


def explanation_quality(
    model: Classifier, x: Tensor, target: Tensor, method: AttributionName, *, seed: int = 0
) -> ExplanationQuality:
    """Return infidelity and maximal sensitivity of an attribution.

    Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019,
    arXiv:1901.09392. 32 perturbations and 8 neighbours; arguments and errors as for `attribute`.

    Raises:
        InputError: the model is stochastic, too: its passes differ without any perturbation.
    """
    if model.stochastic:
        raise InputError(
            "infidelity and sensitivity need a deterministic model, got a stochastic one"
        )
    attribution: Any = attribute(model, x, target, method, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    baseline = BASELINE_OF.get(method)
    images: Any = x  # captum's types want all inputs of one kind
    reference: Any = None if baseline is None else torch.full_like(x, baseline)

    def noisy(x: Tensor, baselines: Tensor | None = None) -> Tensor:
        return x - PERTURBATION * torch.randn(x.shape, generator=generator).to(x)

    def neighbour(x: Tensor, radius: float) -> Tensor:
        noise = torch.rand(x.shape, generator=generator).to(x)
        return (x + radius * (2 * noise - 1)).clamp(0.0, 1.0)

    def explain(inputs: Tensor | tuple[Tensor], **_: Any) -> Any:
        if not isinstance(inputs, Tensor):  # captum hands over either and wants the same back
            return (_attribute(model, inputs[0], target, method, seed),)
        labels = target.repeat_interleave(len(inputs) // len(target))
        return _attribute(model, inputs, labels, method, seed)

    decorate = infidelity_perturb_func_decorator(multiply_by_inputs=baseline is not None)
    with evaluation_mode(model), torch.no_grad():
        error = infidelity(
            model,
            decorate(noisy),
            images,
            attribution,
            baselines=reference,
            target=target,
            n_perturb_samples=NUM_PERTURBATIONS,
            normalize=True,
        )
        change = sensitivity_max(
            explain, x, neighbour, perturb_radius=RADIUS, n_perturb_samples=NUM_NEIGHBOURS
        )
    return ExplanationQuality(float(error.mean()), float(change.mean()))


def _attribute(
    model: Classifier, x: Tensor, target: Tensor, method: AttributionName, seed: int
) -> Tensor:
    # a model may be shared between threads: hooks and modes are for a copy
    hooked = copy.deepcopy(model).eval() if method in HOOKED else model
    with evaluation_mode(hooked), torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(seed)
        warnings.simplefilter("ignore", UserWarning)  # captum announces its hooks
        return _MAPS[method](hooked, x.detach().clone(), target).detach()


def _smoothgrad(model: nn.Module, x: Tensor, target: Tensor) -> Any:
    return NoiseTunnel(Saliency(model)).attribute(
        x,
        nt_type="smoothgrad",
        nt_samples=SMOOTHGRAD_SAMPLES,
        stdevs=SMOOTHGRAD_DEVIATION,
        target=target,
        abs=False,
    )


def _grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    layer = _last_convolution(model)
    assert layer is not None
    x.requires_grad_(True)  # or a frozen network leaves no graph
    small: Any = LayerGradCam(model, layer).attribute(x, target)
    size = (x.shape[2], x.shape[3])
    large = LayerAttribution.interpolate(small, size, interpolate_mode="bilinear")
    return large.expand_as(x).contiguous()


def _occlusion(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    channels, height, width = x.shape[1:]
    window = (channels, max(1, height // WINDOW_SHARE), max(1, width // WINDOW_SHARE))
    strides = (channels, max(1, window[1] // 2), max(1, window[2] // 2))
    return Occlusion(model).attribute(
        x,
        window,
        strides,
        baselines=BASELINE,
        target=target,
        perturbations_per_eval=32 if len(x) == 1 else 1,
    )


_MAPS: dict[str, Callable[[nn.Module, Tensor, Tensor], Any]] = {
    "saliency": lambda model, x, c: Saliency(model).attribute(x, c, abs=False),
    "input_x_gradient": lambda model, x, c: InputXGradient(model).attribute(x, c),
    "integrated_gradients": lambda model, x, c: IntegratedGradients(model).attribute(
        x, BASELINE, c, n_steps=NUM_PATH_STEPS, internal_batch_size=64
    ),
    "smoothgrad": _smoothgrad,
    "guided_backprop": lambda model, x, c: GuidedBackprop(model).attribute(x, c),
    "grad_cam": _grad_cam,
    "occlusion": _occlusion,
    "deep_lift": lambda model, x, c: DeepLift(model).attribute(x, torch.full_like(x, BASELINE), c),
}


def _last_convolution(model: nn.Module) -> nn.Conv2d | None:
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    # 1x1 shortcuts are listed after the convolutions beside which they stand
    full = [module for module in convolutions if module.kernel_size != (1, 1)]
    return (full or convolutions or [None])[-1]


def _unhookable(model: Classifier, method: AttributionName) -> str | None:
    """Compare the ReLUs that hooks can reach with those that the graph of one pass has."""
    calls: list[nn.Module] = []
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    copied = copy.deepcopy(model).eval()
    for module in copied.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda module, *_: calls.append(module))
    x = torch.full((1, *model.image_shape), BASELINE, requires_grad=True)
    with torch.enable_grad():
        names = _graph_names(copied(x))
    if "GeluBackward0" in names or not relus:
        return "it has a rule for ReLU only, and this network uses another activation, too"
    if names.count("ReluBackward0") != len(calls):
        return "it cannot change a ReLU that is called as a function instead of a module"
    if method == "deep_lift" and len(set(calls)) < len(calls):
        return "it needs a separate ReLU module at every place, and this network uses one twice"
    if method == "deep_lift" and any(isinstance(module, CosineHead) for module in model.modules()):
        return "it has no rule for the normalisation in the cosine head"
    return None


def _graph_names(logits: Tensor) -> list[str]:
    """Return the names of all nodes between `logits` and the leaves."""
    waiting, seen = [logits.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return [node.name() for node in seen]
