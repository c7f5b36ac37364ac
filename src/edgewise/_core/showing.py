"""Figures as people read them: plain text for a terminal, HTML for a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_CELL = "padding:2px 10px 2px 0;text-align:{align};vertical-align:top;border-bottom:1px solid rgba(128,128,128,.25);"


def columns(header: Sequence[str], rows: Sequence[Sequence[object]], *, numeric: Sequence[int] = ()) -> str:
    """A table in plain text, as wide as its content.

    Args:
        header: Name of each column.
        rows: Cells of each row; none prints as a dash.
        numeric: Places of the columns to align right.

    Example:
        >>> print(columns(["layer", "ms"], [["conv1", "1.25"], ["fc", None]], numeric=[1]))
        layer    ms
        conv1  1.25
        fc        —
    """
    cells = [[*header], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if place in numeric else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells under a header.

    Attributes:
        header: Name of each column.
        rows: Cells of each row, as many as columns; none prints as a dash.
        numeric: Places of the columns to align right.
        most: Rows that text shows; the rest is counted. HTML shows all.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    numeric: tuple[int, ...] = ()
    most: int = 30

    def text(self) -> str:
        """The table as plain text.

        Example:
            >>> print(Table(header=("n",), rows=((1,), (2,), (3,)), most=2).text())
            n
            1
            2
            ... and 1 more
        """
        shown = columns(self.header, self.rows[: self.most], numeric=self.numeric)
        left = len(self.rows) - self.most
        return f"{shown}\n... and {left} more" if left > 0 else shown

    def html(self) -> str:
        """The table as HTML, in the colours and font of the page around it."""
        head = "".join(self._html_cell("th", place, name) for place, name in enumerate(self.header))
        body = "".join(
            f"<tr>{''.join(self._html_cell('td', place, _cell(cell)) for place, cell in enumerate(row))}</tr>" for row in self.rows
        )
        return f'<table style="border-collapse:collapse;margin:6px 0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def _html_cell(self, tag: str, place: int, text: str) -> str:
        style = _CELL.format(align="right" if place in self.numeric else "left")
        return f'<{tag} style="{style}">{escape(text)}</{tag}>'


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One result: a line that says what it is, tables, and lines worth knowing.

    Attributes:
        title: What it is, with the figure that matters most.
        tables: Rows of figures.
        notes: Lines behind them.
        pictures: SVG drawings of our own, which HTML alone shows.
    """

    title: str
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    def text(self) -> str:
        """The result as plain text.

        Example:
            >>> print(Card(title="2 layers", notes=("a warning",)).text())
            2 layers
            a warning
        """
        return "\n".join([self.title, *(table.text() for table in self.tables), *self.notes])

    def html(self) -> str:
        """The result as HTML that refers to nothing outside itself.

        Example:
            >>> Card(title="a < b").html()
            '<div class="edgewise"><div><strong>a &lt; b</strong></div></div>'
        """
        parts = [f"<div><strong>{escape(self.title)}</strong></div>", *self.pictures, *(table.html() for table in self.tables)]
        parts += [f"<div>{escape(note)}</div>" for note in self.notes]
        return f'<div class="edgewise">{"".join(parts)}</div>'


def counted(count: int, noun: str) -> str:
    """A number of things in words.

    Example:
        >>> counted(1, "gate"), counted(2, "gate")
        ('1 gate', '2 gates')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _cell(cell: object) -> str:
    return "—" if cell is None else str(cell)


def by_inherited_weights(value: Mapping[str, Any]) -> tuple[str, ...]:
    """What a search's result says of networks that were judged with the supernet's weights, a line each.

    Example:
        >>> by_inherited_weights({"refined": {"judged": 64, "likeliest": 0.612, "found": 0.612}, "compared": None})
        ("with the supernet's weights: 64 networks of that latency judged: the likeliest is taken, 61.2%",)
    """
    lines = [judged_best(value["refined"])] if value.get("refined") else []
    lines += [beside_chance(value["compared"])] if value.get("compared") else []
    return tuple(f"with the supernet's weights: {line}" for line in lines)


def judged_best(refined: Mapping[str, Any]) -> str:
    """How the network taken was found among others of its latency, in words.

    Args:
        refined: As ``search`` writes it.

    Example:
        >>> judged_best({"judged": 64, "likeliest": 0.612, "found": 0.634})
        '64 networks of that latency judged: the one taken 63.4%, the likeliest 61.2%'
        >>> judged_best({"judged": 64, "likeliest": 0.612, "found": 0.612})
        '64 networks of that latency judged: the likeliest is taken, 61.2%'
    """
    head = f"{counted(refined['judged'], 'network')} of that latency judged"
    if refined["found"] == refined["likeliest"]:
        return f"{head}: the likeliest is taken, {refined['found']:.1%}"
    return f"{head}: the one taken {refined['found']:.1%}, the likeliest {refined['likeliest']:.1%}"


def beside_chance(compared: Mapping[str, Any]) -> str:
    """What a search found against what chance and evolution found at its latency, in words.

    Args:
        compared: As ``search`` writes it.

    Example:
        >>> beside_chance({"networks": 8, "found": 0.612, "why_not": "no other network is that fast"})
        '61.2%; not compared: no other network is that fast'
        >>> chance = {"mean": 0.55, "deviation": 0.021, "best": 0.583}
        >>> beside_chance({"networks": 8, "found": 0.612, "random": chance, "evolved": {"score": 0.601}})
        '61.2%; 8 of that latency at random 55.0% ± 2.1% (best 58.3%), as many by evolution 60.1%'
    """
    return f"{compared['found']:.1%}; {chance_alone(compared)}"


def chance_alone(compared: Mapping[str, Any]) -> str:
    """The same without what the search itself found."""
    if "why_not" in compared:
        return f"not compared: {compared['why_not']}"
    chance = compared["random"]
    return (
        f"{compared['networks']} of that latency at random {chance['mean']:.1%} ± {chance['deviation']:.1%} "
        f"(best {chance['best']:.1%}), as many by evolution {compared['evolved']['score']:.1%}"
    )
