"""Plans: what is to be done to a network, as frozen data that a file can hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise._core.errors import PlanError
from edgewise._core.showing import Card, Table, counted


@dataclass(frozen=True, kw_only=True, slots=True)
class TiePlan:
    """Which channels of one tie stay, and how many are added.

    Attributes:
        tie: Name of the tie.
        keep: Indices kept, ascending, of the tie's present units; none of a tie whose block is left out.
        grow: Number of new units put behind the kept ones; 0 where none is kept.
    """

    tie: str
    keep: tuple[int, ...]
    grow: int = 0

    def __post_init__(self) -> None:
        """Checks order and uniqueness, and that nothing is put behind what is gone."""
        if list(self.keep) != sorted(set(self.keep)) or (self.keep and self.keep[0] < 0):
            raise PlanError(f"`keep` of tie {self.tie!r} must be ascending indices, each once, got {self.keep[:8]}...")
        if self.grow < 0 or (self.grow and not self.keep):
            raise PlanError(f"tie {self.tie!r} must grow by at least 0, and from at least 1 unit, got {len(self.keep)} and {self.grow}")

    @property
    def width(self) -> int:
        """The width after the plan."""
        return len(self.keep) + self.grow


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthPlan:
    """New widths for some ties of a network; ties not named are not touched.

    Example:
        >>> plan = WidthPlan(ties=(TiePlan(tie="conv1", keep=(0, 2), grow=1),))
        >>> plan.widths
        {'conv1': 3}
        >>> plan
        WidthPlan: 1 tie changed
        tie    width  kept  added
        conv1      3     2      1
    """

    ties: tuple[TiePlan, ...] = ()

    def __post_init__(self) -> None:
        """Checks that no tie is planned twice."""
        names = [tie.tie for tie in self.ties]
        if len(names) != len(set(names)):
            raise PlanError(f"a tie must stand in a plan once, got {sorted(names)}")

    def __repr__(self) -> str:
        """The plan as people read it."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        rows = tuple((tie.tie, tie.width, len(tie.keep), tie.grow or None) for tie in self.ties)
        title = f"WidthPlan: {counted(len(rows), 'tie')} changed" if rows else "WidthPlan: nothing changes"
        return Card(title=title, tables=(Table(header=("tie", "width", "kept", "added"), rows=rows, numeric=(1, 2, 3)),) if rows else ())

    @property
    def widths(self) -> dict[str, int]:
        """Width after the plan of every tie it names."""
        return {tie.tie: tie.width for tie in self.ties}

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {"kind": "widths", "ties": [{"tie": tie.tie, "keep": list(tie.keep), "grow": tie.grow} for tie in self.ties]}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "WidthPlan":
        """The plan that :meth:`to_json` wrote.

        Raises:
            PlanError: The value is not such a plan.
        """
        try:
            if value["kind"] != "widths":
                raise PlanError(f"`kind` of a width plan must be 'widths', got {value['kind']!r}")
            ties = tuple(
                TiePlan(tie=str(tie["tie"]), keep=tuple(int(index) for index in tie["keep"]), grow=int(tie["grow"]))
                for tie in value["ties"]
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PlanError):
                raise
            raise PlanError(f"not a width plan: {error!r}") from error
        return WidthPlan(ties=ties)
