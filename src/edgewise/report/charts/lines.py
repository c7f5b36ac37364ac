"""Several curves over one axis, each with its name at its end."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, marker, path, text, x_axis, y_axis

_LEFT, _RIGHT, _LINE = 46.0, 92.0, 13.0


def lines_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    axes: tuple[str, str],
    title: str,
    first: Sequence[str],
    size: tuple[float, float],
) -> Markup:
    """Curves through points, those of ``first`` in the leading colour.

    Args:
        series: Points (x, y) of each curve, by its name; at least one of two points.
        axes: Names of the axes with their units.
        title: What is shown.
        first: Names of the curves that matter most.
        size: Width and height of the drawing.
    """
    width, height = size
    points = [point for line in series.values() for point in line]
    low, high = min(y for _, y in points), max(y for _, y in points)
    margin = 0.05 * (high - low) or 1.0
    x = Scale(low=min(x for x, _ in points), high=max(x for x, _ in points), start=_LEFT, end=width - _RIGHT)
    y = Scale(low=low - margin, high=high + margin, start=height - 44, end=26.0)
    parts = []
    for name, line in series.items():
        leads = name in first
        parts.append(path([(x(a), y(b)) for a, b in line], "stairs" if leads else "other"))
        parts += [marker(x(a), y(b), f"pin {'after' if leads else 'before'}", f"{name}: {b:.1f} at {a:g}", radius=3.0) for a, b in line]
    ends = {name: y(line[-1][1]) for name, line in series.items()}
    labels = [text(name, x.end + 8, place + 4, "tick", "start") for name, place in apart(ends, lowest=y.start).items()]
    return drawing(
        title,
        f"{len(series)} curves",
        size,
        y_axis(y, left=_LEFT, right=x.end, title=axes[1]),
        x_axis(x, top=26.0, bottom=height - 44, title=axes[0]),
        *parts,
        *labels,
    )


def apart(places: Mapping[str, float], *, lowest: float) -> dict[str, float]:
    """Heights of labels moved up as far as needed for none to lie on another.

    Example:
        >>> apart({"a": 50.0, "b": 52.0}, lowest=60.0)
        {'b': 52.0, 'a': 39.0}
    """
    found: dict[str, float] = {}
    limit = lowest + _LINE
    for name, place in sorted(places.items(), key=lambda each: -each[1]):
        limit = min(place, limit - _LINE)
        found[name] = limit
    return found
