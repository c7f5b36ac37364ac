"""Candidate widths on a simulated device: every width is priced, and the right edges of the envelope are kept."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from edgewise.cost.lowering import Lowering
from edgewise.cost.needs import highest_width
from edgewise.cost.workload import Workload
from edgewise.ir import NetSpec
from edgewise.recipes.simulated.opening import SimulatedDevice
from edgewise.widths.candidates import envelope, right_edges, thin
from edgewise.widths.tables import Pricing, Structure, TableBuilder

GROWTH_STEP = 32
"""A width may grow to the next multiple of this even beyond 1.25x: the narrowest tile of the kernels in the traces."""
_FEW_EDGES = 5
_FINE = 4
_WIDE = 64
_LEAST_JUMP = 0.01
_JUMP_OVER_SLOPE = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """Widths that a variable may take.

    Attributes:
        few: At most eight edges, the present width and its neighbours.
        edges: All right edges, and the present width.
        present_off_step: The present width is no right edge.
    """

    few: tuple[int, ...]
    edges: tuple[int, ...]
    present_off_step: bool = False


def jumps(latency_s: Float[np.ndarray, " widths"]) -> list[int]:
    """Places after which a rising curve jumps: more than 1 % of itself, and than 2.5 times its usual rise.

    The last place is one: the curve is not known beyond.

    Example:
        >>> jumps(np.array([1.0, 1.001, 1.002, 1.5, 1.501, 1.502]))
        [2, 5]
    """
    raised = np.array(envelope(latency_s.tolist()))
    rise = np.diff(raised)
    usual = float(np.median(rise)) if len(rise) else 0.0
    found = np.flatnonzero((rise > _LEAST_JUMP * raised[:-1]) & (rise > _JUMP_OVER_SLOPE * usual))
    return [*(int(place) for place in found), len(latency_s) - 1]


def choices_of(gpu: SimulatedDevice, net: NetSpec, structure: Structure, *, floor: float) -> dict[str, Choices]:
    """Candidate widths of every variable between the floor and 1.25 times its present width.

    Args:
        gpu: The device.
        net: The network.
        structure: Its ties as variables.
        floor: Smallest share of the present width.
    """
    lowering = gpu.lowering(net)
    builder = TableBuilder(Pricing(net=net, lowering=lowering, price=gpu.price_s), structure, None)
    found = {}
    for name in structure.variables:
        present = builder.present_width(name)
        high = highest_width(present, step=GROWTH_STEP) if net.tie(name).growable else present
        widths = list(range(max(1, int(np.ceil(present * floor - 1e-9))), high + 1))
        curve = curve_of(gpu, lowering, builder=builder, name=name, widths=widths)
        edges = [widths[place] for place in jumps(curve)]
        if len(edges) < _FEW_EDGES:
            # Within a tile latency still rises a little with every channel: a few round widths serve.
            edges = sorted({*edges, *right_edges(widths[0], high, step=_FINE if present < _WIDE else 2 * _FINE)})
        prices = dict(zip(widths, curve.tolist(), strict=True))
        few = thin(edges, present=present, price_s=lambda width, prices=prices: prices[width])  # type: ignore[misc]
        found[name] = Choices(few=few, edges=tuple(sorted({*edges, present})), present_off_step=present not in edges)
    return found


def curve_of(
    gpu: SimulatedDevice, lowering: Lowering, builder: TableBuilder, name: str, *, widths: list[int]
) -> Float[np.ndarray, " widths"]:
    """Seconds of all layers with weights that a variable touches, at each of its widths, the others as they are."""
    touched = [group for group in lowering.groups if group.head.priced and name in (*group.head.in_dim.ties, *group.last.out_dim.ties)]
    calls: list[list[Workload]] = []
    for width in widths:
        made = builder.lenient_widths({name: width})
        calls.append([call for group in touched for call in lowering.workloads(group, made)])
    gpu.costs([call for row in calls for call in row])
    return np.array([sum(cost.latency_s for cost in gpu.costs(row)) for row in calls])


def few_of(choices: Mapping[str, Choices]) -> dict[str, tuple[int, ...]]:
    """The few candidates of every variable."""
    return {name: choice.few for name, choice in choices.items()}
