"""The tutorial's tables and figures: quoted, simulated and measured side by side.

One file of this folder makes one table, and its function is an entry of :data:`TABLES`. A
function imports what it needs when it is called, so that listing the tables costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgewise._core.errors import UnknownNameError
from edgewise._core.files import write_text
from edgewise._core.progress import Progress, SilentProgress

__all__ = ["PICTURES", "TABLES", "Row", "draw_pictures", "make_tables", "tables_to_json"]


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


def _nas_1(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.nas_1 import rows

    return rows(progress)


def _reram_3(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.reram import table_3

    return table_3(progress)


def _reram_4(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.reram import table_4

    return table_4(progress)


def _dynamic_i(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.dynamic_i import rows

    return rows(progress)


def _dynamic_fig2(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.dynamic_fig2 import rows

    return rows(progress)


def _dynamic_fig4(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.dynamic_fig4 import rows

    return rows(progress)


def _gpu_2(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.gpu_2 import rows

    return rows(progress)


def _gpu_4(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.gpu_4 import rows

    return rows(progress)


def _gpu_5(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.gpu_5 import rows

    return rows(progress)


def _gpu_fig6(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.gpu_fig6 import rows

    return rows(progress)


def _gpu_fig7(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.gpu_fig7 import rows

    return rows(progress)


def _gpu_fig8(progress: Progress) -> tuple[Row, ...]:
    from edgewise.recipes.tables.gpu_fig8 import rows

    return rows(progress)


def _rankings() -> str:
    from edgewise.recipes.tables.dynamic_fig2 import picture

    return picture()


def _fig6() -> str:
    from edgewise.recipes.tables.gpu_fig6 import picture

    return picture()


def _fig7() -> str:
    from edgewise.recipes.tables.gpu_fig7 import picture

    return picture()


TABLES: Mapping[str, Callable[[Progress], tuple[Row, ...]]] = MappingProxyType(
    {
        "dynamic-I": _dynamic_i,
        "dynamic-fig2": _dynamic_fig2,
        "dynamic-fig4": _dynamic_fig4,
        "gpu-2": _gpu_2,
        "gpu-4": _gpu_4,
        "gpu-5": _gpu_5,
        "gpu-fig6": _gpu_fig6,
        "gpu-fig7": _gpu_fig7,
        "gpu-fig8": _gpu_fig8,
        "nas-1": _nas_1,
        "reram-3": _reram_3,
        "reram-4": _reram_4,
    }
)
"""Function that makes each table, by its id."""
PICTURES: Mapping[str, Callable[[], str]] = MappingProxyType({"dynamic-fig2": _rankings, "gpu-fig6": _fig6, "gpu-fig7": _fig7})
"""Function that draws each figure as SVG, by its id."""


def draw_pictures(folder: Path, only: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """Draws the figures among some tables.

    Args:
        folder: Where they go, as ``ID.svg``; made where it is missing.
        only: Ids of tables; empty for all. Tables without a picture are left out.

    Returns:
        The files written.

    Raises:
        StorageError: They cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in only or tuple(PICTURES):
        if name in PICTURES:
            drawn.append(folder / f"{name}.svg")
            write_text(drawn[-1], PICTURES[name]() + "\n")
    return tuple(drawn)


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
