"""What the terminal shows of a result: tables with ratios, and a staircase in a line of text.

Pure functions that return rich renderables; names from files never become markup, and
control characters in them never reach the terminal.
"""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgewise._core.showing import counted
from edgewise.report import decision
from edgewise.report.data import BenchRow, Profile, RunReport, Staircase
from edgewise.report.words import count, duration, ms, percent, printable, ratio, shortened

_LEVELS = " ▁▂▃▄▅▆▇█"
MAX_ROWS = 40
"""Tables stop after so many layers and say how many follow."""


def sparkline(stairs: Staircase, *, cells: int = 24) -> str:
    """The staircase as a line of block characters with eight levels.

    Args:
        stairs: The staircase; empty ones give blanks.
        cells: Number of characters, positive.

    Returns:
        ``cells`` characters: the envelope from 0 to its last value, over its widths.

    Example:
        >>> sparkline(Staircase(name="conv", widths=(8, 16, 24, 32), latency_s=(1.0, 1.0, 2.0, 2.0)), cells=6)
        '▄▄████'
    """
    if not stairs.widths or not stairs.latency_s[-1]:
        return _LEVELS[0] * cells
    first, last, peak = stairs.widths[0], stairs.widths[-1], stairs.latency_s[-1]
    at_cells = (math.ceil(first + (last - first) * (cell + 0.5) / cells) for cell in range(cells))
    return "".join(_LEVELS[math.ceil((stairs.latency_at(width) or peak) / peak * 8 - 1e-9)] for width in at_cells)


def fit_summary(report: RunReport) -> RenderableType:
    """What ``fit`` prints: the decision, the figures before and after, the widths, the warnings."""
    parts: list[RenderableType] = []
    head = decision.headline(report)
    if head is not None:
        style = {True: "bold green", False: "bold red", None: "bold"}[head.met]
        first = Text.assemble((head.figure, "bold cyan"), f" {head.claim}: ", _clean(head.sentence), f", {head.kind}")
        parts.append(first if not head.verdict else first + Text.assemble(", ", (_clean(head.verdict), style)))
    if decision.tiles(report):
        parts.append(_figures(report))
    if report.layer_widths:
        parts.append(_widths(report))
    if report.left_out:
        blocks = ", ".join(printable(name) for name in report.left_out)
        parts.append(Text(f"left out: {counted(len(report.left_out), 'residual block')} ({blocks})"))
    if report.left_alone:
        parts.append(Text(f"left alone: {len(report.left_alone)} (the report says why)", style="dim"))
    parts += [warning_line(note) for note in decision.notes(report)]
    return Group(*(Padding(part, (0, 0, 1, 0)) if isinstance(part, Table) else part for part in parts))


def profile_summary(profile: Profile) -> RenderableType:
    """What ``profile`` prints: a staircase a layer with its candidates, and the network's prediction beside its measurement."""
    table = column_table(
        ("layer", "left"), ("reads", "right"), ("widths", "right"), ("staircase", "left"), ("latency, ms", "right"), ("candidates", "left")
    )
    for stairs in profile.layers[:MAX_ROWS]:
        if stairs.widths:
            table.add_row(*_stairs_row(stairs))
    parts: list[RenderableType] = [table]
    if len(profile.layers) > MAX_ROWS:
        parts.append(Text(f"and {len(profile.layers) - MAX_ROWS} more layers", style="dim"))
    network = profile.network
    if network is not None and network.simulated_s is not None:
        parts.append(Text(f"network: {ms(network.simulated_s)} simulated on {_clean(profile.device)}", style="bold"))
    elif network is not None:
        apart = "" if network.error is None else f" ({percent(network.error, digits=1, sign=True)})"
        parts.append(Text(f"network: predicted {ms(network.predicted_s)}, measured {ms(network.measured_s)}{apart}", style="bold"))
        if network.disagrees:
            parts.append(warning_line("prediction and measurement differ by over 10 %"))
    if profile.probes:
        known = f", {profile.probes_cached} of them known already" if profile.probes_cached else ""
        parts.append(Text(f"{profile.probes} probes{known}, {duration(profile.seconds)}", style="dim"))
    return Group(*parts)


def bench_table(rows: Sequence[BenchRow]) -> RenderableType:
    """What ``bench`` prints; ratios compare with the first row of the same device."""
    table = column_table(
        ("model", "left"), ("device", "left"), ("median", "right"), ("quartiles", "right"), ("fastest", "right"), ("ratio", "right"),
        ("MACs", "right"), ("params", "right"), ("", "left"),
    )  # fmt: skip
    for row in rows:
        quartiles = "–" if row.q1_s is None or row.q3_s is None else f"{ms(row.q1_s, unit=False)}–{ms(row.q3_s)}"
        figures = (ms(row.latency_s), quartiles, ms(row.min_s), ratio(row.ratio, 1.0), count(row.macs), count(row.params))
        noisy = Text("noisy" if row.noisy else "", style="yellow")
        table.add_row(_name(row.model), _name(row.device), *(Text(figure) for figure in figures), noisy)
    return table


def _figures(report: RunReport) -> Table:
    table = column_table(("", "left"), ("before", "right"), ("after", "right"), ("", "right"), ("", "left"))
    for tile in decision.tiles(report):
        if tile.before == tile.after == "–":
            continue
        table.add_row(tile.name, tile.before, Text(tile.after, style="bold"), tile.change, Text(_clean(tile.kind), style="dim"))
        for row in tile.rows:
            table.add_row(Text(f"  {row.label}", style="dim"), row.before, row.after, row.change, Text(row.kind, style="dim"))
    return table


def _widths(report: RunReport) -> Table:
    """Layers whose width changed, in columns of layer, before, after."""
    changed = [row for row in report.layer_widths if row.before is not None and row.before != row.after]
    table = column_table(
        (f"widths changed: {len(changed)} of {len(report.layer_widths)}", "left"), ("before", "right"), ("after", "right"), ("", "right")
    )
    for row in changed[:MAX_ROWS]:
        after = Text(str(row.after or "left out"), style="bold")
        table.add_row(_name(row.layer), str(row.before), after, ratio(row.after or None, row.before))
    if len(changed) > MAX_ROWS:
        table.add_row(Text(f"and {len(changed) - MAX_ROWS} more", style="dim"))
    return table


def _stairs_row(stairs: Staircase) -> tuple[RenderableType, ...]:
    span = f"{ms(stairs.latency_s[0], unit=False)}–{ms(stairs.latency_s[-1], unit=False)}"
    reads = "–" if stairs.in_width is None else str(stairs.in_width)
    candidates = ", ".join(map(str, stairs.candidates))
    line = Text(sparkline(stairs), style="cyan")
    return _name(stairs.name), Text(reads), Text(f"{stairs.widths[0]}–{stairs.widths[-1]}"), line, Text(span), Text(candidates)


def column_table(*columns: tuple[str, str]) -> Table:
    """A table without lines, as all commands print it.

    Args:
        *columns: Name and side (``left`` or ``right``) of each column.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name, side in columns:
        table.add_column(Text(name), justify="right" if side == "right" else "left", no_wrap=name not in ("candidates", "layer", "model"))
    return table


def _name(text: str) -> Text:
    return Text(shortened(text, 40))


def _clean(text: str) -> str:
    return printable(text)


def warning_line(text: str) -> Text:
    """A warning, its text stripped of what a terminal would obey."""
    return Text.assemble(("warning: ", "yellow"), _clean(text))
