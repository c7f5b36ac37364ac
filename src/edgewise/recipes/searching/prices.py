"""What the choices of a space take on a device: asked for once, before the search."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from edgewise._core.errors import UnknownLayerError
from edgewise._core.progress import Progress
from edgewise.cost import Piece
from edgewise.cost.blocks import BlockTable, is_lut
from edgewise.ir import ArchPlan, BlockChoice, NetSpec
from edgewise.measure.calibration import overheads_of
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.measured_device import device_for
from edgewise.models.mobile import MobileNet
from edgewise.recipes.profile import open_device
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.simulated.lut import open_table
from edgewise.recipes.simulated.opening import is_simulated, open_simulated
from edgewise.space import Space
from edgewise.space.prices import Prices, price_space
from edgewise.trace import trace

_BLOCK = re.compile(r"^blocks\.(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class Pricer:
    """Cuts networks into pieces and prices them.

    Attributes:
        cut: The pieces of a network.
        price: Seconds of each piece.
        start_s: Seconds of a network of no pieces.
        kind: Where the figures come from.
    """

    cut: Callable[[NetSpec], Sequence[Piece]]
    price: Callable[[Sequence[Piece]], Sequence[float]]
    start_s: float
    kind: str


def prices_on(space: Space, device: DeviceRequest, *, database: LatencyDatabase | None, progress: Progress) -> Prices:
    """The prices of a space's choices on a device.

    Args:
        space: The space.
        device: A measured device, a simulated one, or a table of blocks.
        database: Where timings of measured devices are kept; only those need it.
        progress: Is told how far it is.

    Raises:
        UnknownLayerError: A table lacks an entry; the text names it.
        EdgewiseError: The device is wrong; the text says why.
    """
    if is_lut(device.device):
        return prices_by_table(space, open_table(device).table)
    if is_simulated(device.device):
        gpu = open_simulated(device)
        pricer = Pricer(
            cut=gpu.pieces,
            price=lambda pieces: [one.latency_s for one in gpu.estimate(pieces)],
            start_s=gpu.start_s,
            kind="simulated",
        )
        return _priced_by_networks(space, pricer, progress=progress)
    assert database is not None
    return _priced_by_networks(space, _measured(space, device, database, progress=progress), progress=progress)


def prices_by_table(space: Space, table: BlockTable) -> Prices:
    """The prices that a table of blocks gives.

    Without a constant the blocks with nothing to choose are summed from their rows, and stem and head are left out.

    Raises:
        UnknownLayerError: An entry is lacking, or a position has another shape there.
    """
    for block in space.blocks:
        rows = table.positions.get(block.position)
        if rows is None and not block.searchable and table.constant_s is not None:
            continue
        if rows is None:
            raise UnknownLayerError(f"{table.name} has no entry for block {block.position} of space {space.name!r}")
        shape = (block.in_channels, block.out_channels, block.stride, block.in_hw[0])
        if rows[0].shape != shape:
            raise UnknownLayerError(
                f"{table.name} has block {block.position} as {_shape(rows[0].shape)}, space {space.name!r} as {_shape(shape)}; "
                "use the space that the table was made for"
            )
    fixed_s = sum(table.latency_s(block.largest) for block in space.blocks if not block.searchable and block.position in table.positions)
    return price_space(space, constant_s=(table.constant_s or 0.0) + fixed_s, price_s=table.latency_s)


def net_of(space: Space, plan: ArchPlan) -> NetSpec:
    """A network of a space as hardware sees it, without drawing its weights."""
    with torch.random.fork_rng(devices=[]):
        model = MobileNet(space, plan).eval()
    return trace(model, (torch.zeros(space.input_shape),), name=space.name, verify=False).net


def _measured(space: Space, request: DeviceRequest, database: LatencyDatabase, *, progress: Progress) -> Pricer:
    runtime, book = open_device(request, database=database)
    overheads = overheads_of(runtime, book, database, progress=progress)
    device = device_for(net_of(space, space.largest), runtime.settings, book, overheads=overheads)

    def price(pieces: Sequence[Piece]) -> list[float]:
        prices_s = book.prices([piece.workload for piece in pieces], footprint_bytes=device.footprint_bytes)
        return [overheads.per_call_s + overheads.scale * prices_s[piece.workload] for piece in pieces]

    return Pricer(cut=device.pieces, price=price, start_s=overheads.start_s, kind="predicted")


def _priced_by_networks(space: Space, pricer: Pricer, *, progress: Progress) -> Prices:
    """Prices from networks whose blocks all take the same choice, cut as the device runs them."""
    operations = sorted({one for block in space.searchable for one in product(block.kernels, block.expansions, block.ses)})
    progress.start("pricing the choices", len(operations))
    found: dict[tuple[int, str], float] = {}
    constants: list[float] = []
    searched = {block.position for block in space.searchable}
    for kernel, expansion, se in operations:
        plan = space.homogeneous(kernel, expansion, se)
        pieces = pricer.cut(net_of(space, plan))
        seconds = pricer.price(pieces)
        sums = dict.fromkeys([-1, *searched], 0.0)
        for piece, latency_s in zip(pieces, seconds, strict=True):
            place = _position(piece)
            sums[place if place in searched else -1] += latency_s
        constants.append(sums.pop(-1))
        found.update({(choice.block, choice.label): sums[choice.block] for choice in plan.blocks if choice.block in searched})
        progress.advance()

    def price_s(choice: BlockChoice) -> float:
        return found[choice.block, choice.label]

    return price_space(space, constant_s=pricer.start_s + float(np.mean(constants)), price_s=price_s, kind=pricer.kind)


def _position(piece: Piece) -> int:
    match = _BLOCK.match(piece.position)
    return int(match.group(1)) if match else -1


def _shape(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} to {shape[1]} channels, stride {shape[2]}, {shape[3]} px"
