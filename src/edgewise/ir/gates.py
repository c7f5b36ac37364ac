"""Which feature maps are pruned for each input, and by how much: plans for gates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgewise._core.errors import PlanError


def kept_count(count: int, ratio: float) -> int:
    """How many of ``count`` channels or positions stay when a ratio of them is pruned: ``count - floor(ratio * count + 1e-9)``.

    Args:
        count: Channels or positions; at least 1.
        ratio: Pruned share, in [0, 1).

    Raises:
        PlanError: The ratio lies outside [0, 1).

    Example:
        >>> kept_count(64, 0.2), kept_count(10, 0.9), kept_count(256, 0.6)
        (52, 1, 103)
    """
    if not 0 <= ratio < 1:
        raise PlanError(f"a pruned ratio must lie in [0, 1), got {ratio:g}")
    return count - math.floor(ratio * count + 1e-9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A feature map that is pruned before a convolution reads it.

    Attributes:
        consumer: The convolution whose input is pruned.
        producer: The convolution that wrote the map.
        block: Which of the network's blocks the map was produced in, from 0.
        channels: Channels of the map.
        hw: Its height and width.
        channel_ratio: Pruned share of channels, in [0, 1).
        spatial_ratio: Pruned share of positions, in [0, 1).
    """

    consumer: str
    producer: str
    block: int
    channels: int
    hw: tuple[int, ...]
    channel_ratio: float = 0.0
    spatial_ratio: float = 0.0

    @property
    def kept_channels(self) -> int:
        """Channels that stay, for every input."""
        return kept_count(self.channels, self.channel_ratio)

    @property
    def kept_positions(self) -> int:
        """Positions that stay, for every input."""
        return kept_count(math.prod(self.hw), self.spatial_ratio)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatePlan:
    """All gates of a network, at most one a consumer.

    Attributes:
        gates: In running order of the consumers.
        heads: Linear layers that read a map of a block through pooling, as (layer, producer, block): they are
            not gated, but static removal of channels reaches them.
        n_blocks: Blocks that ratios are given for.
    """

    gates: tuple[Gate, ...]
    heads: tuple[tuple[str, str, int], ...] = ()
    n_blocks: int = 0

    def __post_init__(self) -> None:
        """Checks that no input is gated twice."""
        names = [gate.consumer for gate in self.gates]
        if len(names) != len(set(names)):
            raise PlanError(f"an input must be gated once, got {sorted(name for name in set(names) if names.count(name) > 1)}")


def check_ratios(name: str, ratios: Sequence[float], *, n_blocks: int) -> tuple[float, ...]:
    """Ratios of each block from those that a person gave: one for all blocks, or one for each.

    Args:
        name: The flag, for the error.
        ratios: Pruned shares; empty for none.
        n_blocks: Blocks of the network.

    Raises:
        PlanError: Another number of ratios, or one outside [0, 1).

    Example:
        >>> check_ratios("--channel-ratios", (0.5,), n_blocks=3)
        (0.5, 0.5, 0.5)
    """
    wrong = [ratio for ratio in ratios if not 0 <= ratio < 1]
    if wrong:
        raise PlanError(f"{name} must lie in [0, 1), got {wrong[0]:g}")
    if not ratios:
        return (0.0,) * n_blocks
    if len(ratios) == 1:
        return (ratios[0],) * n_blocks
    if len(ratios) != n_blocks:
        raise PlanError(f"{name} needs 1 ratio or {n_blocks} (one for each block), got {len(ratios)}")
    return tuple(ratios)
