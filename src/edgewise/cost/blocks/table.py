"""A lookup table of blocks: what each operation takes at each position of a network, as somebody measured it.

Columns, in any order, others being ignored:

===============  ==========================================================================================
block            position in running order, or ``constant`` for everything that is not in a row of its own
kernel           side of the depthwise kernel
expansion        inner channels for each input channel
latency_ms       milliseconds
in_channels      channels read
out_channels     channels written
stride           stride of the depthwise convolution
in_height_px     height read
se               optional: channels of squeeze-and-excitation for each input channel; 0 where absent
searchable       optional: 0 for a block that ``constant`` contains already; 1 where absent
skip_allowed     optional: 1 for a block that a network may lack, at no cost; 0 where absent
===============  ==========================================================================================
"""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgewise._core.errors import SpecError, UnknownLayerError
from edgewise.ir.arch import BlockChoice

CONSTANT = "constant"
_NEEDED = ("block", "kernel", "expansion", "latency_ms", "in_channels", "out_channels", "stride", "in_height_px")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row: an operation at a position.

    Attributes:
        block: The position.
        kernel: Side of the depthwise kernel.
        expansion: Inner channels for each input channel.
        se: Channels of squeeze-and-excitation for each input channel.
        latency_s: Seconds.
        in_channels: Channels read.
        out_channels: Channels written.
        stride: Stride.
        in_height: Height read, in pixels.
        searchable: Priced by its row even where there is a constant.
        skippable: A network may lack it.
    """

    block: int
    kernel: int
    expansion: int
    se: float
    latency_s: float
    in_channels: int
    out_channels: int
    stride: int
    in_height: int
    searchable: bool = True
    skippable: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """What is the same for every operation at the position: channels read and written, stride, height read."""
        return self.in_channels, self.out_channels, self.stride, self.in_height

    @property
    def operation(self) -> tuple[int, int, float]:
        """Kernel, expansion and ratio of squeeze-and-excitation."""
        return self.kernel, self.expansion, self.se


@dataclass(frozen=True, kw_only=True)
class BlockTable:
    """A table of blocks.

    Attributes:
        name: Where it comes from.
        entries: Its rows.
        constant_s: Seconds of everything without a row of its own; none where the table does not say.
    """

    name: str
    entries: tuple[Entry, ...]
    constant_s: float | None = None
    _by_block: Mapping[int, tuple[Entry, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks that the rows of a position have one shape."""
        found: dict[int, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.block, []).append(entry)
        for block, rows in found.items():
            if len({row.shape for row in rows}) > 1:
                raise SpecError(f"{self.name} must give block {block} one shape, got {sorted({row.shape for row in rows})}")
        object.__setattr__(self, "_by_block", {block: tuple(found[block]) for block in sorted(found)})

    @property
    def positions(self) -> Mapping[int, tuple[Entry, ...]]:
        """Rows of each position, in running order."""
        return self._by_block

    def is_priced(self, block: int) -> bool:
        """Whether the position's row counts: it is searched, or there is no constant to contain it."""
        return self.constant_s is None or self._by_block[block][0].searchable

    def latency_s(self, choice: BlockChoice) -> float:
        """Seconds of an operation at its position; 0 for one that is left out, or that the constant contains.

        Raises:
            UnknownLayerError: The table has no such entry, or several; the text names it.
        """
        rows = self._by_block.get(choice.block)
        if rows is None:
            raise UnknownLayerError(f"{self.name} has no entry for block {choice.block}; it has {_spans(list(self._by_block))}")
        if choice.skip:
            if not rows[0].skippable:
                raise UnknownLayerError(f"{self.name} does not let block {choice.block} be skipped (skip_allowed 0)")
            return 0.0
        if not self.is_priced(choice.block):
            return 0.0
        wanted = (choice.kernel, choice.expansion, choice.se)
        found = [row.latency_s for row in rows if row.operation == wanted]
        if len(found) != 1:
            known = ", ".join(BlockChoice(block=row.block, kernel=row.kernel, expansion=row.expansion, se=row.se).label for row in rows)
            how_many = "no entry" if not found else f"{len(found)} entries, one is needed,"
            raise UnknownLayerError(f"{self.name} has {how_many} for block {choice.block} as {choice.label}; it has {known}")
        return found[0]


def read_table(path: Path) -> BlockTable:
    """The table in a CSV file.

    Raises:
        SpecError: The file is missing or unreadable, or breaks a rule; the text names the line.
    """
    try:
        return parse_table(path.read_text(encoding="utf-8"), name=path.name)
    except FileNotFoundError:
        raise SpecError(f"no table {path}; --device lut:FILE needs a CSV file with columns {', '.join(_NEEDED)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the table {path}: {' '.join(str(error).split())}") from error


def parse_table(text: str, *, name: str) -> BlockTable:
    r"""The table in a text.

    Args:
        text: CSV with a header.
        name: What to call it.

    Raises:
        SpecError: A column or a number is missing or wrong; the text names the line.

    Example:
        >>> header = "block,kernel,expansion,latency_ms,in_channels,out_channels,stride,in_height_px"
        >>> table = parse_table("\n".join([header, "0,3,6,1.5,8,8,1,16", "constant,,,2,,,,"]), name="t")
        >>> table.latency_s(BlockChoice(block=0, kernel=3, expansion=6)), table.constant_s
        (0.0015, 0.002)
    """
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in _NEEDED if column not in (reader.fieldnames or ())]
    if missing:
        raise SpecError(f"{name} lacks the columns {', '.join(missing)}; a table of blocks needs {', '.join(_NEEDED)}")
    entries: list[Entry] = []
    constant_s: float | None = None
    for row in reader:
        place = f"{name}, line {reader.line_num}"
        if (row["block"] or "").strip().lower() == CONSTANT:
            if constant_s is not None:
                raise SpecError(f"{place}: there must be one row block=constant, got another")
            constant_s = _number(row, "latency_ms", place) / 1e3
        else:
            entries.append(_entry(row, place))
    if not entries:
        raise SpecError(f"{name} must hold at least one block, got none")
    return BlockTable(name=name, entries=tuple(entries), constant_s=constant_s)


def _entry(row: Mapping[str, str | None], place: str) -> Entry:
    return Entry(
        block=_count(row, "block", place, least=0),
        kernel=_count(row, "kernel", place),
        expansion=_count(row, "expansion", place),
        se=_number(row, "se", place) if (row.get("se") or "").strip() else 0.0,
        latency_s=_number(row, "latency_ms", place) / 1e3,
        in_channels=_count(row, "in_channels", place),
        out_channels=_count(row, "out_channels", place),
        stride=_count(row, "stride", place),
        in_height=_count(row, "in_height_px", place),
        searchable=_flag(row, "searchable", place, default=True),
        skippable=_flag(row, "skip_allowed", place, default=False),
    )


def _number(row: Mapping[str, str | None], column: str, place: str) -> float:
    text = row.get(column) or ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise SpecError(f"{place}: {column} must be a number of 0 or more, got {text!r}")
    return value


def _count(row: Mapping[str, str | None], column: str, place: str, *, least: int = 1) -> int:
    value = _number(row, column, place)
    if value != int(value) or value < least:
        raise SpecError(f"{place}: {column} must be a whole number of at least {least}, got {row.get(column)!r}")
    return int(value)


def _flag(row: Mapping[str, str | None], column: str, place: str, *, default: bool) -> bool:
    text = (row.get(column) or "").strip()
    if text not in ("", "0", "1"):
        raise SpecError(f"{place}: {column} must be 0 or 1, got {text!r}")
    return default if not text else text == "1"


def _spans(blocks: list[int]) -> str:
    return f"blocks {blocks[0]} to {blocks[-1]}" if blocks == list(range(blocks[0], blocks[-1] + 1)) else f"blocks {blocks}"
