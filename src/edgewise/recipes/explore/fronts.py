"""Pareto fronts of accuracy (higher is better) against latency (lower is better), and how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A network as a front sees it.

    Attributes:
        accuracy: Share of images classified correctly.
        ratio: Latency over the given network's.
    """

    accuracy: float
    ratio: float

    def dominates(self, other: "Value") -> bool:
        """Whether it is at least as good in both, and better in one."""
        return self.accuracy >= other.accuracy and self.ratio <= other.ratio and self != other


def front_of(values: Sequence[Value]) -> list[int]:
    """Places of the values that none other dominates, by latency; of equal ones the first.

    Example:
        >>> front_of([Value(accuracy=0.9, ratio=1.0), Value(accuracy=0.8, ratio=0.5), Value(accuracy=0.8, ratio=0.7)])
        [1, 0]
    """
    order = sorted(range(len(values)), key=lambda place: (values[place].ratio, -values[place].accuracy, place))
    found: list[int] = []
    for place in order:
        if not found or values[place].accuracy > values[found[-1]].accuracy:
            found.append(place)
    return found


def ranks_of(values: Sequence[Value]) -> list[int]:
    """How many fronts lie before each value's own: 0 for what nothing dominates, 1 for what only those dominate, and so on.

    Example:
        >>> ranks_of([Value(accuracy=0.9, ratio=1.0), Value(accuracy=0.8, ratio=1.0), Value(accuracy=0.7, ratio=1.1)])
        [0, 1, 2]
    """
    ranks, left, rank = [0] * len(values), set(range(len(values))), 0
    while left:
        here = {place for place in left if not any(values[other].dominates(values[place]) for other in left)}
        for place in here:
            ranks[place] = rank
        left -= here
        rank += 1
    return ranks


def crowding_of(values: Sequence[Value]) -> list[float]:
    """Room around each value of one front: the distance of its neighbours on both axes, as shares of the front's extent.

    The ends have infinite room (Deb et al. 2002, NSGA-II, section III-B).

    Example:
        >>> line = [Value(accuracy=share, ratio=share) for share in (0.0, 0.25, 1.0)]
        >>> crowding_of(line)
        [inf, 2.0, inf]
    """
    room = [0.0] * len(values)
    for axis in ("accuracy", "ratio"):
        order = sorted(range(len(values)), key=lambda place: getattr(values[place], axis))
        extent = getattr(values[order[-1]], axis) - getattr(values[order[0]], axis) if order else 0.0
        for near, place, far in zip([None, *order], order, [*order[1:], None], strict=False):
            if near is None or far is None:
                room[place] = float("inf")
            elif extent > 0:
                room[place] += (getattr(values[far], axis) - getattr(values[near], axis)) / extent
    return room


def hypervolume(values: Sequence[Value], reference: Value) -> float:
    """Area that the values dominate and the reference bounds: exact, by one sweep along the front.

    Args:
        values: Any values; what is not better than the reference on both axes counts for nothing.
        reference: The worst corner.

    Example:
        >>> corner = Value(accuracy=0.5, ratio=1.0)
        >>> hypervolume([Value(accuracy=0.75, ratio=0.5), Value(accuracy=1.0, ratio=0.75)], corner)
        0.1875
    """
    area, floor = 0.0, reference.accuracy
    for place in front_of(values):
        accuracy, room = values[place].accuracy, reference.ratio - values[place].ratio
        if room <= 0 or accuracy <= floor:
            continue
        area += (accuracy - floor) * room
        floor = accuracy
    return area
