"""The body that pre-activation residual networks share."""

from collections.abc import Sequence

from torch import Tensor, nn


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution without bias that keeps the size (up to its stride)."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


class PreActBlock(nn.Module):
    """Basic residual block: shortcut + conv(relu(bn(conv(relu(bn(x)))))).

    Where shape changes, the shortcut is a 1x1 convolution of relu(bn(x)), otherwise it is x.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output: [N,A,H,W] -> [N,B,ceil(H/stride),ceil(W/stride)]."""
        active = self.relu1(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        residual = self.conv2(self.relu2(self.norm2(self.conv1(active))))
        return residual + shortcut


class PreActTrunk(nn.Module):
    """3x3 stem, groups of `PreActBlock`s, BN and ReLU, mean over all places: [N,C,H,W] -> [N,D].

    The stem and the first group keep the image's size; each further group halves it. The last group
    ends before an activation, so one more BN and ReLU stand in front of the mean.

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027,
    fig. 1b.
    """

    def __init__(
        self, in_channels: int, stem_width: int, group_widths: Sequence[int], blocks_per_group: int
    ):
        super().__init__()
        self.stem = conv3x3(in_channels, stem_width)
        blocks: list[nn.Module] = []
        channels = stem_width
        for group, width in enumerate(group_widths):
            for block in range(blocks_per_group):
                blocks.append(PreActBlock(channels, width, 2 if group > 0 and block == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features: [N,C,H,W] -> [N,D], D the last group's width."""
        maps = self.relu(self.norm(self.blocks(self.stem(x))))  # [N, D, H', W']
        return self.pool(maps).flatten(1)
