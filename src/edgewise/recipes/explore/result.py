"""What a study found, as JSON values: the rows, the front, what each method contributed, and what to take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise._core.errors import TargetError, UsageError
from edgewise._core.units import LatencyTarget, format_seconds, parse_latency
from edgewise.recipes.explore.fronts import Value, front_of, hypervolume
from edgewise.recipes.explore.point import METHODS
from edgewise.recipes.showing import explore_card

Row = dict[str, Any]
"""A trial's row of the result."""
WORST_RATIO = 1.1
"""Latency of the hypervolume's worst corner, over the given network's."""
WORST_LOSS = 0.10
"""Accuracy that the worst corner lies below the given network's."""
TOLERANCE = 0.01
"""Accuracy that the recommended network may lose against the best of the front, on the validation part."""


@dataclass(frozen=True, kw_only=True)
class ExploreResult:
    """What a study found.

    Attributes:
        value: All figures as JSON values, as written to ``result.json``.
        folder: The study folder.
    """

    value: Mapping[str, Any]
    folder: Path

    @property
    def trials(self) -> list[Row]:
        """Every network tried, in the order tried."""
        return list(self.value["trials"])

    @property
    def front(self) -> list[Row]:
        """The networks that none other beats in both accuracy and latency, the fastest first."""
        rows = {row["key"]: row for row in self.value["trials"]}
        return [rows[key] for key in self.value["front"]]

    @property
    def recommended(self) -> Row | None:
        """The network to take where no latency is asked for; none where nothing was tried to its end."""
        chosen = self.value["recommended"]
        return None if chosen is None else next(row for row in self.value["trials"] if row["key"] == chosen["key"])

    def best(self, *, latency: str | LatencyTarget) -> Row:
        """The most accurate network of the front that is fast enough.

        Args:
            latency: ``"0.7x"`` of the given network's, judged by ``ratio``, or a time such as ``"2ms"``.

        Raises:
            TargetError: None is; says the fastest.
        """
        target = parse_latency(latency, flag="`latency`") if isinstance(latency, str) else latency
        front = self.front
        if not front:
            raise TargetError("nothing was tried to its end, so that there is no front to choose from")
        fitting = [row for row in front if _time_of(row, target) <= (target.ratio or target.absolute_s or 0.0)]
        if not fitting:
            known = f"{front[0]['ratio']:.3f}x ({format_seconds(front[0]['latency_s'])})"
            raise TargetError(f"no network of the front is as fast as {target}; the fastest takes {known}")
        return max(fitting, key=lambda row: float(row["accuracy_validation"]))

    def run(self, row: Row) -> Path:
        """The run folder of a row.

        Raises:
            UsageError: The trial failed, and has none.
        """
        if row["run"] is None:
            raise UsageError(f"trial {row['number']} failed and has no run folder: {row['why']}")
        return self.folder / str(row["run"])

    def __repr__(self) -> str:
        """The front as people read it."""
        return explore_card(self.value).text()

    def _repr_html_(self) -> str:
        from edgewise.report.explore_notebook import front_html

        return front_html({**self.value, "run": str(self.folder)})

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values, and where the study and its report lie."""
        return {**self.value, "run": str(self.folder), "report": str(self.folder / "report.html")}


def value_of(row: Mapping[str, Any]) -> Value | None:
    """A row as a front sees it: validation accuracy and ratio; none where one of them is missing."""
    accuracy, ratio = row["accuracy_validation"], row["ratio"]
    if accuracy is None or ratio is None or row["state"] == "failed":
        return None
    return Value(accuracy=float(accuracy), ratio=float(ratio))


def front_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows that none other dominates, the fastest first."""
    known = [(row, value) for row in rows if (value := value_of(row)) is not None]
    return [known[place][0] for place in front_of([value for _, value in known])]


def reference_of(baseline: Mapping[str, Any]) -> Value:
    """The hypervolume's worst corner: a tenth slower than the given network, ten points less accurate."""
    return Value(accuracy=max(0.0, float(baseline["accuracy_validation"] or 0.0) - WORST_LOSS), ratio=WORST_RATIO)


def contributions_of(rows: Sequence[Row], front: Sequence[Row], reference: Value) -> dict[str, dict[str, Any]]:
    """What each method contributed: how many were tried, and the front with that method alone and without it.

    Args:
        rows: All trials.
        front: Those on the front.
        reference: The hypervolume's worst corner.
    """
    found: dict[str, dict[str, Any]] = {}
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        found[method] = {
            "tried": len(own),
            "complete": sum(row["state"] == "complete" for row in own),
            "on_front": sum(row["method"] == method for row in front),
            "hypervolume": _volume(own, reference),
            "hypervolume_without": _volume([row for row in rows if row["method"] != method], reference),
        }
    return found


def volume_of(rows: Sequence[Row], reference: Value) -> float:
    """Hypervolume of the rows that were measured."""
    return _volume(rows, reference)


def recommended_of(front: Sequence[Row]) -> dict[str, str] | None:
    """The fastest network of the front that loses at most one point against the most accurate; none for an empty front."""
    if not front:
        return None
    best = max(float(row["accuracy_validation"]) for row in front)
    chosen = next(row for row in front if float(row["accuracy_validation"]) >= best - TOLERANCE)
    why = (
        f"the fastest whose validation accuracy lies within {TOLERANCE * 100:g} point of the best on the front: "
        f"{chosen['ratio']:.3f}x, {float(chosen['accuracy_validation']):.2%} of {best:.2%}"
    )
    return {"key": str(chosen["key"]), "why": why}


def _volume(rows: Sequence[Row], reference: Value) -> float:
    return hypervolume([value for row in rows if (value := value_of(row)) is not None], reference)


def _time_of(row: Row, target: LatencyTarget) -> float:
    return float(row["ratio"] if target.ratio is not None else row["latency_s"])
