"""Small networks, one for each way in which channels can hang together."""

from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(n_in: int, n_out: int, size: int = 3, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, size, padding=size // 2, bias=False, **options), nn.BatchNorm2d(n_out), nn.ReLU())


class Net(nn.Module):
    """Stem (``a``), something in the middle, pooling and a classifier (``head``)."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(3, 8)
        self.head = nn.Linear(self.width, 5)
        self.build()

    def build(self) -> None:
        self.b = conv(8, 8)

    def middle(self, x: Tensor) -> Tensor:
        return self.b(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.middle(self.a(x)), 1).flatten(1))


class Chain(Net):
    pass


class Residual(Net):
    def middle(self, x: Tensor) -> Tensor:
        return F.relu(x + self.b(x))


class Restored(Net):
    """What is found is taken off the input itself, as networks that remove noise do."""

    width = 3

    def build(self) -> None:
        self.b = conv(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(x - self.b(self.a(x)), 1).flatten(1))


class Mixed(Net):
    """A linear layer over the 64 positions, once for each channel."""

    def build(self) -> None:
        self.b = nn.Linear(64, 64)

    def middle(self, x: Tensor) -> Tensor:
        return self.b(x.flatten(2)).unflatten(2, (8, 8))


class PaddedInCode(Net):
    width = 12

    def build(self) -> None:
        self.b = conv(8, 12)

    def middle(self, x: Tensor) -> Tensor:
        return self.b(x) + F.pad(x, (0, 0, 0, 0, 2, 2))


class Padding(nn.Module):
    channel_padding_attributes: ClassVar = ("before", "after")

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, self.before, self.after)) if self.before or self.after else x


class Padded(Net):
    width = 12

    def build(self) -> None:
        self.b = conv(8, 12)
        self.c = conv(12, 12)
        self.shortcut = Padding(1, 3)

    def middle(self, x: Tensor) -> Tensor:
        x = self.b(x) + self.shortcut(x)
        return x + self.c(x)


class Cropped(Net):
    width = 5

    def build(self) -> None:
        self.b = conv(8, 5)
        self.shortcut = Padding(-1, -2)

    def middle(self, x: Tensor) -> Tensor:
        return self.b(x) + self.shortcut(x)


class Depthwise(Net):
    def build(self) -> None:
        self.b = conv(8, 8, groups=8)
        self.c = conv(8, 8, 1)

    def middle(self, x: Tensor) -> Tensor:
        return self.c(self.b(x))


class Multiplied(Net):
    width = 16

    def build(self) -> None:
        self.b = conv(8, 16, groups=8)


class Grouped(Net):
    groups = 2

    def build(self) -> None:
        self.b = conv(8, 8, groups=self.groups)


class Grouped4(Grouped):
    groups = 4


class Grouped3(Net):
    width = 9

    def build(self) -> None:
        self.b = nn.Sequential(conv(8, 6), conv(6, 9, groups=3))


class Grouped32(Net):
    width = 64

    def build(self) -> None:
        self.b = nn.Sequential(conv(8, 64, 1), conv(64, 64, groups=32), conv(64, 64, 1))


class OneChannel(Net):
    width = 4

    def build(self) -> None:
        self.b = nn.Sequential(conv(8, 1), conv(1, 4))


class Concat(Net):
    width = 14

    def build(self) -> None:
        self.b = conv(8, 6)
        self.c = conv(14, 14, groups=14)

    def middle(self, x: Tensor) -> Tensor:
        return self.c(torch.cat([x, self.b(x)], 1))


class Gate(Net):
    def build(self) -> None:
        self.b = nn.Conv2d(8, 4, 1)
        self.c = nn.Conv2d(4, 8, 1)

    def middle(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.c(F.relu(self.b(x.mean((2, 3), keepdim=True)))))


class Shuffle(Net):
    def build(self) -> None:
        self.b = conv(8, 8)
        self.c = conv(8, 8, groups=8)

    def middle(self, x: Tensor) -> Tensor:
        x = self.b(x)
        n, c, h, w = x.shape
        return self.c(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


class Chunk(Net):
    width = 9

    def build(self) -> None:
        self.b = conv(4, 5)

    def middle(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return torch.cat([first, self.b(second)], 1)


class SplitByAttribute(Net):
    width = 10

    def build(self) -> None:
        self.kept = 3
        self.rest = 5
        self.b = conv(5, 7)

    def middle(self, x: Tensor) -> Tensor:
        first, second = torch.split(x, [self.kept, self.rest], dim=1)
        return torch.cat([first, self.b(second)], 1)


class SplitInCode(Net):
    width = 10

    def build(self) -> None:
        self.b = conv(5, 7)

    def middle(self, x: Tensor) -> Tensor:
        first, second = torch.split(x, [3, 5], dim=1)
        return torch.cat([first, self.b(second)], 1)


class Flat(Net):
    width = 8 * 16

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(F.adaptive_avg_pool2d(self.b(self.a(x)), 4), 1))


class FlatInCode(Net):
    width = 8 * 16

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.b(self.a(x)), 4).view(-1, 128))


class Shared(Net):
    def middle(self, x: Tensor) -> Tensor:
        return self.b(self.b(x))


class LayerScale(Net):
    def build(self) -> None:
        self.b = conv(8, 8)
        self.gamma = nn.Parameter(torch.full((8, 1, 1), 1e-6))

    def middle(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.b(x)


class ConvNeXt(Net):
    def build(self) -> None:
        self.dw = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 32)
        self.down = nn.Linear(32, 8)
        self.gamma = nn.Parameter(torch.full((8,), 1e-6))

    def middle(self, x: Tensor) -> Tensor:
        y = self.norm(self.dw(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class GroupNormed(Net):
    def build(self) -> None:
        self.b = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), conv(8, 8))


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class WeightStandardised(Net):
    def build(self) -> None:
        self.b = nn.Sequential(Standardised(8, 6, 3, padding=1), nn.ReLU(), Standardised(6, 8, 3, padding=1))


class Transposed(Net):
    width = 6

    def build(self) -> None:
        self.b = nn.Sequential(nn.ConvTranspose2d(8, 10, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(10, 6, 2, stride=2, groups=2))


class Glu(Net):
    width = 6

    def build(self) -> None:
        self.b = nn.Conv2d(8, 12, 1)

    def middle(self, x: Tensor) -> Tensor:
        return F.glu(self.b(x), dim=1)


class Pixels(Net):
    width = 3

    def build(self) -> None:
        self.b = nn.Conv2d(8, 12, 1)

    def middle(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.b(x), 2)


class Attention(Net):
    def build(self) -> None:
        self.q, self.k, self.v = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 8, 1)

    def middle(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.q(x).flatten(2).transpose(1, 2) @ self.k(x).flatten(2), dim=-1)
        return x + (self.v(x).flatten(2) @ weights.transpose(1, 2)).view_as(x)


class Spatial(Net):
    def build(self) -> None:
        self.b = nn.Conv2d(2, 1, 7, padding=3)

    def middle(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.b(pooled))


class Twins(nn.Module):
    """Two inputs, a dictionary of outputs, one of them a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 8), conv(1, 8), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor | tuple[Tensor, ...]]:
        both = self.a(x) + self.b(y)
        return {"mask": self.c(both), "more": (both.mean((1, 2, 3)),)}


NETWORKS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in [
        *(
            Chain,
            Residual,
            PaddedInCode,
            Padded,
            Cropped,
            Depthwise,
            Multiplied,
            Grouped,
            Grouped4,
            Grouped3,
            Grouped32,
            OneChannel,
            Concat,
        ),
        *(Gate, Shuffle, Chunk, SplitByAttribute, SplitInCode, Flat, FlatInCode, Shared, LayerScale, ConvNeXt, GroupNormed),
        *(WeightStandardised, Transposed, Glu, Pixels, Attention, Mixed, Spatial, Twins, Restored),
    ]
}

Subject = tuple[nn.Module, tuple[Tensor, ...]]


def make(name: str) -> Subject:
    """A network with weights that leave no path silent, and inputs for it."""
    generator = torch.Generator().manual_seed(1)
    model = NETWORKS[name]().eval()
    with torch.no_grad():
        for tensor in [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())]:
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise * 0.4 if tensor.ndim > 1 else 0.5 + noise.sigmoid())
    shapes = [(1, 3, 8, 8), (1, 1, 8, 8)] if name == "Twins" else [(1, 3, 8, 8)]
    return model, tuple(torch.randn(shape, generator=generator) for shape in shapes)


@pytest.fixture
def subject() -> Callable[[str], Subject]:
    return make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "network" in metafunc.fixturenames:
        metafunc.parametrize("network", sorted(NETWORKS))
