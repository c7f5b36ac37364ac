"""Exact parameters and multiply-accumulates of the networks of a space, without building them."""

import math
from dataclasses import dataclass

from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.space.space import BlockSpace, Space


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Learnt parameters (norms' scales and shifts included) and multiply-accumulates of convolutions and linear layers."""

    params: int
    macs: int

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(params=self.params + other.params, macs=self.macs + other.macs)


_NOTHING = Counts(params=0, macs=0)


def block_counts(block: BlockSpace, choice: BlockChoice) -> Counts:
    """What one block costs as one of its choices.

    ``expand (none at expansion 1) -> depthwise -> squeeze-and-excitation -> project``, a norm behind each
    convolution; the two convolutions of squeeze-and-excitation have biases instead.

    Args:
        block: The block.
        choice: What it is.

    Example:
        >>> from edgewise.space.catalog import SPACES
        >>> block = SPACES["imagenet"].blocks[1]
        >>> block_counts(block, block.largest)
        Counts(params=6672, macs=34019328)
    """
    if choice.skip:
        return _NOTHING
    inner, here, after = block.in_channels * choice.expansion, math.prod(block.in_hw), math.prod(block.out_hw)
    parts = [_conv(inner, choice.kernel**2, after), _conv(block.out_channels, inner, after)]
    if choice.expansion > 1:
        parts.append(_conv(inner, block.in_channels, here))
    reduced = block.reduced(choice.se)
    if reduced:
        parts.append(Counts(params=2 * inner * reduced + reduced + inner, macs=2 * inner * reduced))
    return sum(parts, _NOTHING)


def rest_counts(space: Space) -> Counts:
    """What the stem, the last convolution and the classifier cost."""
    colours, (height, width) = space.input_shape[1], space.blocks[0].in_hw
    last = space.blocks[-1]
    pooled = space.head or last.out_channels
    parts = [_conv(space.stem, 9 * colours, height * width)]
    if space.head:
        parts.append(_conv(space.head, last.out_channels, math.prod(last.out_hw)))
    parts.append(Counts(params=(pooled + 1) * space.n_classes, macs=pooled * space.n_classes))
    return sum(parts, _NOTHING)


def counts_of(space: Space, plan: ArchPlan) -> Counts:
    """What a network of a space costs.

    Raises:
        PlanError: The plan is not of this space.

    Example:
        >>> from edgewise.space.catalog import SPACES
        >>> counts_of(SPACES["imagenet"], SPACES["imagenet"].largest)
        Counts(params=4833768, macs=525305600)
    """
    space.check(plan)
    return sum((block_counts(block, choice) for block, choice in zip(space.blocks, plan.blocks, strict=True)), rest_counts(space))


def _conv(outputs: int, inputs: int, positions: int) -> Counts:
    """A convolution without bias and its norm; ``inputs`` are the values that each output reads."""
    return Counts(params=outputs * inputs + 2 * outputs, macs=outputs * inputs * positions)
