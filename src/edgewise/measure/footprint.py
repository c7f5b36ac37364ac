"""What passes through the caches between two uses of a weight, and what that makes of a layer's price."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.cost import Piece, Workload
from edgewise.ir import NetSpec

_SMALLEST, _LARGEST = 36, 52
"""Footprint classes, in halves of a power of two."""
LARGEST_FOOTPRINT_BYTES = 1 << (_LARGEST // 2)
"""More makes no difference: all weights come from memory then."""
_MAPS = 4
"""Maps of the largest size that count as passing. Two are in use at once; with four the sums of layers agree with MobileNetV2 at 224x224
in ONNX Runtime and in OpenVINO (other tenants use the third-level cache, too)."""
NEAR_BYTES = 1 << 20
"""What a core's second-level cache holds, about: up to there a footprint changes nothing."""


def footprint_of(net: NetSpec) -> int:
    """The footprint class of a network."""
    return footprint_class(net.weight_bytes + _MAPS * net.largest_map_bytes)


def footprint_around(net: NetSpec) -> int:
    """The footprint class of a network and of what becomes of it: that with half of its weights.

    Networks of other widths are compared with it, and a layer's price must not jump between them.
    """
    return footprint_class(net.weight_bytes / 2 + _MAPS * net.largest_map_bytes)


def footprint_class(touched_bytes: float) -> int:
    """The class of so many bytes that pass through the caches between two uses of the same weight.

    There are two classes for each doubling, from 256 KiB to 64 MiB; the nearest counts.

    Caches hold a layer's weights from one inference to the next only while all that is read meanwhile fits, so that a layer
    costs more in a larger network, and the more the larger: a convolution of 9.4 MB of weights takes 108 microseconds alone,
    147 as one of 2, 237 as one of 3, 346 as one of 6 (ONNX Runtime, EPYC of family 26, 32 MiB of third-level cache).

    Example:
        >>> footprint_class(7_600_000) == 8 * 1024**2, footprint_class(6_000_000)
        (True, 5931642)
    """
    halves = round(2 * math.log2(max(touched_bytes, 1)))
    return round(2 ** (min(max(halves, _SMALLEST), _LARGEST) / 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class FootprintCurve:
    """How a network's sum of calls changes with its footprint.

    Attributes:
        footprints_bytes: Footprints, ascending.
        factors: The sum at each, as a share of that where calls are priced.
    """

    footprints_bytes: tuple[int, ...] = (1,)
    factors: tuple[float, ...] = (1.0,)

    def factor(self, pieces: Sequence[Piece]) -> float:
        """What the sum of these pieces is multiplied by; between footprints linear in their logarithm, beyond them as at the last.

        Example:
            >>> FootprintCurve().factor(())
            1.0
        """
        return float(np.interp(math.log2(touched_bytes(pieces)), np.log2(self.footprints_bytes), self.factors))


def touched_bytes(pieces: Sequence[Piece]) -> int:
    """The footprint of a network that is cut into pieces, in bytes; at least 1."""
    calls = [piece.workload for piece in pieces]
    written = max((4 * call.repeats * call.out_channels * math.prod(call.out_hw) for call in calls), default=0)
    return max(sum(call.weight_bytes for call in calls) + _MAPS * written, 1)


def footprint_curve(
    pieces: Sequence[Piece], *, around_bytes: int, prices_at: Callable[[Sequence[Workload], int], Mapping[Workload, float]]
) -> FootprintCurve:
    """The curve of a network, by the prices of its calls at half, once and twice the footprint at which they are learnt.

    Args:
        pieces: The network, at its present widths.
        around_bytes: That footprint.
        prices_at: Seconds of calls at a footprint.
    """
    footprints = sorted({footprint_class(around_bytes * times) for times in (0.5, 1, 2)})
    heavy = [piece.workload for piece in pieces if piece.workload.has_weight]
    if not heavy or footprints[-1] <= NEAR_BYTES:
        return FootprintCurve()
    light = [piece.workload for piece in pieces if not piece.workload.has_weight]
    light_s = prices_at(light, around_bytes)
    sums = [sum(prices[call] for call in heavy) for prices in (prices_at(heavy, footprint) for footprint in footprints)]
    rest_s = sum(light_s[call] for call in light)
    usual_s = sums[footprints.index(footprint_class(around_bytes))] + rest_s
    return FootprintCurve(footprints_bytes=tuple(footprints), factors=tuple((part_s + rest_s) / usual_s for part_s in sums))
