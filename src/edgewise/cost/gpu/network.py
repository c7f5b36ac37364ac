"""A network made ready to be priced at many width vectors: shapes as arrays, widths as a matrix product.

=========  ==========================================  ======
symbol     meaning                                     unit
=========  ==========================================  ======
``n``      calls of the network                        1
``ties``   ties of the network                         1
=========  ==========================================  ======
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from edgewise.cost.gpu.device import GpuDevice
from edgewise.cost.gpu.ops import Calls, calls_of, form_of
from edgewise.cost.gpu.pricing import Costs
from edgewise.cost.gpu.shapes import Many
from edgewise.ir import Dim, NetSpec


@dataclass(frozen=True, kw_only=True)
class PreparedNetwork:
    """A network on a simulated GPU.

    Attributes:
        gpu: The GPU.
        names: Name of each call: its layer's.
        calls: Forms of the calls.
        present: Present width of every tie, in the order of the matrices' columns.
        read: Channels of each tie that each call reads.
        read_fixed: Further channels that it reads.
        written: Channels of each tie that each call writes.
        written_fixed: Further channels that it writes.
    """

    gpu: GpuDevice
    names: tuple[str, ...]
    calls: Calls
    present: Mapping[str, int]
    read: Float[np.ndarray, "n ties"]
    read_fixed: Many
    written: Float[np.ndarray, "n ties"]
    written_fixed: Many

    def costs(self, widths: Mapping[str, int] | None = None) -> Costs:
        """What every call costs when ties have these widths; those not named keep theirs."""
        chosen = np.array(list({**self.present, **(widths or {})}.values()), float)
        return self.gpu.pricer.price(self.calls, self.read @ chosen + self.read_fixed, self.written @ chosen + self.written_fixed)

    def latency_s(self, widths: Mapping[str, int] | None = None) -> float:
        """Seconds of the whole network when ties have these widths."""
        return float(self.costs(widths).latency_s.sum()) + self.gpu.start_s


def prepare(net: NetSpec, gpu: GpuDevice) -> PreparedNetwork:
    """Makes a network ready.

    Args:
        net: The network.
        gpu: The device.
    """
    lowering = gpu.lowering(net)
    pairs = [(group, call) for group in lowering.groups for call in lowering.workloads(group, net.widths)]
    ties = list(net.widths)
    read, read_fixed = _matrix([group.head.in_dim for group, _ in pairs], ties)
    written, written_fixed = _matrix([group.head.out_dim for group, _ in pairs], ties)
    return PreparedNetwork(
        gpu=gpu,
        names=tuple(group.head.name for group, _ in pairs),
        calls=calls_of([form_of(call) for _, call in pairs]),
        present=dict(net.widths),
        read=read,
        read_fixed=read_fixed,
        written=written,
        written_fixed=written_fixed,
    )


def _matrix(dims: list[Dim], ties: list[str]) -> tuple[Float[np.ndarray, "n ties"], Many]:
    column = {name: place for place, name in enumerate(ties)}
    made = np.zeros((len(dims), len(ties)))
    for row, dim in enumerate(dims):
        for term in dim.terms:
            made[row, column[term.tie]] += term.times
    return made, np.array([float(dim.fixed) for dim in dims])
