"""The same space with a branch for every choice: what single-path search is cheaper than.

Every candidate of a block has weights of its own, and all run; their outputs are summed by the softmax of trained
logits (as in DARTS and FBNet). It exists for the comparison of costs, and trains like any network.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edgewise.models.mobile import InvertedBlock, classifier_of, head_of, stem_of
from edgewise.space import BlockSpace, Space


class MixedBlock(nn.Module):
    """All choices of a block side by side.

    Args:
        block: Where it stands, and what it may be.
        activation: ``relu`` or ``relu6``.
    """

    def __init__(self, block: BlockSpace, *, activation: str = "relu") -> None:
        super().__init__()
        made = [InvertedBlock(block, choice, activation=activation) for choice in block.choices if not choice.skip]
        self.paths = nn.ModuleList(made)
        self.skips = block.skippable
        self.logits = nn.Parameter(torch.zeros(len(block.choices)))

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k p q"]:
        """The mean of what all choices give, weighed by their probabilities; skipping gives the input."""
        weights = torch.softmax(self.logits, 0)
        out = sum(weight * path(maps) for weight, path in zip(weights, self.paths, strict=False))
        return cast(Tensor, out + weights[-1] * maps if self.skips else out)


class MultiPathNet(nn.Module):
    """A supernet with a path for every choice.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.stem, self.head, self.classifier = stem_of(space), head_of(space), classifier_of(space)
        self.blocks = nn.Sequential(*(MixedBlock(block, activation=space.activation) for block in space.blocks))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """Scores of each class."""
        return cast(Tensor, self.classifier(self.head(self.blocks(self.stem(images))).mean((2, 3))))
