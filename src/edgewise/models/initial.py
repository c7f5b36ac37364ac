"""How the reference networks start before they are trained."""

import math

from torch import nn


def initialise(model: nn.Module) -> None:
    """Draws convolution weights after He et al. (2015, fan-out) and linear weights small, in place.

    Batch norms keep the identity they are made with. The numbers come from torch's present
    generator: seed it, or fork it, before building.

    Args:
        model: A network just built.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def drawn_deviation(conv: nn.Conv2d) -> float:
    """Standard deviation that :func:`initialise` draws a convolution's weights with."""
    return math.sqrt(2 / (conv.out_channels * math.prod(conv.kernel_size)))
