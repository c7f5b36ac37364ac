"""A small residual network for the embedded handwritten digits of 8x8 pixels.

Its widths were chosen to be no multiples of 16, as those of pruned networks are: there is
something to win on any hardware that works in blocks of channels.
"""

from typing import no_type_check

from jaxtyping import Float
from torch import Tensor, nn

from edgewise.models.initial import initialise

STEM, NARROW, MIDDLE, WIDE, INNER = 24, 40, 56, 72, 88
"""Channels of the stem, the first stage, its inside, the second stage, its inside."""


def _unit(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions with batch norm around a shortcut, then ReLU."""

    def __init__(self, channels: int, inner_channels: int) -> None:
        """Builds the block; the shortcut has no weights."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner_channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()

    @no_type_check  # fx, torch.compile and torch.export call it with stand-ins for tensors
    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The maps plus what the two convolutions add to them."""
        return self.relu2(maps + self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps))))))


class DigitsCnn(nn.Module):
    """A stem, a residual stage at 8 and one at 4 pixels, global average pooling, a linear layer."""

    def __init__(self, n_classes: int = 10) -> None:
        """Builds the network with initial weights."""
        super().__init__()
        self.stem = _unit(1, STEM)
        self.widen = _unit(STEM, NARROW)
        self.block1 = Residual(NARROW, MIDDLE)
        self.down = _unit(NARROW, WIDE, stride=2)
        self.block2 = Residual(WIDE, INNER)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(WIDE, n_classes)
        initialise(self)

    @no_type_check  # see Residual.forward
    def forward(self, images: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        maps = self.block2(self.down(self.block1(self.widen(self.stem(images)))))
        return self.linear(self.pool(maps).flatten(1))
