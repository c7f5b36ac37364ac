"""Reading traces of measured convolutions: NeuSight's, or a table of one's own.

A table is a CSV file (or ``.csv.gz``) with a header. Columns, by either name:

====================  ==================  ========================================================
NeuSight              plain               meaning
====================  ==================  ========================================================
``B``                 ``batch``           images at once
``Input_Channel``     ``in_channels``     channels read
``Output_Channel``    ``out_channels``    channels written
``Input_Size``        ``size``            rows (= columns) read
``Latency``           ``latency_ms``      measured milliseconds of one call (not needed to predict)
``Kernel_Szie``       ``kernel``          side of the window; 3 where absent
``Stride``            ``stride``          1 where absent
``Padding``           ``padding``         half the window where absent
``Kernel Name``       ``kernel_name``     longest kernel of the call (optional)
``Kernels``           ``kernels``         all kernels of the call (optional)
====================  ==================  ========================================================
"""

import csv
import gzip
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise._core.errors import DataError
from edgewise.cost.gpu.families import Family, family_of
from edgewise.cost.gpu.shapes import ConvShapes, Many, conv_shapes

_NAMES = {
    "batch": ("B", "batch"),
    "in_channels": ("Input_Channel", "in_channels"),
    "out_channels": ("Output_Channel", "out_channels"),
    "size": ("Input_Size", "size"),
    "latency_ms": ("Latency", "latency_ms"),
    "kernel": ("Kernel_Szie", "Kernel_Size", "kernel"),
    "stride": ("Stride", "stride"),
    "padding": ("Padding", "padding"),
    "kernel_name": ("Kernel Name", "kernel_name"),
    "kernels": ("Kernels", "kernels"),
}
_NEEDED = ("batch", "in_channels", "out_channels", "size")
_LARGEST = 1e7


@dataclass(frozen=True, kw_only=True)
class TraceTable:
    """A trace as read.

    Attributes:
        path: The file.
        header: Its columns, in order.
        rows: Its cells, as text.
        shapes: The convolutions.
        latency_s: Measured seconds; none where the file has no such column.
        families: Kernel family of each row, none where unknown.
        named: The file names kernels.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shapes: ConvShapes
    latency_s: Many | None
    families: tuple[Family | None, ...]
    named: bool


def read_trace(path: Path, *, needs_latency: bool) -> TraceTable:
    """Reads a trace and checks every row.

    Args:
        path: CSV file, or ``.csv.gz``.
        needs_latency: Refuse a file without measured times.

    Raises:
        DataError: The file is missing or no table, lacks a column, or has an impossible row; the text names it.
    """
    header, rows = _table(path)
    columns = {name: place for name, options in _NAMES.items() for place in [_place(header, options)] if place is not None}
    missing = [name for name in (*_NEEDED, *(("latency_ms",) if needs_latency else ())) if name not in columns]
    if missing:
        wanted = ", ".join(f"{_NAMES[name][0]} (or {_NAMES[name][-1]})" for name in missing)
        raise DataError(f"{path} lacks the column{'s' if len(missing) > 1 else ''} {wanted}; it has {', '.join(header[:12])}")
    numbers = {name: _numbers(rows, columns[name], name, path) for name in columns if name not in ("kernel_name", "kernels")}
    named = "kernel_name" in columns
    families = tuple(_family(row, columns) for row in rows) if named else (None,) * len(rows)
    latency = numbers.pop("latency_ms", None)
    shapes = conv_shapes(numbers)
    _check_windows(shapes, path)
    return TraceTable(
        path=path,
        header=header,
        rows=rows,
        shapes=shapes,
        latency_s=None if latency is None else latency / 1e3,
        families=families,
        named=named,
    )


def _table(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except FileNotFoundError:
        raise DataError(f"no such trace: {path}") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no readable CSV table: {' '.join(str(error).split())}") from error
    filled = [(number, line) for number, line in enumerate(lines, start=1) if any(cell.strip() for cell in line)]
    if len(filled) < 2:
        raise DataError(f"{path} must hold a header and at least one row, got {len(filled)} line{'s' if len(filled) != 1 else ''}")
    (_, header), *rest = filled
    for number, line in rest:
        if len(line) != len(header):
            raise DataError(f"{path}, line {number}: a row must have {len(header)} cells as the header has, got {len(line)}")
    return tuple(name.strip() for name in header), tuple(tuple(line) for _, line in rest)


def _place(header: Sequence[str], options: Sequence[str]) -> int | None:
    return next((header.index(option) for option in options if option in header), None)


def _numbers(rows: Sequence[Sequence[str]], place: int, name: str, path: Path) -> Many:
    return np.array([_number(row[place], name, f"{path}, row {number}") for number, row in enumerate(rows, start=1)])


def _number(text: str, name: str, where: str) -> float:
    """A cell as a number; rows are counted from 1, the header apart."""
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{where}: `{name}` must be a number, got {text.strip()[:40]!r}") from None
    least = 0.0 if name == "padding" else 1.0
    if name == "latency_ms":
        if not (math.isfinite(value) and value > 0):
            raise DataError(f"{where}: `{name}` must be a positive time, got {text.strip()}")
    elif not (least <= value <= _LARGEST) or value != int(value):
        raise DataError(f"{where}: `{name}` must be a whole number of at least {least:g}, got {text.strip()}")
    return value


def _check_windows(shapes: ConvShapes, path: Path) -> None:
    empty = np.flatnonzero(shapes.out_h < 1)
    if len(empty):
        raise DataError(
            f"{path}, row {empty[0] + 1}: a window of {shapes.window[empty[0]]:g} does not fit a size of {shapes.in_h[empty[0]]:g}"
        )


def _family(row: Sequence[str], columns: Mapping[str, int]) -> Family | None:
    kernels = row[columns["kernels"]] if "kernels" in columns else ""
    return family_of(row[columns["kernel_name"]], kernels)
