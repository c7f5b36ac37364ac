"""Results that are lists and reports rather than networks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgewise._core.showing import Card, Table
from edgewise.recipes.tables import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceList:
    """Devices by name.

    Attributes:
        value: JSON values, as ``edgewise devices --json`` writes them.
    """

    value: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """What ``device`` may be, here or with more installed."""
        return tuple(row["name"] for row in self.value["devices"])

    @property
    def available(self) -> tuple[str, ...]:
        """What ``device`` may be here and now."""
        return tuple(row["name"] for row in self.value["devices"] if row["available"])

    def to_json(self) -> dict[str, Any]:
        """The list as JSON values."""
        return dict(self.value)

    def __repr__(self) -> str:
        """The list as people read it."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        rows = tuple(
            (row["name"], row["kind"], "yes" if row["available"] else "no", row["version"], row["note"]) for row in self.value["devices"]
        )
        table = Table(header=("device", "kind", "here", "version", "note"), rows=rows)
        return Card(title=f"{len(self.available)} of {len(rows)} devices can be used here", tables=(table,))


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRows:
    """Cells of published tables beside what edgewise has for them.

    Attributes:
        rows: One for each cell.
    """

    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """The rows as JSON values."""
        return {"rows": [asdict(row) for row in self.rows]}

    def __repr__(self) -> str:
        """The rows as people read them."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        cells = tuple(
            (row.table, row.row, row.column, *(_number(one) for one in (row.quoted, row.simulated, row.measured)), row.note)
            for row in self.rows
        )
        header = ("table", "row", "column", "quoted", "simulated", "measured", "note")
        return Card(title=f"{len(cells)} cells of published tables", tables=(Table(header=header, rows=cells, numeric=(3, 4, 5)),))


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """A trace with a column of predictions.

    Attributes:
        value: JSON values, as ``edgewise predict --json`` writes them.
    """

    value: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The trace with its new column."""
        return Path(self.value["out"])

    @property
    def error(self) -> Mapping[str, float] | None:
        """``mean``, ``median`` and ``p90`` relative error and ``spearman``; none without measured times."""
        found: Mapping[str, float] | None = self.value["error"]
        return found

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return dict(self.value)

    def __repr__(self) -> str:
        """The figures as people read them."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        value = self.value
        title = f"{value['out']}: {value['rows']} rows simulated on {value['device']} ({value['coefficients']} coefficients)"
        return Card(title=title, notes=() if self.error is None else (_errors("against the measured times", self.error),))


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The GPU model fitted to traces.

    Attributes:
        value: JSON values, as ``edgewise calibrate --json`` writes them.
    """

    value: Mapping[str, Any]

    @property
    def device(self) -> str:
        """What ``device`` is to be for this GPU: ``gpu:FILE``."""
        return str(self.value["device"])

    @property
    def file(self) -> Path:
        """The file written."""
        return Path(self.value["file"])

    @property
    def held_out(self) -> Mapping[str, Any]:
        """Errors on rows that were not fitted, ``analytic`` and ``with_residual``."""
        found: Mapping[str, Any] = self.value["held_out"]
        return found

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return dict(self.value)

    def __repr__(self) -> str:
        """The figures as people read them."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        notes = (
            _errors("held out, kernel family not told", self.held_out["analytic"]),
            _errors("with the learned residual", self.held_out["with_residual"]),
        )
        return Card(title=f"{self.device}: fitted to {self.value['rows']} rows", notes=notes)


def _errors(what: str, found: Mapping[str, float]) -> str:
    return (
        f"{what}: mean error {found['mean']:.1%}, median {found['median']:.1%}, 90 % below {found['p90']:.1%}, "
        f"Spearman {found['spearman']:.3f}"
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"
