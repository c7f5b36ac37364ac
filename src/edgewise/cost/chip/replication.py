"""How often each layer is stored, so that several positions are computed at once."""

import heapq
import math
from collections.abc import Sequence

from edgewise.cost.chip.mapping import LayerMapping


def replicate(mappings: Sequence[LayerMapping], *, budget: int, schedule: str) -> tuple[LayerMapping, ...]:
    """The layers with as many copies as a number of arrays allows, where they help most.

    ``pipelined``: the smallest slowest layer, exactly. ``serial``: copies go, one step after another, to the layer
    that loses most products in sequence for each array added (a greedy choice).

    Args:
        mappings: Layers stored once each.
        budget: Arrays to use; where fewer than one copy of each needs, one copy of each is returned.
        schedule: ``serial`` or ``pipelined``.
    """
    copies = _pipelined(mappings, budget) if schedule == "pipelined" else _serial(mappings, budget)
    return tuple(mapping.with_copies(count) for mapping, count in zip(mappings, copies, strict=True))


def _pipelined(mappings: Sequence[LayerMapping], budget: int) -> list[int]:
    low, high = 1, max(mapping.positions for mapping in mappings)
    while low < high:
        middle = (low + high) // 2
        needed = sum(mapping.arrays_per_copy * math.ceil(mapping.positions / middle) for mapping in mappings)
        low, high = (low, middle) if needed <= budget else (middle + 1, high)
    return [math.ceil(mapping.positions / low) for mapping in mappings]


def _serial(mappings: Sequence[LayerMapping], budget: int) -> list[int]:
    copies = [1] * len(mappings)
    left = budget - sum(mapping.arrays_per_copy for mapping in mappings)
    heap: list[tuple[float, int, int]] = []

    def offer(place: int) -> None:
        mapping, now = mappings[place], copies[place]
        steps = math.ceil(mapping.positions / now)
        if steps > 1:
            wanted = math.ceil(mapping.positions / (steps - 1))
            gain = steps - math.ceil(mapping.positions / wanted)
            heapq.heappush(heap, (-gain / (mapping.arrays_per_copy * (wanted - now)), place, wanted))

    for place in range(len(mappings)):
        offer(place)
    while heap:
        _, place, wanted = heapq.heappop(heap)
        cost = mappings[place].arrays_per_copy * (wanted - copies[place])
        if cost <= left:
            left -= cost
            copies[place] = wanted
            offer(place)
    return copies
