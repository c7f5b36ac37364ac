"""The published mobile networks of the tutorial's Table 1, as spaces of one network each.

Blocks after the reference implementations that reproduce the published counts; each is (kernel, width, stride, expansion).
"""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from edgewise.models.initial import initialise
from edgewise.models.mobile import MobileNet
from edgewise.space import SPACES, Space, Stage
from edgewise.space.catalog import PUBLISHED

_Block = tuple[int, int, int, int]

_MNASNET_A1: tuple[tuple[_Block, int, float], ...] = (
    ((3, 16, 1, 1), 1, 0.0),
    ((3, 24, 2, 6), 2, 0.0),
    ((5, 40, 2, 3), 3, 0.25),
    ((3, 80, 2, 6), 4, 0.0),
    ((3, 112, 1, 6), 2, 0.25),
    ((5, 160, 2, 6), 3, 0.25),
    ((3, 320, 1, 6), 1, 0.0),
)
_PROXYLESS_R: tuple[_Block, ...] = (
    (3, 16, 1, 1),
    (5, 32, 2, 3), (3, 32, 1, 3),
    (7, 40, 2, 3), (3, 40, 1, 3), (5, 40, 1, 3), (5, 40, 1, 3),
    (7, 80, 2, 6), (5, 80, 1, 3), (5, 80, 1, 3), (5, 80, 1, 3),
    (5, 96, 1, 6), (5, 96, 1, 3), (5, 96, 1, 3), (5, 96, 1, 3),
    (7, 192, 2, 6), (7, 192, 1, 6), (7, 192, 1, 3), (7, 192, 1, 3),
    (7, 320, 1, 6),
)  # fmt: skip
_FBNET_B: tuple[_Block, ...] = (
    (3, 16, 1, 1),
    (3, 24, 2, 6), (5, 24, 1, 1), (3, 24, 1, 1), (3, 24, 1, 1),
    (5, 32, 2, 6), (5, 32, 1, 3), (3, 32, 1, 6), (5, 32, 1, 6),
    (5, 64, 2, 6), (5, 64, 1, 6), (5, 64, 1, 3),
    (5, 112, 1, 6), (3, 112, 1, 1), (5, 112, 1, 1), (5, 112, 1, 3),
    (5, 184, 2, 6), (5, 184, 1, 1), (5, 184, 1, 6), (5, 184, 1, 6),
    (3, 352, 1, 6),
)  # fmt: skip
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Table 1 of Howard et al. 2017: output channels and stride of each depthwise-separable layer."""


def _single(block: _Block, *, depth: int = 1, se: float = 0.0) -> Stage:
    kernel, width, stride, expansion = block
    return Stage(width=width, depth=depth, stride=stride, kernels=(kernel,), expansions=(expansion,), ses=(se,), skip=False)


def _alone(name: str, stages: tuple[Stage, ...], *, stem: int = 32, head: int = 1280, activation: str = "relu") -> Space:
    return Space(
        name=name,
        input_shape=(1, 3, 224, 224),
        stem=stem,
        stem_stride=2,
        stages=stages,
        head=head,
        n_classes=1000,
        activation=activation,
        dropout=0.2,
    )


ALONE: Mapping[str, Space] = MappingProxyType(
    {
        space.name: space
        for space in (
            _alone("mnasnet-a1", tuple(_single(block, depth=depth, se=se) for block, depth, se in _MNASNET_A1)),
            _alone("proxylessnas-r", tuple(map(_single, _PROXYLESS_R)), activation="relu6"),
            _alone("fbnet-b", tuple(map(_single, _FBNET_B)), stem=16, head=1984),
        )
    }
)
"""Spaces that hold one published network each."""


def published(name: str) -> MobileNet:
    """A published network of inverted-residual blocks.

    Args:
        name: ``single-path-nas``, ``mnasnet-b1``, or a name in :data:`ALONE`.

    Example:
        >>> sum(parameter.numel() for parameter in published("single-path-nas").parameters())
        4421616
    """
    if name in PUBLISHED:
        return MobileNet(SPACES["imagenet"], PUBLISHED[name])
    return MobileNet(ALONE[name], ALONE[name].largest)


def mobilenet_v1() -> nn.Sequential:
    """MobileNetV1 at width 1.0 (Howard et al. 2017) for 1000 classes of 224x224 images; 568,740,352 MACs.

    Example:
        >>> sum(parameter.numel() for parameter in mobilenet_v1().parameters())
        4231976
    """
    layers: list[nn.Module] = [_conv(3, 32, kernel=3, stride=2)]
    before = 32
    for width, stride in _V1:
        layers += [_conv(before, before, kernel=3, stride=stride, groups=before), _conv(before, width, kernel=1)]
        before = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(before, 1000))
    initialise(network)
    return network


def _conv(in_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
