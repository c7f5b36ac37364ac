"""A GPU that is not here, as a device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from edgewise._core.errors import UsageError
from edgewise.cost.gpu.ops import Calls, Form, calls_of, form_of
from edgewise.cost.gpu.pricing import Costs
from edgewise.cost.gpu.shapes import Many
from edgewise.cost.lowering.generic import PlainLowering
from edgewise.cost.lowering.groups import FusionRules
from edgewise.cost.lowering.lower import Lowering, pieces_of
from edgewise.cost.protocol import Estimate, Kind, Piece
from edgewise.cost.workload import Workload
from edgewise.ir import NetSpec

EAGER_RULES = FusionRules(norm=False, norm_after_linear=False, add=False)
"""PyTorch eager, in which the traces were taken: every layer is a call of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCost:
    """What one kernel call costs on a simulated GPU, and why; the fields are those of :class:`Costs`."""

    latency_s: float
    family: str
    blocks: int
    waves: int
    utilisation: float
    tile_utilisation: float
    macs: int
    bound_by: str
    extrapolated: bool

    @property
    def throughput_macs_per_s(self) -> float:
        """Multiply-accumulates per second."""
        return self.macs / self.latency_s


@runtime_checkable
class CallPricer(Protocol):
    """Prices calls, many at once."""

    @property
    def batch(self) -> int:
        """Images at once."""
        ...

    def price(self, calls: Calls, in_channels: Many, out_channels: Many) -> Costs:
        """What calls cost at these widths."""
        ...


@dataclass(frozen=True, kw_only=True)
class GpuDevice:
    """Prices networks on a simulated GPU (or accelerator).

    Attributes:
        name: As ``--device`` takes it.
        pricer: The model, the machine and the batch.
        start_s: Seconds that a network takes to start, once.
        fitted: The coefficients were fitted to this very device.
        about: Where its figures come from.
    """

    name: str
    pricer: CallPricer
    start_s: float = 0.0
    fitted: bool = False
    about: tuple[tuple[str, str], ...] = ()
    _known: dict[Workload, LayerCost] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Checks ``batch >= 1``."""
        if self.pricer.batch < 1:
            raise UsageError(f"`batch` must be at least 1, got {self.pricer.batch}")

    @property
    def batch(self) -> int:
        """Images at once."""
        return self.pricer.batch

    def lowering(self, net: NetSpec) -> Lowering:
        """The network cut for this device: one call a layer."""
        return PlainLowering(net, rules=EAGER_RULES)

    def pieces(self, net: NetSpec) -> tuple[Piece, ...]:
        """The network cut the way this device runs it."""
        return pieces_of(self.lowering(net), net.widths)

    def estimate(self, pieces: Sequence[Piece]) -> tuple[Estimate, ...]:
        """Simulated cost of each piece; a piece's density scales its time."""
        costs = self.costs([piece.workload for piece in pieces])
        return tuple(
            Estimate(latency_s=cost.latency_s * piece.density, kind=Kind.SIMULATED, detail=_detail(cost))
            for piece, cost in zip(pieces, costs, strict=True)
        )

    def total(self, pieces: Sequence[Piece], estimates: Sequence[Estimate]) -> Estimate:
        """The sum of the parts and the start."""
        return Estimate(latency_s=self.start_s + sum(one.latency_s for one in estimates), kind=Kind.SIMULATED)

    def predict_s(self, net: NetSpec) -> float:
        """Simulated latency of a whole network, in seconds."""
        pieces = self.pieces(net)
        return self.total(pieces, self.estimate(pieces)).latency_s

    def price_s(self, workload: Workload) -> float:
        """Simulated seconds of one kernel call."""
        return self.costs([workload])[0].latency_s

    def costs(self, calls: Sequence[Workload]) -> tuple[LayerCost, ...]:
        """What kernel calls cost; those seen before are not priced again."""
        fresh = [call for call in dict.fromkeys(calls) if call not in self._known]
        if fresh:
            known: dict[Workload, Form] = {}
            forms = [known.setdefault(call.family, form_of(call)) if call.groups != call.in_channels else form_of(call) for call in fresh]
            read, written = (np.array([getattr(call, side) for call in fresh], float) for side in ("in_channels", "out_channels"))
            self._known.update(zip(fresh, _rows(self.pricer.price(calls_of(forms), read, written)), strict=True))
        return tuple(self._known[call] for call in calls)

    def staircase(self, call: Workload, widths: Many) -> Costs:
        """What a kernel call costs at many output widths, its input width held (unless both are one).

        Args:
            call: The call.
            widths: Output widths, each at least 1.
        """
        read = widths if call.one_width else np.full(len(widths), float(call.in_channels))
        return self.pricer.price(calls_of([form_of(call)] * len(widths)), read, np.asarray(widths, float))


def _rows(costs: Costs) -> list[LayerCost]:
    return [
        LayerCost(
            latency_s=float(latency),
            family=str(family),
            blocks=int(blocks),
            waves=int(waves),
            utilisation=float(used),
            tile_utilisation=float(tiles),
            macs=int(macs),
            bound_by=str(bound),
            extrapolated=bool(guess),
        )
        for latency, family, blocks, waves, used, tiles, macs, bound, guess in zip(
            costs.latency_s, costs.family, costs.blocks, costs.waves, costs.utilisation, costs.tile_utilisation, costs.macs,
            costs.bound_by, costs.extrapolated, strict=True,
        )
    ]  # fmt: skip


def _detail(cost: LayerCost) -> tuple[tuple[str, str | float], ...]:
    values: Mapping[str, str | float] = {
        "blocks": cost.blocks,
        "bound_by": cost.bound_by,
        "extrapolated": float(cost.extrapolated),
        "family": cost.family,
        "throughput_macs_per_s": cost.throughput_macs_per_s,
        "tile_utilisation": cost.tile_utilisation,
        "utilisation": cost.utilisation,
        "waves": cost.waves,
    }
    return tuple(sorted(values.items()))
