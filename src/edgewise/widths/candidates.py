"""Which widths of a tie are worth considering: right edges of the latency staircase.

The tutorial's Eq. 4 keeps, for each layer, the widths where utilisation and throughput
peak, which are the last widths before a step ("512 candidates per layer → 5"). Here a tie
has the edges of the steps of the layers that write it, thinned to at most eight.

=========  ====================================================  ======
symbol     meaning                                               unit
=========  ====================================================  ======
``n``      width of the tie                                      1
``L(n)``   latency of all layers that read or write the tie      s
``T(n)``   throughput ``n / L(n)``, up to a constant             1/s
=========  ====================================================  ======
"""

import math
from collections.abc import Callable, Iterable, Sequence

MOST_CANDIDATES = 8
"""Candidates of a tie beyond the present width and the edges next to it, at most."""


def right_edges(low: int, high: int, *, step: int, times: int = 1, offset: int = 0) -> list[int]:
    """Widths of a tie at which its channels just fill whole steps.

    Args:
        low: Smallest width.
        high: Largest width.
        step: Channels in a step; 1 where latency is smooth (then about 16 widths, evenly spread).
        times: Channels that one unit of the tie stands for.
        offset: Channels of the dimension that do not belong to the tie.

    Example:
        >>> right_edges(35, 100, step=16)
        [48, 64, 80, 96]
        >>> right_edges(10, 20, step=16, times=4)
        [12, 16, 20]
    """
    if step <= 1:
        stride = max(1, (high - low) // 16)
        return list(range(low, high + 1, stride))
    return [width for width in range(low, high + 1) if (width * times + offset) % step == 0]


def envelope(latency_s: Sequence[float]) -> list[float]:
    """The monotone envelope: the least latency of this or any larger width.

    A wider layer, its extra channels zero, computes the same, so no width need cost more
    than a larger one.

    Example:
        >>> envelope([3.0, 2.0, 4.0])
        [2.0, 2.0, 4.0]
    """
    lowered: list[float] = []
    for value in reversed(latency_s):
        lowered.append(min(value, lowered[-1]) if lowered else value)
    return lowered[::-1]


def thin(edges: Iterable[int], *, present: int, price_s: Callable[[int], float], most: int = MOST_CANDIDATES) -> tuple[int, ...]:
    """At most ``most`` edges, in each stretch of the range the one of highest throughput; and always the present width.

    Args:
        edges: Right edges, in any order.
        present: The present width; it and the nearest edge on each side are always kept.
        price_s: Latency ``L(n)`` of everything that the width changes, in seconds.
        most: Number of edges beyond those always kept.

    Returns:
        Widths, ascending.

    Example:
        >>> thin(range(16, 257, 16), present=140, price_s=lambda n: 1.0 + n, most=4)
        (16, 64, 112, 128, 140, 144, 256)
    """
    ordered = sorted(set(edges))
    below = [edge for edge in ordered if edge < present][-1:]
    above = [edge for edge in ordered if edge > present][:1]
    chosen = {present, *below, *above}
    if len(ordered) <= most:
        return tuple(sorted(chosen | set(ordered)))
    low, high = math.log(ordered[0]), math.log(ordered[-1])
    stretches: dict[int, list[int]] = {}
    for edge in ordered:
        place = min(int((math.log(edge) - low) / (high - low) * most), most - 1)
        stretches.setdefault(place, []).append(edge)
    for stretch in stretches.values():
        chosen.add(max(stretch, key=lambda edge: edge / price_s(edge)))
    return tuple(sorted(chosen))
