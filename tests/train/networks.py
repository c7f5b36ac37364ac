"""Small networks and batches that the tests of ``edgewise.train`` share."""

import torch
from torch import nn

from edgewise.train.batches import Loaders


def small_cnn(*, n_classes: int = 10, channels: int = 1, width: int = 16, dropout: float = 0.0) -> nn.Sequential:
    """Three convolutions with batch norms, average pooling, a linear layer; weights drawn from a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1, stride=2, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(2 * width, 2 * width, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, n_classes),
        )


def random_batches(n_batches: int, *, batch: int = 8, channels: int = 1, side: int = 8, n_classes: int = 10, seed: int = 0) -> list:
    """Batches of noise with random classes."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(batch, channels, side, side, generator=generator), torch.randint(0, n_classes, (batch,), generator=generator))
        for _ in range(n_batches)
    ]


def random_loaders(**shape: int) -> Loaders:
    """Five training batches and two validation batches of noise."""
    return Loaders(train=random_batches(5, **shape), validation=random_batches(2, seed=1, **shape))


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether two networks agree in every bit of their state."""
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
