"""Staircases on a crossbar chip: latency steps where a layer needs one more array."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise.cost.chip import CrossbarDevice
from edgewise.cost.lowering import Group, Lowering
from edgewise.cost.needs import width_range
from edgewise.ir import NetSpec
from edgewise.recipes.staircases import DEFAULT_FLOOR
from edgewise.widths.candidates import envelope


@dataclass(frozen=True, kw_only=True, slots=True)
class ChipRow:
    """A layer's staircase over its output width, its input width held.

    Attributes:
        name: The layer.
        tie: The tie that its output width is known by.
        in_width: Input width held.
        widths: Output widths, ascending: both sides of every step, and the candidates.
        latency_s: Share of the interval between images at each width.
        energy_j: Energy at each width; empty where unpublished.
        arrays: Arrays that hold the layer once.
        cells_used: Share of their cells that hold a weight.
        candidates: Widths of the layer at its tie's candidates.
    """

    name: str
    tie: str
    in_width: int
    widths: tuple[int, ...]
    latency_s: tuple[float, ...]
    energy_j: tuple[float, ...]
    arrays: tuple[int, ...]
    cells_used: tuple[float, ...]
    candidates: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values, with the fields of every staircase."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {**lists, "latency_raw_s": list(self.latency_s), "candidates_of": self.tie, "extrapolated": False}


def chip_row(chip: CrossbarDevice, net: NetSpec, *, lowering: Lowering, group: Group, tie: str, candidates: tuple[int, ...]) -> ChipRow:
    """The staircase of one layer.

    Args:
        chip: The device.
        net: The network.
        lowering: The network cut for it.
        group: The layer with what is fused behind it.
        tie: The tie of its output width.
        candidates: Widths to show in any case.
    """
    call = lowering.workloads(group, net.widths)[0]
    low, high = width_range(group.head.out_dim, net, floor=DEFAULT_FLOOR)
    swept = range(low, max(high, *candidates) + 1)
    every = {width: call.with_widths(width if call.one_width else call.in_channels, width) for width in swept}
    costs = dict(zip(swept, chip.costs(list(every.values())), strict=True))
    steps = {place for width in swept[1:] if costs[width].arrays != costs[width - 1].arrays for place in (width - 1, width)}
    widths = tuple(sorted({swept[0], swept[-1], group.head.out_channels, *candidates, *steps}))
    energies = [costs[width].energy_j for width in widths]
    return ChipRow(
        name=group.head.name,
        tie=tie,
        in_width=group.head.in_channels,
        widths=widths,
        latency_s=tuple(envelope([costs[width].latency_s for width in widths])),
        energy_j=tuple(joules for joules in energies if joules is not None),
        arrays=tuple(costs[width].arrays for width in widths),
        cells_used=tuple(round(float(np.float64(costs[width].utilisation)), 5) for width in widths),
        candidates=candidates,
    )
