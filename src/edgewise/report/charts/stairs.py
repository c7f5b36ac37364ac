"""The staircase: latency of a layer as it gets wider, with the widths that matter marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, element, line, marker, path, text, tip, x_axis, y_axis
from edgewise.report.data import Staircase
from edgewise.report.words import ms

_MAX_DOTS = 160
_MAX_FLAGS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class StairsMarks:
    """Widths to mark on a staircase.

    Attributes:
        original: Widths that layers of this shape came with.
        chosen: Widths that they were given.
    """

    original: tuple[int, ...] = ()
    chosen: tuple[int, ...] = ()


def step_points(widths: Sequence[int], latencies: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of the staircase through probes: a width costs what the next wider probe costs.

    Only corners are kept, so a sweep of hundreds of widths draws as few points as it has steps.

    Args:
        widths: Ascending.
        latencies: As many, not falling, in any unit.

    Example:
        >>> step_points([8, 16, 24, 32], [1.0, 1.0, 2.0, 2.0])
        [(8, 1.0), (16, 1.0), (16, 2.0), (32, 2.0)]
    """
    corners: list[tuple[float, float]] = []
    for index, (width, latency) in enumerate(zip(widths, latencies, strict=True)):
        if index == 0:
            corners.append((width, latency))
        elif latency != latencies[index - 1]:
            corners += [(widths[index - 1], latencies[index - 1]), (widths[index - 1], latency)]
    if widths:
        corners.append((widths[-1], latencies[-1]))
    return [corner for index, corner in enumerate(corners) if index == 0 or corner != corners[index - 1]]


def staircase_chart(stairs: Staircase, marks: StairsMarks, *, size: tuple[float, float] = (340.0, 214.0)) -> Markup:
    """The staircase of one distinct layer, its candidates, and its widths before and after.

    Args:
        stairs: At least one width.
        marks: Widths to mark.
        size: Width and height of the drawing.

    Returns:
        An SVG; y is in milliseconds, from 0.
    """
    right, top, bottom = size[0] - 10, 36.0, size[1] - 36
    present = [*stairs.widths, *marks.original, *marks.chosen]
    x = Scale(low=0, high=max(present) * 1.04, start=40, end=right)
    peak = max((*stairs.latency_s, *stairs.latency_raw_s)) * 1e3
    y = Scale(low=0, high=(peak or 1.0) * 1.12, start=bottom, end=top)
    corners = [(x(width), y(latency)) for width, latency in step_points(stairs.widths, [value * 1e3 for value in stairs.latency_s])]
    area = path([(corners[0][0], bottom), *corners, (corners[-1][0], bottom)], "area", close=True)
    return drawing(
        f"Staircase of {stairs.name}",
        _described(stairs, marks),
        size,
        y_axis(y, left=40, right=right, title="ms"),
        x_axis(x, top=top, bottom=bottom, title="output channels"),
        area,
        _dots(stairs, x, y),
        _shares(stairs, x, y),
        path(corners, "stairs"),
        _candidates(stairs, x, y),
        _marked(stairs, marks, x, y),
    )


def _described(stairs: Staircase, marks: StairsMarks) -> str:
    ends = f"{ms(stairs.latency_s[0])} at {stairs.widths[0]} channels to {ms(stairs.latency_s[-1])} at {stairs.widths[-1]}"
    moves = "".join(
        f", {kind} {', '.join(map(str, widths))}" for kind, widths in (("originally", marks.original), ("chosen", marks.chosen)) if widths
    )
    return f"Latency rises from {ends}, with {len(stairs.edges)} steps{moves}"


def _dots(stairs: Staircase, x: Scale, y: Scale) -> Markup:
    """All raw medians as one path of round dots: hundreds of probes cost a few bytes each."""
    values = stairs.latency_raw_s or stairs.latency_s
    stride = -(-len(values) // _MAX_DOTS)
    pairs = list(zip(stairs.widths, values, strict=True))[::stride]
    return element("path", d="".join(f"M{x(width):.1f} {y(value * 1e3):.1f}h0" for width, value in pairs), class_="dots")


def _shares(stairs: Staircase, x: Scale, y: Scale) -> Markup:
    """Utilisation and throughput of a simulated staircase, from 0 at the bottom to 1 (or their peak) at the top."""
    peak = max(stairs.throughput_macs_per_s, default=0.0) or 1.0
    curves = (("used", stairs.utilisation), ("rate", tuple(value / peak for value in stairs.throughput_macs_per_s)))
    return Markup("").join(
        path([(x(width), y.start + (y.end - y.start) * share) for width, share in zip(stairs.widths, shares, strict=True)], class_)
        for class_, shares in curves
        if shares
    )


def _candidates(stairs: Staircase, x: Scale, y: Scale) -> Markup:
    found = ((width, stairs.latency_at(width)) for width in stairs.candidates)
    return Markup("").join(
        marker(x(width), y(value * 1e3), "candidate", f"candidate: {width} channels, {ms(value)}", radius=3)
        for width, value in found
        if value is not None
    )


def _marked(stairs: Staircase, marks: StairsMarks, x: Scale, y: Scale) -> Markup:
    """Flags on the original widths (dashed, grey) and the chosen ones (solid).

    New widths are named on the upper line and old ones below it, so that near ones stay readable.
    """
    kept = set(marks.original) & set(marks.chosen)
    old = [width for width in sorted(marks.original) if width not in kept]
    rows = ((old, "before", "was", y.end - 3), (sorted(marks.chosen), "after", "kept" if kept >= set(marks.chosen) else "now", y.end - 15))
    drawn = []
    for widths, class_, word, height in rows:
        drawn += [_flag(stairs, width, f"{class_} {word}", height, x, y) for width in widths[:_MAX_FLAGS]]
        if widths:
            words = f"{word} {', '.join(map(str, widths[:4]))}{'…' if len(widths) > 4 else ''}"
            to_left = x(widths[0]) + 4 + 6.8 * len(words) > x.end + 8
            place = x(widths[-1]) - 4 if to_left and len(widths) == 1 else x.end if to_left else x(widths[0]) + 4
            drawn.append(text(words, place, height + 2, f"flag-text {class_}", "end" if to_left else "start"))
    return Markup("").join(drawn)


def _flag(stairs: Staircase, width: int, kind: str, height: float, x: Scale, y: Scale) -> Markup:
    class_, word = kind.split()
    flag = line(x(width), height - 6, x(width), y.start, f"flag {class_}")
    latency = stairs.latency_at(width)
    return flag if latency is None else flag + _pin(x(width), y(latency * 1e3), class_, f"{word} {width} channels: {ms(latency)}")


def _pin(x: float, y: float, class_: str, words: str) -> Markup:
    return element("circle", tip(words), cx=x, cy=y, r=5, class_=f"pin {class_}")
