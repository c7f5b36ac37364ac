"""Widths before and after: the silhouette of the whole network, and one bar a layer."""

from collections.abc import Sequence

from markupsafe import Markup

from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, element, line, text, tip, x_axis, y_axis
from edgewise.report.data import LayerWidth
from edgewise.report.words import shortened, without_common_prefix

_LABELLED_PIXELS = 24.0


def bar_pair(before: float | None, after: float | None, *, maximum: float, label: str) -> Markup:
    """One layer's bar in a table: the old length as an outline, the new one filled.

    Args:
        before: Old length; not drawn where unknown.
        after: New length; not drawn where unknown.
        maximum: Length that fills the cell; positive.
        label: What the bar says, for readers who do not see it.
    """
    shares = ((before, "before", 2.0, 10.0), (after, "after", 4.0, 6.0))
    bars = (
        element("rect", x=0, y=y, width=100 * value / maximum, height=height, class_=f"bar {kind}")
        for value, kind, y, height in shares
        if value
    )
    return element("svg", *bars, viewBox="0 0 100 14", preserveAspectRatio="none", class_="bar-pair", role="img", aria_label=label)


def widths_chart(rows: Sequence[LayerWidth], *, width: float = 860.0) -> Markup:
    """The network's silhouette: the width of every layer, before as an outline, after filled.

    Args:
        rows: Layers in the order of the network; at least one.
        width: Width of the drawing.

    Returns:
        An SVG; grown layers carry another colour than shrunk ones.
    """
    height, left, top = 250.0, 40.0, 30.0
    room = (width - left) / len(rows)
    named = room >= _LABELLED_PIXELS
    bottom = height - (62.0 if named else 36.0)
    peak = max(max(row.after, row.before or 0) for row in rows)
    y = Scale(low=0, high=peak * 1.1, start=bottom, end=top)
    bars = (_bar(row, left + index * room, room, y, named=named) for index, row in enumerate(rows))
    if named:
        footing = Markup("").join(
            _name(name, left + (index + 0.5) * room, bottom)
            for index, name in enumerate(without_common_prefix([row.layer for row in rows]))
        )
    else:
        footing = x_axis(
            Scale(low=0.5, high=len(rows) + 0.5, start=left, end=width), top=top, bottom=bottom, title="layer, in the order of the network"
        )
    changed = sum(row.before is not None and row.before != row.after for row in rows)
    described = f"{changed} of {len(rows)} layers changed their width"
    axis = y_axis(y, left=left, right=width, title="output channels")
    return drawing("Widths before and after", described, (width, height), axis, *bars, footing, line(left, bottom, width, bottom, "base"))


def _bar(row: LayerWidth, x: float, room: float, y: Scale, *, named: bool) -> Markup:
    gap = min(6.0, room * 0.15)
    slim = max(room - 2 * gap, 0.6)
    words = f"{row.layer}: {row.before} to {row.after}" if row.before not in (None, row.after) else f"{row.layer}: {row.after}"
    grown = row.before is not None and row.after > row.before
    parts = [tip(words)]
    if row.before:
        parts.append(
            element(
                "rect",
                x=x + gap,
                y=y(row.before),
                width=slim,
                height=y.start - y(row.before),
                class_="bar before" if named else "bar before slim",
            )
        )
    inner = slim * 0.16
    kind = "grown" if grown else "after"
    parts.append(
        element("rect", x=x + gap + inner, y=y(row.after), width=slim - 2 * inner, height=y.start - y(row.after), class_=f"bar {kind}")
    )
    if named:
        peak = y(max(row.after, row.before or 0))
        parts.append(text(str(row.after), x + room / 2, peak - 5, f"value {kind}", "middle"))
    return element("g", *parts)


def _name(name: str, x: float, bottom: float) -> Markup:
    turned = f"rotate(-32 {x + 5:.0f} {bottom + 14:.0f})"
    return element("text", tip(name), shortened(name, 13), x=x + 5, y=bottom + 14, class_="tick", text_anchor="end", transform=turned)
