"""Which calls are timed: only ones that a network can really make, and few."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.specs import Builder, chain
from edgewise.cost.lowering import lowering_for
from edgewise.cost.needs import Need, at, edges_between, fitting, grid_pairs, highest_width, needs_of, width_range
from edgewise.cost.workload import Workload
from edgewise.ir import Dim, Term

CONV = {"op": "conv2d", "in_channels": 0, "out_channels": 0, "in_hw": (8, 8), "out_hw": (8, 8), "window": (3, 3), "stride": (1, 1)}
FAMILIES = [("nchwc_first", 1), ("nchwc", 1), ("im2col", 1), ("nchwc", 0), ("im2col", 0), ("nchwc", 2), ("im2col", 2), ("im2col", 8)]


def need(kernel: str, groups: int, *, lowest: tuple[int, int] = (1, 1), highest: tuple[int, int] = (256, 256)) -> Need:
    family = Workload(kernel=kernel, groups=groups, **CONV)  # type: ignore[arg-type]
    return Need(family=family, lowest=lowest, highest=highest)


@pytest.mark.parametrize(("kernel", "groups"), FAMILIES)
@given(pairs=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_kernel_is_only_timed_where_it_runs(kernel: str, groups: int, pairs: list[tuple[int, int]]) -> None:
    one = groups == 0
    found = fitting(need(kernel, groups), [(written, written) if one else (read, written) for read, written in pairs])
    assert len(set(found)) == len(found) > 0
    for read, written in found:
        builder = Builder(read)
        builder.conv("conv", written, groups=read if one else groups, depthwise=one)
        net = builder.net()
        (call, *_) = lowering_for("onnxruntime-cpu", net).workloads(lowering_for("onnxruntime-cpu", net).groups[0], net.widths)
        assert (call.kernel, call.in_channels, call.out_channels) == (kernel, read, written)


@given(st.integers(1, 500), st.integers(1, 500))
def test_layout_changes_and_blocked_calls_keep_their_rules(read: int, written: int) -> None:
    for kernel, rule in (("reorder_in", 4), ("blocked", 16)):
        family = Workload(kernel=kernel, op="reorder", in_channels=0, out_channels=0)
        ((narrow, wide),) = fitting(Need(family=family, lowest=(1, 1), highest=(500, 500)), [(written, written)])
        assert narrow == wide
        assert wide % rule == 0


def test_widths_from_floor_to_ceiling() -> None:
    net = chain(140, 9)
    assert width_range(Dim(terms=(Term(tie="conv0"),)), net, floor=0.25) == (35, 175)
    assert width_range(Dim(fixed=3), net, floor=0.25) == (3, 3)
    assert highest_width(9) == 16
    assert highest_width(16) == 32


@given(st.integers(1, 400), st.integers(0, 400), st.sampled_from([1, 4, 16, 32]), st.data())
def test_edges_are_edges_and_hold_the_present_widths(low: int, extent: int, step: int, data: st.DataObject) -> None:
    high = low + extent
    present = data.draw(st.lists(st.integers(low, high), max_size=2))
    found = edges_between(low, high, step=step, present=present, most=5)
    assert found == sorted(set(found))
    assert set(present) <= set(found)
    assert all(low <= width <= high and (width % step == 0 or width in present) for width in found)
    assert len(found) <= 5 + 3 * len(set(present))


def test_a_grid_has_levels_on_each_side_and_one_for_one_width() -> None:
    assert len(grid_pairs(need("nchwc", 1), in_step=16, out_step=16, levels=4)) == 16
    pairs = grid_pairs(need("nchwc", 0), in_step=16, out_step=16, levels=4)
    assert len(pairs) == 4
    assert all(read == written for read, written in pairs)


def test_present_calls_are_among_the_needs() -> None:
    net = chain(24, 40)
    lowering = lowering_for("openvino-cpu", net)
    needs = needs_of(net, lowering, floor=0.25)
    asked = {at(one, pair) for one in needs for pair in one.present}
    assert {call for group in lowering.groups for call in lowering.workloads(group, net.widths)} <= asked


@given(widths=st.tuples(*[st.integers(10, 60)] * 3))
@settings(max_examples=60, deadline=None)
def test_trial_widths_bring_out_the_kernels_of_a_chain(widths: tuple[int, int, int]) -> None:
    net = chain(40, 40, 40)
    lowering = lowering_for("onnxruntime-cpu", net)
    families = {one.family for one in needs_of(net, lowering, floor=0.25)}
    other = dict(zip(net.widths, widths, strict=True))
    missing = {call.family for group in lowering.groups for call in lowering.workloads(group, other)} - families
    assert missing == set()
