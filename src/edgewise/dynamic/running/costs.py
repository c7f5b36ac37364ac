"""What each gated convolution costs on this machine, dense and pruned."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelCost:
    """Measured time of one gated convolution, attention and choice of what stays included.

    Attributes:
        dense_s: Seconds of the whole convolution, by this project's dense kernel.
        dynamic_s: Seconds with the gate's ratios, by the fastest way of computing it.
        path: That way: ``dense`` (over a map with zeros), ``channels``, ``scatter``.
    """

    dense_s: float
    dynamic_s: float
    path: str


def kernel_costs(net: NetSpec, plan: GatePlan, *, threads: int, batch: int = 1) -> Mapping[str, KernelCost]:
    """Measures every convolution that the plan gates, alone, on random maps.

    Args:
        net: The network.
        plan: Gates and ratios.
        threads: Threads of the kernels; at least 1.
        batch: Images computed together; at least 1.

    Returns:
        Minimum seconds of a few interleaved runs for a whole batch, by consumer.
    """
    raise NotImplementedError
