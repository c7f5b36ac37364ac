"""The few SVG elements that the charts are made of; every text and attribute is escaped."""

from collections.abc import Iterable

from markupsafe import Markup, escape

from edgewise.report.charts.scale import Scale, tick_text

Value = str | float | int


def element(tag: str, /, *children: Markup | str, **attributes: Value | None) -> Markup:
    """An element; ``class_`` becomes ``class``, underscores become hyphens, ``None`` is left out.

    Example:
        >>> element("text", "<b>", x=1.25, class_="tick")
        Markup('<text x="1.2" class="tick">&lt;b&gt;</text>')
    """
    shown = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None)
    head = Markup("").join(
        Markup(' {}="{}"').format(name, number(value) if isinstance(value, float | int) else value) for name, value in shown
    )
    body = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(tag, head, body) if body else Markup("<{0}{1}/>").format(tag, head)


def number(value: float) -> str:
    """A coordinate with one decimal at most.

    Example:
        >>> number(3.0), number(2.26), number(-0.01)
        ('3', '2.3', '0')
    """
    text = f"{value:.1f}"
    return text.removesuffix(".0").replace("-0", "0") if text in ("-0.0", "0.0") or text.endswith(".0") else text


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(words: str, x: float, y: float, class_: str = "label", anchor: str = "start") -> Markup:
    """A text whose anchor stands at (x, y)."""
    return element("text", words, x=x, y=y, class_=class_, text_anchor=anchor if anchor != "start" else None)


def tip(words: str) -> Markup:
    """The tooltip of the element it is put into."""
    return element("title", words)


def path(points: Iterable[tuple[float, float]], class_: str, *, close: bool = False) -> Markup:
    """A polyline through the points; an area where it is closed.

    Example:
        >>> path([(0, 0), (10, 5.5)], "after")
        Markup('<path d="M0 0L10 5.5" class="after"/>')
    """
    steps = [f"{number(x)} {number(y)}" for x, y in points]
    return element("path", d="M" + "L".join(steps) + ("Z" if close else ""), class_=class_)


def drawing(title: str, description: str, size: tuple[float, float], *children: Markup, class_: str = "chart", role: str = "img") -> Markup:
    """A whole SVG of that size, which scales with its box and says what it shows.

    Args:
        title: What the chart is, in a few words.
        description: What it shows, in a sentence, for readers who do not see it.
        size: Width and height of the drawing; one unit is about a pixel.
        children: What is drawn.
        class_: Class of the SVG.
        role: ``img``, or ``group`` where its parts can be walked through.
    """
    label = f"{title}. {description}"
    view_box = f"0 0 {number(size[0])} {number(size[1])}"
    return element("svg", *children, viewBox=view_box, width=size[0], height=size[1], class_=class_, role=role, aria_label=label)


def x_axis(scale: Scale, *, top: float, bottom: float, title: str) -> Markup:
    """Ticks below the plot and the axis's name with its unit at the right end."""
    return _marks(
        *(_x_tick(scale(tick), bottom, tick_text(tick)) for tick in scale.ticks), text(title, scale.end, bottom + 30, "axis", "end")
    )


def y_axis(scale: Scale, *, left: float, right: float, title: str) -> Markup:
    """Grid lines across the plot with their values, and the axis's name with its unit above."""
    grid = (line(left, scale(tick), right, scale(tick), "grid") for tick in scale.ticks)
    values = (text(tick_text(tick), left - 6, scale(tick) + 4, "tick", "end") for tick in scale.ticks)
    return _marks(*grid, *values, text(title, 0, min(scale.start, scale.end) - 10, "axis"))


def marker(x: float, y: float, class_: str, words: str, *, radius: float = 4.0) -> Markup:
    """A round mark with a tooltip."""
    return element("circle", tip(words), cx=x, cy=y, r=radius, class_=class_)


def _x_tick(x: float, bottom: float, words: str) -> Markup:
    return _marks(line(x, bottom, x, bottom + 4, "grid"), text(words, x, bottom + 16, "tick", "middle"))


def _marks(*parts: Markup) -> Markup:
    return Markup("").join(parts)
