"""What passes between two uses of a weight: classes, networks, and what other footprints make of a sum."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import nn

from edgewise.cost import Piece, Workload
from edgewise.cost.workload import plain_conv
from edgewise.measure.footprint import FootprintCurve, footprint_around, footprint_class, footprint_curve, footprint_of, touched_bytes
from edgewise.trace import trace

CONV = plain_conv("fused", 512, 512, 2)
POOL = Workload(kernel="plain", op="max_pool2d", in_channels=512, out_channels=512, in_hw=(2, 2), out_hw=(1, 1))


def pieces_of(*calls: Workload) -> tuple[Piece, ...]:
    return tuple(Piece(position=f"layer{place}", layers=(f"layer{place}",), workload=call) for place, call in enumerate(calls))


def prices_at(calls: Sequence[Workload], footprint_bytes: int) -> Mapping[Workload, float]:
    """A convolution takes as many microseconds as the footprint has MiB; what has no weight, always eight."""
    return {call: footprint_bytes / 2**20 * 1e-6 if call.has_weight else 8e-6 for call in calls}


@pytest.mark.parametrize(
    ("passing_bytes", "footprint"), [(0, 1 << 18), (1_000_000, 1 << 20), (6_000_000, 5_931_642), (7_600_000, 1 << 23), (1 << 40, 1 << 26)]
)
def test_two_classes_for_each_doubling_within_limits(passing_bytes: int, footprint: int) -> None:
    assert footprint_class(passing_bytes) == footprint


def test_a_networks_footprint_is_of_its_weights_and_four_of_its_largest_maps() -> None:
    net = trace(nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 256, 1)).eval(), (torch.zeros(1, 3, 32, 32),), name="two").net
    weight_bytes, map_bytes = 4 * (3 * 64 * 9 + 64 * 256), 4 * 256 * 32 * 32
    assert (net.weight_bytes, net.largest_map_bytes) == (weight_bytes, map_bytes)
    assert footprint_of(net) == footprint_class(weight_bytes + 4 * map_bytes)
    assert footprint_around(net) == footprint_class(weight_bytes / 2 + 4 * map_bytes)


def test_of_pieces_as_of_the_network() -> None:
    assert touched_bytes(pieces_of(CONV, POOL, CONV)) == 2 * 4 * 512 * 512 * 9 + 4 * 4 * 512 * 4
    assert touched_bytes(()) == 1


def test_the_curve_is_of_the_whole_sum() -> None:
    curve = footprint_curve(pieces_of(CONV, POOL, CONV), around_bytes=1 << 23, prices_at=prices_at)
    # 2 convolutions and a pooling: 2 x 4 + 8, 2 x 8 + 8 and 2 x 16 + 8 microseconds.
    assert curve.footprints_bytes == (1 << 22, 1 << 23, 1 << 24)
    assert curve.factors == pytest.approx((16 / 24, 1.0, 40 / 24))


def test_between_footprints_a_line_in_the_logarithm_and_beyond_them_nothing_more() -> None:
    curve = FootprintCurve(footprints_bytes=(1 << 22, 1 << 24), factors=(0.8, 1.2))
    eight = pieces_of(*[CONV] * 1)  # 9.4 MB of weights, 0.03 MB of maps
    assert curve.factor(eight) == pytest.approx(1.034, abs=1e-3)
    assert curve.factor(pieces_of(*[CONV] * 9)) == 1.2 and curve.factor(pieces_of(POOL)) == 0.8


@pytest.mark.parametrize("calls", [(POOL,), ()], ids=["no weights", "nothing"])
def test_without_weights_the_footprint_counts_for_nothing(calls: tuple[Workload, ...]) -> None:
    assert footprint_curve(pieces_of(*calls), around_bytes=1 << 23, prices_at=prices_at) == FootprintCurve()


def test_what_a_core_keeps_to_itself_is_not_timed() -> None:
    def never(calls: Sequence[Workload], footprint_bytes: int) -> Mapping[Workload, float]:
        raise AssertionError(f"{calls} at {footprint_bytes}")

    assert footprint_curve(pieces_of(CONV), around_bytes=1 << 18, prices_at=never).factor(pieces_of(CONV)) == 1.0
