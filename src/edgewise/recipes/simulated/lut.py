"""``edgewise simulate --device lut:FILE``: what a network costs by a table of its blocks."""

from dataclasses import dataclass
from typing import Any

from edgewise._core.errors import UsageError
from edgewise.cost.blocks import LutDevice, open_lut
from edgewise.ir import NetSpec
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.showing import simulate_card


@dataclass(frozen=True, kw_only=True, slots=True)
class TableBlock:
    """One block of the network, or ``rest``.

    Attributes:
        block: Its position in the table.
        operation: What it is there.
        layers: The layers it carries out.
        latency_s: Its entry; 0 where the constant contains it.
        note: What to know.
    """

    block: str
    operation: str
    layers: tuple[str, ...]
    latency_s: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TableSimulation:
    """A network priced by a table.

    Attributes:
        model: What people call it.
        device: The table.
        latency_s: Sum of the entries.
        macs: Multiply-accumulates for one input.
        params: Learnt parameters.
        blocks: The rest first, then the blocks in running order.
    """

    model: str
    device: str
    latency_s: float
    macs: int
    params: int
    blocks: tuple[TableBlock, ...]

    def __repr__(self) -> str:
        """The result as people read it."""
        return simulate_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return simulate_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """The simulation as JSON values."""
        rows = [
            {"block": row.block, "operation": row.operation, "layers": list(row.layers), "latency_s": row.latency_s, "note": row.note}
            for row in self.blocks
        ]
        return {
            "model": self.model,
            "device": self.device,
            "batch": 1,
            "latency_s": self.latency_s,
            "kind": "predicted",
            "macs": self.macs,
            "params": self.params,
            "blocks": rows,
        }


def open_table(request: DeviceRequest) -> LutDevice:
    """The table that a command asked for.

    Raises:
        UsageError: Batch, precision or threads are asked for, which a table does not know.
        SpecError: The file is not a table of blocks.
    """
    for flag, value, usual in (
        ("--batch", request.batch, 1),
        ("--threads", request.threads, 1),
        ("--precision", request.precision, "fp32"),
    ):
        if value != usual:
            raise UsageError(f"{flag} means nothing to a table of blocks, got {value}; leave it out")
    return open_lut(request.device)


def price_by_table(net: NetSpec, device: LutDevice) -> TableSimulation:
    """Prices a traced network.

    Raises:
        UnknownLayerError: The table lacks an entry; the text names it.
    """
    pieces = device.pieces(net)
    estimates = device.estimate(pieces)
    rows = []
    for piece, estimate in zip(pieces, estimates, strict=True):
        detail = dict(estimate.detail)
        note = "contained in the constant" if detail.get("in_constant") else str(detail.get("rest", ""))
        operation = str(detail.get("operation", "everything else"))
        rows.append(TableBlock(block=piece.position, operation=operation, layers=piece.layers, latency_s=estimate.latency_s, note=note))
    total = device.total(pieces, estimates)
    return TableSimulation(
        model=net.name, device=device.name, latency_s=total.latency_s, macs=net.macs, params=net.params, blocks=tuple(rows)
    )
