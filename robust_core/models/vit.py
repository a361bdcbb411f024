"""A small vision transformer for small images."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import MODELS, Classifier, Normalize
from robust_core.models.heads import HeadBias, HeadKind, HeadNormalisation, create_head
from robust_core.parameters import Parameters

MAX_PATCHES = 576  # 96x96 in patches of 4; attention needs memory as the square of this


class ViTParameters(Parameters):
    """Parameters of `vit`."""

    patch_size: Annotated[
        int, Field(ge=1, le=32, description="Side of a square patch; must divide height and width.")
    ] = 4
    depth: Annotated[int, Field(ge=1, le=12, description="Encoder layers.")] = 7
    hidden: Annotated[
        int, Field(ge=8, le=768, description="Size of a token and of the hidden layer of the MLP.")
    ] = 384
    heads: Annotated[
        int, Field(ge=1, le=16, description="Attention heads; must divide hidden.")
    ] = 12
    head: HeadKind = "linear"
    head_bias: HeadBias = True
    head_normalisation: HeadNormalisation = "functional"

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(
                f"hidden must be a multiple of heads, got hidden {self.hidden} "
                f"and heads {self.heads}"
            )
        return self


class SelfAttention(nn.Module):
    """Multi-head self-attention: o(softmax(q k^T / sqrt(hidden)) v).

    Written out, because fused attention kernels have no second derivative. The scale is that of the
    released code, sqrt(hidden) and not sqrt(hidden / heads).
    """

    def __init__(self, hidden: int, heads: int):
        super().__init__()
        self.heads = heads
        self.scale = hidden**-0.5
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.softmax = nn.Softmax(dim=-1)
        self.output = nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return what each token gathers from all: [N,T,hidden] -> [N,T,hidden]."""
        query, key, value = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [N, heads, T, d]
            for layer in (self.query, self.key, self.value)
        )
        weights = self.softmax(query @ key.transpose(2, 3) * self.scale)  # [N, heads, T, T]
        return self.output((weights @ value).transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Pre-norm encoder layer: t + attention(ln(t)), then t + mlp(ln(t)), GELU after both layers."""

    def __init__(self, hidden: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden)
        self.attention = SelfAttention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the layer's output: [N,T,hidden] -> [N,T,hidden]."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


@MODELS.register("vit")
class ViT(Classifier):
    """Vision transformer with a class token, whose final layer-normalised state is the features.

    Defaults on 3x32x32, K = 10: 64 patches of 4x4, 7 layers of size 384, MLP hidden size 384, 12
    heads, no dropout, 6,268,810 parameters. Class token and positions start as N(0, 1).

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929; the
    variant is that of omihub777/ViT-CIFAR as used by PAG (Ganz et al., ICML 2023,
    arXiv:2207.11378): GELU after both MLP layers, attention scaled by sqrt(hidden). Difference: the
    patches are embedded by a convolution, which is the same map with its inputs in another order.
    """

    Parameters = ViTParameters
    fused_form = None

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, parameters: ViTParameters
    ):
        super().__init__(image_shape, num_classes, num_features=parameters.hidden)
        channels, height, width = image_shape
        patch, hidden = parameters.patch_size, parameters.hidden
        num_patches = _count_patches(height, width, patch)
        self.normalize = Normalize()
        self.embedding = nn.Conv2d(channels, hidden, patch, stride=patch)
        self.class_token = nn.Parameter(torch.randn(1, 1, hidden))
        self.positions = nn.Parameter(torch.randn(1, num_patches + 1, hidden))
        self.encoder = nn.Sequential(
            *(EncoderLayer(hidden, parameters.heads) for _ in range(parameters.depth))
        )
        self.norm = nn.LayerNorm(hidden)
        self.classifier = create_head(self.num_features, num_classes, parameters)

    def features(self, x: Tensor) -> Tensor:
        """Return the class token after the last layer norm: [N,C,H,W] in [0, 1] -> [N,hidden]."""
        patches = self.embedding(self.normalize(x)).flatten(2).transpose(1, 2)  # [N, T - 1, hidden]
        class_token = self.class_token.expand(x.shape[0], -1, -1)
        tokens = torch.cat([class_token, patches], dim=1) + self.positions  # [N, T, hidden]
        return self.norm(self.encoder(tokens)[:, 0])

    def head(self, z: Tensor) -> Tensor:
        """Return the logits of features: [N,hidden] -> [N,K]."""
        return self.classifier(z)


def _count_patches(height: int, width: int, patch_size: int) -> int:
    if height % patch_size or width % patch_size:
        raise InputError(
            f"patch_size must divide the image's height and width, got patch_size {patch_size} "
            f"for {height}x{width}"
        )
    num_patches = (height // patch_size) * (width // patch_size)
    if num_patches > MAX_PATCHES:
        raise InputError(
            f"vit takes at most {MAX_PATCHES} patches, got {num_patches} with patch_size "
            f"{patch_size} for {height}x{width}: choose a larger patch_size"
        )
    return num_patches
