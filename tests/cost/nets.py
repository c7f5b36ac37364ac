"""Small networks at any widths, built from modules as people write them."""

import torch
from torch import Tensor, nn


def conv(
    read: int, written: int, window: int = 3, *, stride: int = 1, groups: int = 1, activation: type[nn.Module] | None = nn.ReLU
) -> nn.Sequential:
    parts: list[nn.Module] = [
        nn.Conv2d(read, written, window, stride=stride, padding=window // 2, groups=groups, bias=False),
        nn.BatchNorm2d(written),
    ]
    return nn.Sequential(*parts, *([activation()] if activation else []))


def head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]


class Residual(nn.Module):
    """A block with a shortcut: ReLU behind the addition, as in ResNet."""

    def __init__(self, read: int, middle: int, written: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(read, middle, stride=stride), conv(middle, written, activation=None))
        same = read == written and stride == 1
        self.shortcut = nn.Identity() if same else conv(read, written, 1, stride=stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class Inverted(nn.Module):
    """A block of MobileNetV2 (or V3, with a gate)."""

    def __init__(self, read: int, middle: int, written: int, activation: type[nn.Module] = nn.ReLU6, *, gate: int = 0) -> None:
        super().__init__()
        self.widen = conv(read, middle, 1, activation=activation)
        self.depth = conv(middle, middle, groups=middle, activation=activation)
        self.gate = Gate(middle, gate) if gate else nn.Identity()
        self.narrow = conv(middle, written, 1, activation=None)
        self.adds = read == written

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.narrow(self.gate(self.depth(self.widen(x))))
        return x + made if self.adds else made


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, width: int, middle: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(width, middle, 1)
        self.excite = nn.Conv2d(middle, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.nn.functional.hardsigmoid(self.excite(torch.relu(self.squeeze(self.pool(x)))))


class Branches(nn.Module):
    """Two branches, concatenated."""

    def __init__(self, read: int, first: int, second: int) -> None:
        super().__init__()
        self.first, self.second = conv(read, first), conv(read, second, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x), self.second(x)], 1)


def chain(*widths: int) -> nn.Module:
    reads = (3, *widths)
    return nn.Sequential(*(conv(read, written) for read, written in zip(reads, widths, strict=False)), *head(widths[-1]))


def pooled(first: int, second: int, third: int) -> nn.Module:
    """As VGG: max pooling between convolutions."""
    return nn.Sequential(conv(3, first), nn.MaxPool2d(2), conv(first, second), conv(second, third), nn.MaxPool2d(2, 2), *head(third))


def activated(first: int, second: int, activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(conv(3, first, activation=activation), conv(first, second, activation=activation), *head(second))


def residual(first: int, middle: int, second: int) -> nn.Module:
    blocks = [Residual(first, middle, first), Residual(first, middle, first), Residual(first, middle, second, 2)]
    return nn.Sequential(conv(3, first), *blocks, *head(second))


def inverted(first: int, middle: int, second: int) -> nn.Module:
    return nn.Sequential(
        conv(3, first, stride=2),
        Inverted(first, middle, first),
        Inverted(first, middle, second),
        Inverted(second, middle, second),
        *head(second),
    )


def gated(first: int, middle: int, gate: int) -> nn.Module:
    act = nn.Hardswish
    return nn.Sequential(conv(3, first, activation=act), Inverted(first, middle, first, act, gate=gate), conv(first, 32, 1), *head(32))


def grouped(width: int, groups: int) -> nn.Module:
    return nn.Sequential(conv(3, width), conv(width, width, groups=groups), conv(width, 32), *head(32))


def concat(first: int, left: int, right: int) -> nn.Module:
    return nn.Sequential(conv(3, first), Branches(first, left, right), conv(left + right, 32), *head(32))


def strided(first: int, second: int) -> nn.Module:
    """As MobileNetV1: strided depthwise convolutions."""
    return nn.Sequential(
        conv(3, first, stride=2), conv(first, first, stride=2, groups=first), conv(first, second, 1), nn.Dropout(0.2), *head(second)
    )


def averaged(first: int, second: int) -> nn.Module:
    return nn.Sequential(conv(3, first), nn.AvgPool2d(2), conv(first, second), *head(second))


class Preactivated(nn.Module):
    """Norm and activation before each convolution, as in DenseNet."""

    def __init__(self, read: int, grow: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(read), nn.Conv2d(read, grow, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)


class Twice(nn.Module):
    """A result that an activation and another layer read."""

    def __init__(self, width: int, activation: nn.Module, *, multiply: bool) -> None:
        super().__init__()
        self.conv, self.activation, self.multiply = nn.Conv2d(width, width, 3, padding=1), activation, multiply

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y * self.activation(y) if self.multiply else torch.cat([y, self.activation(y)], 1)


def dense(first: int, grow: int) -> nn.Module:
    return nn.Sequential(conv(3, first), Preactivated(first, grow), Preactivated(first + grow, grow), conv(first + 2 * grow, 32), *head(32))


def twice(width: int, activation: nn.Module, *, multiply: bool = False) -> nn.Module:
    return nn.Sequential(conv(3, width), Twice(width, activation, multiply=multiply), conv(width if multiply else 2 * width, 32), *head(32))


def perceptron(width: int, activation: type[nn.Module], *, norm: bool = False) -> nn.Module:
    norms = [nn.BatchNorm1d(64)] if norm else []
    return nn.Sequential(
        conv(3, width, stride=2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(width * 16, 64), *norms, activation(), nn.Linear(64, 10)
    )
