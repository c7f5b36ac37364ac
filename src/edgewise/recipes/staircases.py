"""The staircases that a profile shows: latency of each fused layer over its output width."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise.cost import Workload
from edgewise.cost.lowering import Group, Lowering
from edgewise.cost.needs import edges_between, width_range
from edgewise.ir import NetSpec
from edgewise.measure.measured_device import MeasuredDevice
from edgewise.widths.candidates import envelope, right_edges
from edgewise.widths.tables import Structure

DEFAULT_FLOOR = 0.25
"""Smallest share of the present width that a profile looks at."""
_FINEST = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class StaircaseRow:
    """Latency of one fused layer over its output width, its input width held.

    Attributes:
        name: First convolution of the fused group.
        tie: The tie that its output width is known by.
        in_width: Input width held.
        widths: Output widths, ascending.
        latency_s: Monotone envelope of the medians.
        latency_raw_s: Medians as timed.
        candidates: Widths of the layer at its tie's candidates.
        candidates_of: The tie.
    """

    name: str
    tie: str
    in_width: int
    widths: tuple[int, ...]
    latency_s: tuple[float, ...]
    latency_raw_s: tuple[float, ...]
    candidates: tuple[int, ...]
    candidates_of: str

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        fields = ("name", "tie", "in_width", "widths", "latency_s", "latency_raw_s", "candidates", "candidates_of")
        values = {name: getattr(self, name) for name in fields}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def staircase_rows(
    device: MeasuredDevice, net: NetSpec, structure: Structure, candidates: Mapping[str, tuple[int, ...]]
) -> tuple[StaircaseRow, ...]:
    """The staircase of every layer whose width may be chosen, in running order.

    Args:
        device: Where single timings come from.
        net: The network.
        structure: Its ties as variables.
        candidates: Candidate widths of each variable.
    """
    lowering = device.lowering(net)
    steps = {name: step_of_tie(device, lowering, net, name) for name in candidates}
    rows = []
    for group in lowering.groups:
        own = net.own_tie(group.head)
        if group.head.priced and own is not None and own in candidates:
            call = lowering.workloads(group, net.widths)[0]
            line = _line(group, net, step=steps[own])
            rows.append(_row(device, group, call, line=line, tie=own, candidates=layer_widths(group, net, structure, own, candidates[own])))
    return tuple(rows)


def _line(group: Group, net: NetSpec, *, step: int) -> list[int]:
    """Right edges along a layer's output width; none where latency is smooth."""
    low, high = width_range(group.head.out_dim, net, floor=DEFAULT_FLOOR)
    return edges_between(low, high, step=step, present=[group.head.out_channels]) if step > 1 else []


def layer_widths(group: Group, net: NetSpec, structure: Structure, tie: str, candidates: tuple[int, ...]) -> tuple[int, ...]:
    """Output widths of a layer at its tie's candidates, or at other widths of its tie's variable."""
    if tie not in structure.plain:
        return candidates
    fixed = group.head.out_dim.width({**net.widths, tie: 0})
    return tuple(group.head.out_dim.times(tie) * width + fixed for width in candidates)


def _row(device: MeasuredDevice, group: Group, call: Workload, *, line: list[int], tie: str, candidates: tuple[int, ...]) -> StaircaseRow:
    widths = sorted({*line, *candidates, group.head.out_channels})
    calls = {width: call.with_widths(width if call.one_width else call.in_channels, width) for width in widths}
    prices_s = device.book.prices(calls.values(), footprint_bytes=device.footprint_bytes)
    raw = [prices_s[calls[width]] for width in widths]
    return StaircaseRow(
        name=group.head.name,
        tie=tie,
        in_width=group.head.in_channels,
        widths=tuple(widths),
        latency_s=tuple(envelope(raw)),
        latency_raw_s=tuple(raw),
        candidates=candidates,
        candidates_of=tie,
    )


def edges_of_tie(structure: Structure, net: NetSpec, tie: str, *, step: int, within: tuple[int, int]) -> list[int]:
    """Widths of a tie, from the smallest to the largest of ``within``, at which the layers that write it fill whole steps."""
    plain = tie in structure.plain
    times = structure.dims[tie].times(tie) if plain else 1
    offset = structure.dims[tie].width({**net.widths, tie: 0}) if plain else 0
    return right_edges(*within, step=step, times=times, offset=offset)


def reading_step_of_tie(device: MeasuredDevice, lowering: Lowering, net: NetSpec, tie: str) -> int:
    """Smallest step of the layers that read a tie along their input width; at least 4, finer is not worth looking at."""
    steps = [
        found.in_step
        for group in lowering.groups
        if group.head.priced and tie in group.head.in_dim.ties
        for call in lowering.workloads(group, net.widths)[:1]
        if (found := device.learnt.get(call.family)) is not None
    ]
    return max(min(steps, default=1), _FINEST)


def step_of_tie(device: MeasuredDevice, lowering: Lowering, net: NetSpec, tie: str) -> int:
    """Step of the layers that write a tie: the largest, since smaller ones divide it on every device known."""
    aligned = {one.name: max(16, 16 * round(one.width / 16)) if one.free and one.growable else one.width for one in net.ties}
    steps = [1]
    for group in lowering.groups:
        if group.head.priced and tie in group.last.out_dim.ties:
            steps += [device.step_of(call.family) for call in lowering.workloads(group, aligned)[:1]]
    return max(steps)
