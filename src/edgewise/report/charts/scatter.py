"""Two scatters: prediction against measurement, and accuracy against latency."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, line, marker, path, text, x_axis, y_axis
from edgewise.report.data import DISAGREEMENT_RATIO, NetworkCheck
from edgewise.report.words import ms, percent, shortened

_LEFT, _TOP = 46.0, 30.0
_MAX_NAMED = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A network on the plane of latency and something to have more of.

    Attributes:
        name: What the point is.
        latency_s: Across; less is better.
        value: Up; more is better. A share.
        baseline: Drawn as where one came from.
    """

    name: str
    latency_s: float
    value: float
    baseline: bool = False


def prediction_scatter(checks: Sequence[NetworkCheck], *, size: tuple[float, float] = (420.0, 340.0)) -> Markup:
    """Predicted against measured latency, with the diagonal and the band of ±10 %.

    Args:
        checks: Pairs; those with an unknown or zero side are left out, at least one must remain.
        size: Width and height of the drawing.

    Returns:
        An SVG with logarithmic axes in milliseconds.
    """
    pairs = [(check, check.measured_s * 1e3, check.predicted_s * 1e3) for check in checks if check.measured_s and check.predicted_s]
    values = [value for _, measured, predicted in pairs for value in (measured, predicted)]
    low, high = min(values) / 1.35, max(values) * 1.35
    right, bottom = size[0] - 12, size[1] - 40
    x = Scale(low=low, high=high, start=_LEFT, end=right, logarithmic=True)
    y = Scale(low=low, high=high, start=bottom, end=_TOP, logarithmic=True)
    marks = (_check_mark(check, x(measured), y(predicted), right, named=len(pairs) <= _MAX_NAMED) for check, measured, predicted in pairs)
    far = sum(check.disagrees for check in checks)
    return drawing(
        "Predicted against measured latency",
        f"{len(pairs)} pairs, {far} of them over 10 % apart",
        size,
        _band(x, y),
        y_axis(y, left=_LEFT, right=right, title="predicted, ms"),
        x_axis(x, top=_TOP, bottom=bottom, title="measured, ms"),
        line(x(low), y(low), x(high), y(high), "diagonal"),
        text("±10 %", x(high) - 6, y(high) + 26, "tick", "end"),
        *marks,
    )


def _band(x: Scale, y: Scale) -> Markup:
    """The band between 0.9 and 1.1 times the diagonal, cut at the plot's edge."""
    more, less = 1 + DISAGREEMENT_RATIO, 1 - DISAGREEMENT_RATIO
    corners = [
        (x.low, y.low), (x.low, y.low * more), (x.high / more, y.high), (x.high, y.high), (x.high, y.high * less), (x.low / less, y.low),
    ]  # fmt: skip
    return path([(x(across), y(up)) for across, up in corners], "band", close=True)


def _check_mark(check: NetworkCheck, x: float, y: float, right: float, *, named: bool) -> Markup:
    words = f"{check.name}: predicted {ms(check.predicted_s)}, measured {ms(check.measured_s)}, {percent(check.error, digits=1, sign=True)}"
    kind = {"before": "pin before", "after": "pin after"}.get(check.name, "pin part")
    dot = marker(x, y, kind + (" far" if check.disagrees else ""), words, radius=5 if named else 3.5)
    return dot + _beside(shortened(check.name, 18), x, y, right) if named else dot


def _beside(words: str, x: float, y: float, right: float) -> Markup:
    to_left = x + 10 + 6.5 * len(words) > right
    return text(words, x - 9 if to_left else x + 9, y + 4, "point-name", "end" if to_left else "start")


def pareto_front(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other beats in both, by ascending latency.

    Example:
        >>> a, b, c = (Point(name=n, latency_s=l, value=v) for n, l, v in [("a", 1, 0.8), ("b", 2, 0.9), ("c", 3, 0.85)])
        >>> [point.name for point in pareto_front([c, b, a])]
        ['a', 'b']
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.latency_s, -point.value)):
        if not front or point.value > front[-1].value:
            front.append(point)
    return tuple(front)


def pareto_scatter(points: Sequence[Point], *, y_title: str = "accuracy, %", size: tuple[float, float] = (640.0, 380.0)) -> Markup:
    """Accuracy against latency of several networks, with the front that none of them beats.

    Args:
        points: At least one.
        y_title: What goes up, with its unit; values are shares, drawn in per cent.
        size: Width and height of the drawing.
    """
    right, bottom = size[0] - 14, size[1] - 40
    times = [point.latency_s * 1e3 for point in points]
    values = [point.value * 100 for point in points]
    margin = max((max(values) - min(values)) * 0.18, 0.5)
    x = Scale(low=0, high=max(times) * 1.12 or 1.0, start=_LEFT, end=right)
    y = Scale(low=min(values) - margin, high=max(values) + margin, start=bottom, end=_TOP)
    front = pareto_front(points)
    corners = [corner for index, point in enumerate(front) for corner in _corner(front, index, point)]
    marks = (_network_mark(point, x(point.latency_s * 1e3), y(point.value * 100), right, on_front=point in front) for point in points)
    return drawing(
        "Accuracy against latency",
        f"{len(points)} networks; on the front: {', '.join(point.name for point in front)}",
        size,
        y_axis(y, left=_LEFT, right=right, title=y_title),
        x_axis(x, top=_TOP, bottom=bottom, title="latency, ms"),
        path([(x(across), y(up)) for across, up in corners], "front"),
        *marks,
    )


def _corner(front: Sequence[Point], index: int, point: Point) -> list[tuple[float, float]]:
    here = (point.latency_s * 1e3, point.value * 100)
    return [here] if index == 0 else [(here[0], front[index - 1].value * 100), here]


def _network_mark(point: Point, x: float, y: float, right: float, *, on_front: bool) -> Markup:
    kind = "pin before" if point.baseline else "pin after" if on_front else "pin part"
    words = f"{point.name}: {ms(point.latency_s)}, {percent(point.value)}"
    # The front leaves a point to the right and reaches it from below: names keep off both.
    drop = -10 if point.baseline else 14 if on_front else 0
    return marker(x, y, kind, words, radius=5.5) + _beside(shortened(point.name, 26), x, y + drop, right)
