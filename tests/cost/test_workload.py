"""Kernel calls: counts by hand, names, families."""

import json

import pytest

from cost.specs import chain
from edgewise.cost import Workload
from edgewise.cost.lowering import lowering_for
from edgewise.cost.lowering.lower import pieces_of

CONV = Workload(kernel="fused", op="conv2d", in_channels=16, out_channels=32, in_hw=(8, 8), out_hw=(4, 4), window=(3, 3), stride=(2, 2))


@pytest.mark.parametrize(
    ("work", "macs", "weights"),
    [
        (CONV, 32 * 16 * 9 * 16, 4 * 32 * 16 * 9),
        (
            Workload(kernel="fused", op="conv2d", in_channels=16, out_channels=16, groups=0, in_hw=(8, 8), out_hw=(8, 8), window=(3, 3)),
            16 * 9 * 64,
            4 * 16 * 9,
        ),
        (
            Workload(kernel="fused", op="conv2d", in_channels=16, out_channels=32, groups=4, in_hw=(8, 8), out_hw=(8, 8), window=(1, 1)),
            32 * 4 * 64,
            4 * 32 * 4,
        ),
        (
            Workload(kernel="fused", op="conv_transpose2d", in_channels=8, out_channels=4, in_hw=(5, 5), out_hw=(10, 10), window=(2, 2)),
            4 * 8 * 4 * 25,
            4 * 4 * 8 * 4,
        ),
        (Workload(kernel="plain", op="linear", in_channels=16, out_channels=10, repeats=7), 16 * 10 * 7, 4 * 160),
        (Workload(kernel="plain", op="max_pool2d", in_channels=16, out_channels=16, in_hw=(8, 8), out_hw=(4, 4), window=(2, 2)), 0, 0),
    ],
    ids=["conv", "depthwise", "grouped", "transposed", "linear", "pool"],
)
def test_counts_by_hand(work: Workload, macs: int, weights: int) -> None:
    assert (work.macs, work.weight_bytes) == (macs, weights)


def test_bytes_of_feature_maps_count_a_shortcut_twice() -> None:
    plain = CONV.activation_bytes
    assert plain == 4 * (16 * 64 + 32 * 16)
    assert Workload(**{**_fields(CONV), "adds": True}).activation_bytes - plain == 4 * 32 * 16


def _fields(work: Workload) -> dict[str, object]:
    return {name: getattr(work, name) for name in work.__slots__}


def test_a_family_has_no_widths_and_gives_them_back() -> None:
    assert (CONV.family.in_channels, CONV.family.out_channels) == (0, 0)
    assert CONV.family.with_widths(16, 32) == CONV
    assert CONV.with_widths(20, 40).family == CONV.family


def test_the_key_tells_workloads_apart() -> None:
    variants = [CONV, CONV.with_widths(16, 33), *(Workload(**{**_fields(CONV), **change}) for change in _CHANGES)]  # type: ignore[arg-type]
    assert len({work.key() for work in variants}) == len(variants)


_CHANGES: list[dict[str, object]] = [
    {"kernel": "nchwc"},
    {"groups": 0},
    {"groups": 2},
    {"in_hw": (9, 8)},
    {"out_hw": ()},
    {"window": (1, 1)},
    {"stride": (1, 1)},
    {"padding": (1, 1)},
    {"dilation": (2, 2)},
    {"activation": "relu"},
    {"adds": True},
    {"bias": False},
    {"repeats": 2},
    {"attributes": (("p", 2),)},
    {"attributes": (("p", True),)},
]


def test_the_key_is_json_with_sorted_names() -> None:
    values = json.loads(CONV.key())
    assert list(values) == sorted(values)
    assert values["in_channels"] == 16


@pytest.mark.parametrize("device", ["onnxruntime-cpu", "openvino-cpu", "torch-cpu"])
def test_pieces_carry_every_mac_of_the_network(device: str) -> None:
    net = chain(16, 24, 32)
    pieces = pieces_of(lowering_for(device, net), net.widths)
    assert sum(piece.workload.macs for piece in pieces) == net.macs
    assert {piece.position for piece in pieces} == {"conv0", "conv1", "conv2", "pool", "fc"}


@pytest.mark.parametrize("device", ["onnxruntime-cpu", "openvino-cpu", "torch-cpu"])
def test_pieces_at_other_widths_are_those_of_the_network_at_these_widths(device: str) -> None:
    net = chain(16, 24, 32)
    widths = {**net.widths, "conv0": 32, "conv1": 13}
    other = net.with_widths({"conv0": 32, "conv1": 13})
    assert pieces_of(lowering_for(device, net), widths) == pieces_of(lowering_for(device, other), other.widths)
