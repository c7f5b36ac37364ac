"""The waterfall: from the old latency to the new one, layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, element, line, text, tip
from edgewise.report.words import MINUS, ms, shortened, significant

_ROW = 24.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """One step of a waterfall.

    Attributes:
        name: Where the time went: a layer, or a group of them.
        saved_s: Seconds saved there; negative where it got slower.
        note: More about it, for the tooltip.
    """

    name: str
    saved_s: float
    note: str = ""


def largest_drops(drops: Sequence[Drop], *, at_most: int = 12) -> tuple[Drop, ...]:
    """The steps that matter most, largest change first, and the sum of the others as one step.

    Example:
        >>> many = [Drop(name=str(index), saved_s=float(index)) for index in range(5)]
        >>> [(drop.name, drop.saved_s) for drop in largest_drops(many, at_most=3)]
        [('4', 4.0), ('3', 3.0), ('3 other layers', 3.0)]
    """
    ordered = sorted(drops, key=lambda drop: -abs(drop.saved_s))
    if len(ordered) <= at_most:
        return tuple(ordered)
    kept, rest = ordered[: at_most - 1], ordered[at_most - 1 :]
    return (*kept, Drop(name=f"{len(rest)} other layers", saved_s=sum(drop.saved_s for drop in rest)))


def waterfall_chart(before_s: float, drops: Sequence[Drop], *, width: float = 860.0) -> Markup:
    """Bars that float from the old latency down to the new one.

    Args:
        before_s: Latency at the start, in seconds; positive.
        drops: What was saved where, in the order drawn.
        width: Width of the drawing.

    Returns:
        An SVG; savings and losses carry different colours.
    """
    left = 108.0 if width < 500 else 190.0
    levels = [before_s]
    for drop in drops:
        levels.append(levels[-1] - drop.saved_s)
    x = Scale(low=min(0.0, *levels), high=max(levels), start=left, end=width - 64)
    rows = [_total("before", before_s, 0, x)]
    rows += [_row(drop, levels[index], levels[index + 1], (index + 1) * _ROW, x) for index, drop in enumerate(drops)]
    rows.append(_total("after", levels[-1], (len(drops) + 1) * _ROW, x))
    size = (width, (len(drops) + 2) * _ROW + 4)
    described = f"From {ms(before_s)} to {ms(levels[-1])} in {len(drops)} steps"
    return drawing("Where the time went", described, size, line(x(0), 0, x(0), size[1], "base"), *rows)


def _total(name: str, seconds: float, top: float, x: Scale) -> Markup:
    start, end = x(0), x(max(seconds, 0))
    bar = element("rect", x=start, y=top + 4, width=max(end - start, 0.5), height=_ROW - 8, class_=f"bar total {name}")
    return element("g", text(name, x.start - 8, top + 16.5, "row strong", "end"), bar, text(ms(seconds), end + 6, top + 16.5, "row strong"))


def _row(drop: Drop, before_s: float, after_s: float, top: float, x: Scale) -> Markup:
    start, end = sorted((x(before_s), x(after_s)))
    kind = "saved" if drop.saved_s >= 0 else "lost"
    sign = MINUS if drop.saved_s >= 0 else "+"
    words = f"{drop.name}: {sign}{ms(abs(drop.saved_s))}{'. ' + drop.note if drop.note else ''}"
    letters = int((x.start - 8) / 6.6)
    return element(
        "g",
        tip(words),
        text(shortened(drop.name, letters), x.start - 8, top + 16.5, "row", "end"),
        line(x(after_s), top + 4, x(after_s), top + _ROW + 4, "link"),
        element("rect", x=start, y=top + 4, width=max(end - start, 1.0), height=_ROW - 8, class_=f"bar {kind}"),
        text(f"{sign}{significant(abs(drop.saved_s) * 1e3)}", end + 6, top + 16.5, "row"),
    )
