"""The Pareto front: every point tried on the plane of latency and accuracy, and the line that none of them beats."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgewise.report.charts.scale import Scale, nice_ticks, tick_text
from edgewise.report.charts.svg import drawing, element, line, path, text, tip, x_axis, y_axis

METHODS = {
    "given": ("G", "given"),
    "widths": ("W", "widths"),
    "dynamic": ("D", "dynamic"),
    "widths+dynamic": ("WD", "both"),
    "searched": ("S", "searched"),
    "searched+dynamic": ("SD", "searched-both"),
}
"""Letters and style class of each method; colour alone never tells them apart."""
KINDS = ("measured", "simulated", "predicted", "quoted")
"""How a latency came about: circle and square are filled, diamond and triangle hollow."""

_LEFT, _TOP, _FOOT = 46.0, 34.0, 56.0
_STRIP = 22.0
_WIDE = 600.0
"""Narrower drawings, for phones, have smaller marks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One point as it is drawn.

    Attributes:
        key: By which the page finds it.
        latency_ms: Across.
        accuracy: Up; a share.
        method: Gives colour and letters.
        kind: Gives shape and fill.
        front: No other point beats it.
        stopped: Not trained to the end; drawn faint.
        words: The tooltip.
    """

    key: str
    latency_ms: float
    accuracy: float
    method: str = ""
    kind: str = "measured"
    front: bool = False
    stopped: bool = False
    words: str = ""


def method_style(method: str) -> tuple[str, str]:
    """Letters and class of a method; of one that is not known a question mark.

    Example:
        >>> method_style("widths"), method_style("alchemy")
        (('W', 'widths'), ('?', 'other'))
    """
    return METHODS.get(method, ("?", "other"))


def front_chart(
    marks: Sequence[Mark],
    given: Mark | None,
    *,
    chosen: str = "",
    size: tuple[float, float] = (860.0, 460.0),
    still: bool = False,
) -> Markup:
    """Accuracy on the validation part against latency, every point a mark of its own.

    Points far below the front would squeeze it: they stand in a strip at the bottom, in no order of accuracy.

    Args:
        marks: The points; at least one, or ``given``.
        given: The network as given.
        chosen: Key of the point that is marked as chosen.
        size: Width and height of the drawing.
        still: No script will answer to its marks.

    Returns:
        An SVG whose marks carry ``data-key`` and, unless it is still, can be reached by keyboard.
    """
    every = [*marks, *([given] if given else [])]
    floor = _floor([mark for mark in every if mark.front or mark is given] or every, every)
    below = [mark for mark in marks if mark.accuracy < floor]
    right, bottom = size[0] - 12, size[1] - _FOOT - (_STRIP if below else 0.0)
    x, y = _across(every, right), _up(every, floor, bottom)
    # What matters most is drawn last, over the rest; the tabulator key walks the front by latency.
    order = sorted(marks, key=lambda mark: (not mark.stopped, mark.front, mark.latency_ms))
    radius = 8.2 if size[0] >= _WIDE else 6.8
    heights = (bottom + _STRIP / 2 if mark in below else y(mark.accuracy * 100) for mark in order)
    drawn = [
        _mark(mark, (x(mark.latency_ms), height), radius, chosen=mark.key == chosen, still=still)
        for mark, height in zip(order, heights, strict=True)
    ]
    front = sorted((mark for mark in marks if mark.front), key=lambda mark: mark.latency_ms)
    return drawing(
        "Accuracy against latency",
        f"{len(marks)} points, {len(front)} of them on the front; the table below holds the same points",
        size,
        y_axis(y, left=_LEFT, right=right, title="validation accuracy, %"),
        x_axis(x, top=_TOP, bottom=size[1] - _FOOT, title=""),
        _shares(x, given, size[1] - _FOOT),
        text("latency, ms" + (" and share of the given network's" if given else ""), right, size[1] - _FOOT + 48, "axis", "end"),
        *([_strip(right, bottom, floor)] if below else []),
        *([_given(given, x, y, right)] if given else []),
        path(_stairs(front, x, y, right), "front") if front else Markup(""),
        _target(x, size[1] - _FOOT),
        *drawn,
        class_="chart front-chart",
        role="img" if still else "group",
    )


def shape(kind: str, radius: float) -> str:
    """The outline of a mark around the origin, as the data of a path.

    Example:
        >>> shape("predicted", 4)
        'M0 -5L5 0L0 5L-5 0Z'
    """
    r = round(radius, 2)
    if kind == "measured":
        return f"M{-r:g} 0A{r:g} {r:g} 0 1 1 {r:g} 0A{r:g} {r:g} 0 1 1 {-r:g} 0Z"
    if kind == "simulated":
        s = round(r * 0.9, 2)
        return f"M{-s:g} {-s:g}H{s:g}V{s:g}H{-s:g}Z"
    if kind == "predicted":
        s = round(r * 1.25, 2)
        return f"M0 {-s:g}L{s:g} 0L0 {s:g}L{-s:g} 0Z"
    s = round(r * 1.3, 2)
    return f"M0 {-s:g}L{s:g} {round(s * 0.75, 2):g}H{-s:g}Z"


def _floor(core: Sequence[Mark], every: Sequence[Mark]) -> float:
    """The accuracy below which points go into the strip: as far below the front as the front is high, at least 2 points."""
    values = [mark.accuracy for mark in core]
    lowest = min(values) - max(max(values) - min(values), 0.02)
    return max(lowest, min(mark.accuracy for mark in every))


def _across(every: Sequence[Mark], right: float) -> Scale:
    times = [mark.latency_ms for mark in every]
    margin = max((max(times) - min(times)) * 0.06, max(times) * 0.02, 1e-9)
    return Scale(low=max(min(times) - margin, 0.0), high=max(times) + margin, start=_LEFT + 8, end=right)


def _up(every: Sequence[Mark], floor: float, bottom: float) -> Scale:
    values = [mark.accuracy * 100 for mark in every if mark.accuracy >= floor]
    margin = max((max(values) - min(values)) * 0.08, 0.1)
    return Scale(low=min(values) - margin, high=max(values) + margin, start=bottom, end=_TOP)


def _mark(mark: Mark, place: tuple[float, float], radius: float, *, chosen: bool, still: bool) -> Markup:
    """A shape by kind, a colour and letters by method; smaller off the front, small and faint where it was stopped."""
    letters, class_ = method_style(mark.method)
    kind = mark.kind if mark.kind in KINDS else "quoted"
    states = f"mark m-{class_} k-{kind}{' on-front' if mark.front else ''}{' stopped' if mark.stopped else ''}{' chosen' if chosen else ''}"
    own = radius * (0.52 if mark.stopped else 1.0 if mark.front else 0.84)
    outline = element("path", d=shape(kind, own), class_="shape")
    ring = element("circle", r=radius + 4.5, class_="ring")
    named = Markup("") if mark.stopped else _letters(letters, own, lower=kind == "quoted")
    # The front can be walked through by the tabulator key, all points by the arrow keys.
    reach: dict[str, str] = {} if still else {"tabindex": "0" if mark.front else "-1", "role": "button", "data_key": mark.key}
    return element(
        "g",
        tip(mark.words),
        ring,
        outline,
        named,
        transform=f"translate({place[0]:.1f} {place[1]:.1f})",
        class_=states,
        aria_label=mark.words.replace("\n", ", "),
        **reach,
    )


def _letters(letters: str, radius: float, *, lower: bool) -> Markup:
    """The letters within a mark: two are set smaller than one; in a triangle they stand lower."""
    size = radius * (1.18 if len(letters) == 1 else 0.96)
    return element(
        "text", letters, x=0, y=size * 0.36 + (radius * 0.2 if lower else 0), font_size=size, class_="letters", text_anchor="middle"
    )


def _stairs(front: Sequence[Mark], x: Scale, y: Scale, right: float) -> list[tuple[float, float]]:
    """The staircase: an accuracy is had from its point on, until the next better one."""
    corners: list[tuple[float, float]] = []
    for mark in front:
        here = (x(mark.latency_ms), y(mark.accuracy * 100))
        corners += [(here[0], corners[-1][1]), here] if corners else [here]
    return [*corners, (right, corners[-1][1])]


def _given(given: Mark, x: Scale, y: Scale, right: float) -> Markup:
    """The given network: a cross of thin lines through the plot, and its name."""
    across, up = x(given.latency_ms), y(given.accuracy * 100)
    to_left = across > right - 90
    cross = element("path", d="M-7 -7L7 7M-7 7L7 -7", class_="cross", transform=f"translate({across:.1f} {up:.1f})")
    return element(
        "g",
        tip(given.words),
        line(across, y.start, across, y.end, "given-line"),
        line(x.start, up, right, up, "given-line"),
        cross,
        text("as given", across - 12 if to_left else across + 12, up - 8, "point-name", "end" if to_left else "start"),
        class_="given-mark",
    )


def _shares(x: Scale, given: Mark | None, bottom: float) -> Markup:
    """Below the times, the same as shares of the given network's."""
    if given is None or not given.latency_ms:
        return Markup("")
    ticks = nice_ticks(x.low / given.latency_ms, x.high / given.latency_ms, at_most=8)
    marks = (text(f"{tick_text(tick)}x", x(tick * given.latency_ms), bottom + 31, "shares", "middle") for tick in ticks)
    return Markup("").join(marks)


def _target(x: Scale, bottom: float) -> Markup:
    """The line of a target, hidden until the page's script moves it; the scale goes with it."""
    scale = {"data_low": f"{x.low:.6g}", "data_high": f"{x.high:.6g}", "data_start": f"{x.start:.6g}", "data_end": f"{x.end:.6g}"}
    name = text("target", 0, _TOP - 8, "limit-name", "middle")
    return element("g", line(0, _TOP - 4, 0, bottom, "limit"), name, class_="target", **scale)


def _strip(right: float, bottom: float, floor: float) -> Markup:
    return element(
        "g",
        element("rect", x=_LEFT + 8, y=bottom, width=right - _LEFT - 8, height=_STRIP, class_="strip"),
        text(f"< {floor * 100:.0f}", _LEFT - 6, bottom + _STRIP / 2 + 4, "tick", "end"),
    )
