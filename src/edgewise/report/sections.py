"""The parts of the page below the decision, made ready for the template."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgewise.report.charts import Drop, StairsMarks, bar_pair, staircase_chart, waterfall_chart
from edgewise.report.charts.waterfall import largest_drops
from edgewise.report.data import LayerWidth, RunReport, Staircase, WhyRow
from edgewise.report.words import count, ms, percent, ratio

OPEN_STAIRCASES = 12
"""So many distinct staircases are shown at once; the others wait behind a fold."""
MAX_STAIRCASES = 160
"""So many distinct staircases are drawn at all, which bounds the size of the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StairsGroup:
    """Layers with one and the same staircase.

    Attributes:
        stairs: The staircase of the first of them.
        names: All of them.
        moves: Their widths before and after, each once, in words.
        chart: The drawing.
    """

    stairs: Staircase
    names: tuple[str, ...]
    moves: tuple[str, ...]
    chart: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class WidthRow:
    """One row of the table of widths."""

    layer: str
    before: str
    after: str
    change: str
    kind: str
    bar: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class WhyLine:
    """One row of the table of work saved against time saved."""

    layer: str
    macs: str
    macs_saved: str
    time: str
    time_saved: str
    reason: str
    followed: bool


def stairs_groups(report: RunReport) -> tuple[StairsGroup, ...]:
    """The staircases of distinct shape, each with all the layers that share it, in the order of the network."""
    if report.profile is None:
        return ()
    groups: dict[tuple[object, ...], list[Staircase]] = {}
    for stairs in report.profile.layers:
        if stairs.widths:
            groups.setdefault((stairs.in_width, stairs.widths, stairs.latency_s), []).append(stairs)
    return tuple(_group(report, members) for members in list(groups.values())[:MAX_STAIRCASES])


def _group(report: RunReport, members: Sequence[Staircase]) -> StairsGroup:
    pairs = list(dict.fromkeys(_widths_of(report, stairs) for stairs in members))
    original = tuple(dict.fromkeys(before for before, _ in pairs if before is not None))
    chosen = tuple(dict.fromkeys(after for _, after in pairs if after is not None))
    moves = tuple(_move(before, after) for before, after in pairs)
    marks = StairsMarks(original=original, chosen=chosen)
    names = tuple(stairs.name for stairs in members)
    return StairsGroup(
        stairs=members[0], names=names, moves=tuple(move for move in moves if move), chart=staircase_chart(members[0], marks)
    )


def _widths_of(report: RunReport, stairs: Staircase) -> tuple[int | None, int | None]:
    """Widths before and after of a staircase's layer: by its own name, else by its tie's."""
    names = (stairs.name, stairs.tie, stairs.candidates_of)
    before, after = (next((widths[name] for name in names if name in widths), None) for widths in (report.widths_before, report.widths))
    return before, after


def _move(before: int | None, after: int | None) -> str:
    if before is None or before == after:
        return "" if after is None else f"kept at {after}"
    return f"was {before}" if after is None else f"{before} → {after}"


def width_rows(rows: Sequence[LayerWidth]) -> tuple[WidthRow, ...]:
    """The table of widths, a bar in every row."""
    peak = max((max(row.after, row.before or 0) for row in rows), default=1) or 1
    return tuple(_width_row(row, peak) for row in rows)


def _width_row(row: LayerWidth, peak: int) -> WidthRow:
    kind = "kept" if row.before in (None, row.after) else "grown" if row.after > (row.before or 0) else "shrunk"
    before = "–" if row.before is None else str(row.before)
    bar = bar_pair(row.before, row.after, maximum=peak, label=f"{before} to {row.after}")
    after = str(row.after) if row.after else "left out"
    return WidthRow(layer=row.layer, before=before, after=after, change=ratio(row.after, row.before), kind=kind, bar=bar)


def why_lines(rows: Sequence[WhyRow]) -> tuple[WhyLine, ...]:
    """The table of reasons, the largest change of time first."""
    return tuple(_why_line(row) for row in sorted(rows, key=lambda row: -abs(row.saved_s or 0.0)))


def _why_line(row: WhyRow) -> WhyLine:
    macs_saved = _share_saved(row.macs_before, row.macs_after)
    time_saved = _share_saved(row.latency_before_s, row.latency_after_s)
    return WhyLine(
        layer=row.layer,
        macs=f"{count(row.macs_before)} → {count(row.macs_after)}",
        macs_saved=percent(macs_saved, digits=0),
        time=f"{ms(row.latency_before_s, unit=False)} → {ms(row.latency_after_s, unit=False)}",
        time_saved=percent(time_saved, digits=0),
        reason=row.reason or "",
        followed=macs_saved is None or time_saved is None or time_saved >= macs_saved * 0.5 - 0.02,
    )


def _share_saved(before: float | None, after: float | None) -> float | None:
    return None if not before or after is None else (before - after) / before


def time_went(report: RunReport, *, width: float) -> Markup | None:
    """The waterfall from the old latency to the new one; ``None`` without measured layers.

    It starts at the baseline's latency as measured; what the layers' own times do not
    explain is a step of its own, so that the last bar is the result as measured.
    """
    drops = [Drop(name=row.layer, saved_s=row.saved_s, note=row.reason or "") for row in report.why if row.saved_s is not None]
    if not drops:
        return None
    before = report.baseline.latency_s if report.baseline is not None else None
    after = report.result.latency_s if report.result is not None else None
    shown = largest_drops([drop for drop in drops if drop.saved_s != 0])
    if before is None or after is None:
        return waterfall_chart(sum(row.latency_before_s or 0.0 for row in report.why if row.saved_s is not None), shown, width=width)
    rest = before - after - sum(drop.saved_s for drop in shown)
    between = Drop(name="between layers", saved_s=rest, note="Saved or lost in the whole network but not in the layers timed one by one")
    return waterfall_chart(before, (*shown, between), width=width)
