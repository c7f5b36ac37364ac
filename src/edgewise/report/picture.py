"""A chart as a picture of its own, for a README: light on light pages, dark on dark ones."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from markupsafe import Markup

from edgewise.report.charts import StairsMarks, lines_chart, staircase_chart, widths_chart
from edgewise.report.charts.svg import element
from edgewise.report.data import LayerWidth, Staircase

_CAPTION = 26.0


def staircase_svg(stairs: Staircase, marks: StairsMarks, *, size: tuple[float, float] = (680.0, 320.0), caption: str = "") -> str:
    """A standalone SVG of one staircase, with its own colours for light and for dark.

    Args:
        stairs: At least one width.
        marks: Widths to mark.
        size: Width and height of the picture.
        caption: A line below the plot: what was measured, where, with which runtime.

    Returns:
        The text of an SVG file that refers to nothing outside it.
    """
    room = _CAPTION if caption else 0.0
    return _standalone(staircase_chart(stairs, marks, size=(size[0], size[1] - room)), size, caption)


def widths_svg(rows: Sequence[LayerWidth], *, width: float = 680.0, caption: str = "") -> str:
    """A standalone SVG of the widths of a network before and after.

    Args:
        rows: Layers in the order of the network; at least one.
        width: Width of the picture.
        caption: A line below the plot.
    """
    return _standalone(widths_chart(rows, width=width), (width, 250.0 + (_CAPTION if caption else 0.0)), caption)


def lines_svg(
    series: Mapping[str, Sequence[tuple[float, float]]], *, axes: tuple[str, str], title: str, first: Sequence[str], caption: str = ""
) -> str:
    """A standalone SVG of several curves.

    Args:
        series: Points (x, y) of each curve, by its name; at least one of two points.
        axes: Names of the axes with their units.
        title: What is shown.
        first: Names of the curves that matter most.
        caption: A line below the plot.
    """
    size = (680.0, 340.0)
    chart = lines_chart(series, axes=axes, title=title, first=first, size=(size[0], size[1] - (_CAPTION if caption else 0.0)))
    return _standalone(chart, size, caption)


def as_image(svg: str, *, words: str) -> str:
    """A standalone SVG as an image element of a page: its style sheet stays its own.

    Args:
        svg: What the functions above return.
        words: What it shows, for readers who do not see it.

    Example:
        >>> as_image("<svg/>", words="nothing")
        '<img alt="nothing" src="data:image/svg+xml;base64,PHN2Zy8+">'
    """
    return f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def _standalone(chart: Markup, size: tuple[float, float], caption: str) -> str:
    style = (resources.files("edgewise.report") / "templates" / "picture.css").read_text(encoding="utf-8")
    words = element("text", caption, x=0, y=size[1] - 6, class_="caption") if caption else Markup("")
    picture = element(
        "svg",
        element("style", Markup(style)),
        element("rect", width=size[0] + 32, height=size[1] + 28, x=-16, y=-14, rx=10, class_="paper"),
        chart,
        words,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"-16 -14 {size[0] + 32:g} {size[1] + 28:g}",
        width=size[0] + 32,
        height=size[1] + 28,
    )
    return str(picture)
