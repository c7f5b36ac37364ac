"""The one interface by which everything asks what a piece of a network costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from edgewise.cost.workload import Workload
from edgewise.ir import NetSpec


class Kind(StrEnum):
    """Where a figure comes from; every printed figure carries one."""

    MEASURED = "measured"
    PREDICTED = "predicted"
    SIMULATED = "simulated"
    QUOTED = "quoted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a network that a device runs, and prices, as one.

    Attributes:
        position: The fused group it belongs to: the name of the group's first convolution
            (or of its only layer).
        layers: Names of the layers it carries out, in running order.
        workload: What it is to the device; pieces at different positions may share one.
        density: Share of input channels and positions that are kept, in (0, 1]; 1.0 is dense.
    """

    position: str
    layers: tuple[str, ...]
    workload: Workload
    density: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a piece, or a whole network, costs.

    Attributes:
        latency_s: Time in seconds for one batch.
        energy_j: Energy in joules, where the device knows it.
        kind: Where the figure comes from.
        detail: Further facts, sorted by name (``bound_by``, ``waves``, ``extrapolated``...).
    """

    latency_s: float
    energy_j: float | None = None
    kind: Kind
    detail: tuple[tuple[str, str | float], ...] = ()


@runtime_checkable
class Device(Protocol):
    """Something that runs networks, and knows what their pieces cost.

    Batch, threads and precision are fields of the device; estimates are pure.
    """

    @property
    def name(self) -> str:
        """Name on the command line, such as ``onnxruntime-cpu``."""
        ...

    def pieces(self, net: NetSpec) -> tuple[Piece, ...]:
        """The network cut the way this device runs it, in running order."""
        ...

    def estimate(self, pieces: Sequence[Piece]) -> tuple[Estimate, ...]:
        """What each piece costs, in the same order."""
        ...

    def total(self, pieces: Sequence[Piece], estimates: Sequence[Estimate]) -> Estimate:
        """What the network costs, from what its pieces cost."""
        ...
