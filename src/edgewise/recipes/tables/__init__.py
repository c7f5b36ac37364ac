"""The tutorial's tables and figures: quoted, simulated and measured side by side.

One file of this folder makes one table, and its function is an entry of :data:`TABLES`. A
function imports what it needs when it is called, so that listing the tables costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from edgewise._core.errors import UnknownNameError
from edgewise._core.progress import Progress, SilentProgress

__all__ = ["TABLES", "Row", "make_tables", "tables_to_json"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One cell of a published table, beside what edgewise has for it.

    Attributes:
        table: Id of the table, such as ``nas-1``.
        row: Row as published.
        column: Column as published, with its unit.
        quoted: The published number, or none.
        simulated: The number from a model of the device, or none.
        measured: The number measured by edgewise, or none.
        note: What to know before comparing them; empty for nothing.
    """

    table: str
    row: str
    column: str
    quoted: float | None = None
    simulated: float | None = None
    measured: float | None = None
    note: str = ""


def _reram_3(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.reram import table_3

    return table_3(progress)


def _reram_4(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.reram import table_4

    return table_4(progress)


TABLES: Mapping[str, Callable[[Progress], tuple[Row, ...]]] = MappingProxyType({"reram-3": _reram_3, "reram-4": _reram_4})
"""Function that makes each table, by its id."""


def make_tables(only: tuple[str, ...] = (), *, progress: Progress | None = None) -> tuple[Row, ...]:
    """The rows of some tables, in the order asked for.

    Args:
        only: Ids of tables; empty for all.
        progress: Receives one step a table.

    Raises:
        UnknownNameError: There is no such table yet.
    """
    progress = progress or SilentProgress()
    missing = [name for name in only if name not in TABLES]
    if missing:
        raise UnknownNameError(f"no table {', '.join(missing)} yet; known: {', '.join(TABLES) or 'none'}")
    names = only or tuple(TABLES)
    progress.start("making tables", len(names))
    rows: list[Row] = []
    for name in names:
        rows.extend(TABLES[name](progress))
        progress.advance()
    return tuple(rows)


def tables_to_json(rows: tuple[Row, ...]) -> dict[str, Any]:
    """The rows as JSON values."""
    return {"rows": [asdict(row) for row in rows]}
