"""Static against dynamic redundancy: what no input needs, and what only this input does not need."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.cost.chip.masks import LayerMask
from edgewise.ir.gates import GatePlan

RARELY = 0.01
"""Kept for at most this share of the images, an entry counts as needed by none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Redundancy:
    """What is pruned of a block's maps, split by whether the choice depends on the input.

    Attributes:
        block: The block.
        side: ``channels`` or ``positions``.
        pruned: Share pruned of every map.
        static: Share that (almost) no image keeps: static pruning could remove it.
        dynamic: The rest of what is pruned: other entries for other images.
    """

    block: int
    side: str
    pruned: float
    static: float
    dynamic: float

    def to_json(self) -> dict[str, Any]:
        """The shares as JSON values."""
        return asdict(self)


def redundancy_of(plan: GatePlan, masks: Mapping[str, LayerMask]) -> tuple[Redundancy, ...]:
    """Splits what each block's gates pruned.

    Args:
        plan: The gates.
        masks: What they kept of many images, by consumer.

    Returns:
        One entry for each block and side that is pruned; means over the block's gates, each entry weighing the same.

    Example:
        >>> from edgewise.ir.gates import Gate
        >>> gate = Gate(consumer="b", producer="a", block=0, channels=4, hw=(1, 1), channel_ratio=0.5)
        >>> kept = np.array([[True, True, False, False], [True, False, True, False]])   # the last one is never kept
        >>> redundancy_of(GatePlan(gates=(gate,), n_blocks=1), {"b": LayerMask(channels=kept)})
        (Redundancy(block=0, side='channels', pruned=0.5, static=0.25, dynamic=0.25),)
    """
    found = []
    for block in range(plan.n_blocks):
        gates = [gate for gate in plan.gates if gate.block == block and gate.consumer in masks]
        channels = [masks[gate.consumer].channels for gate in gates if gate.channel_ratio]
        positions = [masks[gate.consumer].positions for gate in gates if gate.spatial_ratio]
        for side, kept in (("channels", channels), ("positions", [each for each in positions if each is not None])):
            if kept:
                found.append(_split(block, side, [each.reshape(len(each), -1) for each in kept]))
    return tuple(found)


def _split(block: int, side: str, kept: list[np.ndarray]) -> Redundancy:
    n_entries = sum(each.shape[1] for each in kept)
    pruned = sum(float((~each).sum(axis=1).mean()) for each in kept) / n_entries
    static = sum(int((each.mean(axis=0) <= RARELY).sum()) for each in kept) / n_entries
    return Redundancy(block=block, side=side, pruned=pruned, static=static, dynamic=max(0.0, pruned - static))
