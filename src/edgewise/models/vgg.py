"""VGG-16 with batch norm for images of 32x32 (Simonyan and Zisserman 2015, in its CIFAR form)."""

from typing import no_type_check

from jaxtyping import Float
from torch import Tensor, nn

from edgewise._core.errors import SpecError
from edgewise.models.initial import initialise

BASE_WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
"""Output channels of the 13 convolutions as published."""
HRANK_RATES = (0.45,) * 7 + (0.78,) * 5
"""Shares removed from the first 12 convolutions in the row that the tutorial's tables call HRank (HRankPlus, 1.90M / 66.95M)."""
_POOL_AFTER = frozenset({2, 4, 7, 10})
_HIDDEN = 512


class Vgg(nn.Module):
    """Convolutions with batch norm and ReLU, five poolings, and a head of two linear layers.

    Parameters are named ``features.N.*`` and ``classifier.N.*``.
    """

    def __init__(self, widths: tuple[int, ...] = BASE_WIDTHS, *, conv_bias: bool = False, n_classes: int = 10) -> None:
        """Builds the network with initial weights.

        Args:
            widths: Output channels of each of the 13 convolutions, each at least 1.
            conv_bias: Give the convolutions biases, as the HRank networks have them.
            n_classes: Outputs; at least 1.

        Raises:
            SpecError: Not 13 widths, or a width below 1.
        """
        super().__init__()
        if len(widths) != len(BASE_WIDTHS) or min(widths) < 1:
            raise SpecError(f"`widths` of VGG-16 must be 13 numbers of at least 1, got {widths}")
        self.features = nn.Sequential(*_feature_layers(widths, conv_bias=conv_bias))
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1], _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.ReLU(inplace=True), nn.Linear(_HIDDEN, n_classes)
        )
        initialise(self)

    @no_type_check  # fx, torch.compile and torch.export call it with stand-ins for tensors
    def forward(self, images: Float[Tensor, "b 3 32 32"]) -> Float[Tensor, "b classes"]:
        """Scores of each class, before softmax."""
        return self.classifier(self.features(images).flatten(1))


def vgg16(widths: tuple[int, ...] = BASE_WIDTHS, *, conv_bias: bool = False) -> Vgg:
    """VGG-16 with batch norm for 10 classes of 32x32 images; 313,463,808 MACs at the published widths.

    Example:
        >>> sum(p.numel() for p in vgg16().parameters())
        14987722
    """
    return Vgg(widths, conv_bias=conv_bias)


def hrank_widths(rates: tuple[float, ...] = HRANK_RATES) -> tuple[int, ...]:
    """Widths of an HRankPlus network: ``int(width * (1 - rate))`` for 12 convolutions, the last one whole.

    Args:
        rates: Share removed from each of the first 12 convolutions, in [0, 1).

    Example:
        >>> hrank_widths()
        (35, 35, 70, 70, 140, 140, 140, 112, 112, 112, 112, 112, 512)
    """
    return (*(int(width * (1 - rate)) for width, rate in zip(BASE_WIDTHS[:-1], rates, strict=True)), BASE_WIDTHS[-1])


def _feature_layers(widths: tuple[int, ...], *, conv_bias: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    before = 3
    for place, width in enumerate(widths, start=1):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=conv_bias), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        if place in _POOL_AFTER:
            layers.append(nn.MaxPool2d(2))
        before = width
    return [*layers, nn.AvgPool2d(2)]
