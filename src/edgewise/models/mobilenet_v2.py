"""MobileNetV2 (Sandler et al. 2018), with parameters named as torchvision names them."""

from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edgewise.models.initial import initialise

_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Table 2 of the paper: expansion, output channels, repeats, stride of the first."""
_STEM = 32
_LAST = 1280


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel by 3x3, project by 1x1; added to the input where shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, expansion: int) -> None:
        """Builds the block; without expansion (1) it has no first convolution."""
        super().__init__()
        inner = in_channels * expansion
        layers: list[nn.Module] = [_conv_norm_relu6(in_channels, inner, kernel=1)] if expansion > 1 else []
        layers.append(_conv_norm_relu6(inner, inner, kernel=3, stride=stride, groups=inner))
        self.conv = nn.Sequential(*layers, nn.Conv2d(inner, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        self.adds_input = stride == 1 and in_channels == out_channels

    @no_type_check  # fx, torch.compile and torch.export call it with stand-ins for tensors
    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k p q"]:
        """The block's maps, plus the input where shapes allow."""
        return maps + self.conv(maps) if self.adds_input else self.conv(maps)


class MobileNetV2(nn.Module):
    """MobileNetV2 at width 1.0; parameters are named ``features.N.*`` and ``classifier.1.*`` as in torchvision."""

    def __init__(self, *, n_classes: int = 1000) -> None:
        """Builds the network with initial weights and ``n_classes`` outputs."""
        super().__init__()
        layers: list[nn.Module] = [_conv_norm_relu6(3, _STEM, kernel=3, stride=2)]
        before = _STEM
        for expansion, width, repeats, first_stride in _BLOCKS:
            for repeat in range(repeats):
                layers.append(InvertedResidual(before, width, stride=first_stride if repeat == 0 else 1, expansion=expansion))
                before = width
        self.features = nn.Sequential(*layers, _conv_norm_relu6(before, _LAST, kernel=1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(_LAST, n_classes))
        initialise(self)

    @no_type_check  # see InvertedResidual.forward
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """Scores of each class, before softmax."""
        pooled = nn.functional.adaptive_avg_pool2d(self.features(images), (1, 1))
        return self.classifier(torch.flatten(pooled, 1))


def mobilenet_v2() -> MobileNetV2:
    """MobileNetV2 for 1000 classes of 224x224 images; 300,774,272 MACs.

    Example:
        >>> sum(p.numel() for p in mobilenet_v2().parameters())
        3504872
    """
    return MobileNetV2()


def _conv_norm_relu6(in_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )
