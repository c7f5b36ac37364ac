"""A device known by a table of blocks: somebody measured every operation at every position there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise._core.errors import UnknownLayerError, UsageError
from edgewise.cost.blocks.find import FoundBlock, find_blocks
from edgewise.cost.blocks.table import BlockTable, read_table
from edgewise.cost.protocol import Estimate, Kind, Piece
from edgewise.cost.workload import Workload
from edgewise.ir import NetSpec
from edgewise.ir.arch import BlockChoice

LUT_PREFIX = "lut:"
_REST = "rest"
_NUMBERED = re.compile(r"(?:^|\.)(\d+)\.")


def is_lut(name: str) -> bool:
    """Whether a device's name stands for a table.

    Example:
        >>> is_lut("LUT:phone.csv"), is_lut("titan-v")
        (True, False)
    """
    return name.strip()[: len(LUT_PREFIX)].lower() == LUT_PREFIX


def open_lut(name: str) -> "LutDevice":
    """The device that ``lut:FILE`` names.

    Raises:
        UsageError: No file is named.
        SpecError: The file is not a table of blocks.
    """
    path = name.strip()[len(LUT_PREFIX) :].strip()
    if not is_lut(name) or not path:
        raise UsageError(f"a table of blocks is named by lut:FILE, got {name!r}")
    return LutDevice(table=read_table(Path(path).expanduser()))


@dataclass(frozen=True, kw_only=True, slots=True)
class LutDevice:
    """Prices networks by a table of blocks.

    Attributes:
        table: The table.
    """

    table: BlockTable

    @property
    def name(self) -> str:
        """Name on the command line, but for the folder of the file."""
        return f"{LUT_PREFIX}{self.table.name}"

    def pieces(self, net: NetSpec) -> tuple[Piece, ...]:
        """The network's blocks at their positions in the table, and one piece for the rest.

        Positions are those that the layers' names number (``blocks.7.depthwise``), where the shapes fit; else each
        block takes the first position left over that has its shape, so that what is skipped stands behind.

        Raises:
            UnknownLayerError: A block has no entry, or a position that no network may lack is lacking.
        """
        found = find_blocks(net)
        places = self._numbered(found) or self._aligned(found)
        made = [
            Piece(position=str(place), layers=block.layers, workload=_workload(block, place))
            for block, place in zip(found, places, strict=True)
        ]
        inside = {name for block in found for name in block.layers}
        rest = tuple(layer.name for layer in net.layers if layer.name not in inside)
        return (Piece(position=_REST, layers=rest, workload=Workload(kernel="table", op=_REST, in_channels=1, out_channels=1)), *made)

    def estimate(self, pieces: Sequence[Piece]) -> tuple[Estimate, ...]:
        """The entries of the pieces: quoted, as the table is somebody's measurement.

        Raises:
            UnknownLayerError: The table lacks an entry; the text names it.
        """
        return tuple(self._estimate(piece) for piece in pieces)

    def total(self, pieces: Sequence[Piece], estimates: Sequence[Estimate]) -> Estimate:
        """The sum: predicted, from measurements of the parts."""
        return Estimate(latency_s=sum(estimate.latency_s for estimate in estimates), kind=Kind.PREDICTED)

    def choice_s(self, choice: BlockChoice) -> float:
        """Seconds of an operation at its position; see :meth:`BlockTable.latency_s`."""
        return self.table.latency_s(choice)

    def _estimate(self, piece: Piece) -> Estimate:
        if piece.position == _REST:
            known = self.table.constant_s is not None
            detail = (("rest", "constant" if known else "not in the table, left out"),)
            return Estimate(latency_s=self.table.constant_s or 0.0, kind=Kind.QUOTED, detail=detail)
        choice = _choice(piece)
        operation = (("in_constant", float(not self.table.is_priced(choice.block))), ("operation", choice.label))
        return Estimate(latency_s=self.table.latency_s(choice), kind=Kind.QUOTED, detail=operation)

    def _numbered(self, found: Sequence[FoundBlock]) -> list[int] | None:
        """Positions that the names give, if all blocks have one and all shapes fit."""
        places: list[int] = []
        for block in found:
            numbers = _NUMBERED.findall(block.name)
            place = int(numbers[-1]) if numbers else -1
            rows = self.table.positions.get(place)
            if rows is None or rows[0].shape != _shape(block) or (places and place <= places[-1]):
                return None
            places.append(place)
        lacking = [place for place, rows in self.table.positions.items() if place not in places and not rows[0].skippable]
        return None if lacking or not places else places

    def _aligned(self, found: Sequence[FoundBlock]) -> list[int]:
        """The first positions in order that have the blocks' shapes, passing over skippable ones only."""
        places: list[int] = []
        free = list(self.table.positions)
        for block in found:
            while free and self.table.positions[free[0]][0].shape != _shape(block):
                self._pass_over(free.pop(0), block)
            if not free:
                raise self._lacking(block)
            places.append(free.pop(0))
        for place in free:
            if not self.table.positions[place][0].skippable:
                raise UnknownLayerError(f"{self.table.name} needs a block at position {place}, which the network has not")
        return places

    def _pass_over(self, place: int, block: FoundBlock) -> None:
        if not self.table.positions[place][0].skippable:
            raise self._lacking(block)

    def _lacking(self, block: FoundBlock) -> UnknownLayerError:
        operation = f"{block.kernel}x{block.kernel}-{block.expansion:g}" + (f"-se{block.se:g}" if block.reduced else "")
        shape = f"{block.in_channels} to {block.out_channels} channels, stride {block.stride}, {'x'.join(map(str, block.in_hw))} px"
        return UnknownLayerError(f"{self.table.name} has no entry for the block {operation} at {block.name} ({shape})")


def _shape(block: FoundBlock) -> tuple[int, int, int, int]:
    return block.in_channels, block.out_channels, block.stride, block.in_hw[0]


def _workload(block: FoundBlock, place: int) -> Workload:
    if block.expansion != int(block.expansion):
        raise UnknownLayerError(f"a table of blocks has whole expansions only, got {block.expansion:g} at {block.name}")
    return Workload(
        kernel="table",
        op="block",
        in_channels=block.in_channels,
        out_channels=block.out_channels,
        in_hw=block.in_hw,
        out_hw=block.out_hw,
        window=(block.kernel, block.kernel),
        stride=(block.stride, block.stride),
        attributes=(("block", place), ("expansion", int(block.expansion)), ("se", block.se)),
    )


def _choice(piece: Piece) -> BlockChoice:
    values = dict(piece.workload.attributes)
    return BlockChoice(
        block=int(values["block"]), kernel=piece.workload.window[0], expansion=int(values["expansion"]), se=float(values["se"])
    )
