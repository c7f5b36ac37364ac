"""What the terminal shows of a study: the point to take, the front, what each method brought, what to type next."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgewise.report import explore_words
from edgewise.report.charts.front import METHODS
from edgewise.report.explore import default_point
from edgewise.report.explore_data import Study, Trial, study_from_json
from edgewise.report.terminal import MAX_ROWS, column_table, warning_line
from edgewise.report.words import count, ms, percent, printable, ratio, shortened

_NEXT = 2


def explore_summary(value: Mapping[str, Any]) -> RenderableType:
    """What ``explore`` prints at the end.

    Args:
        value: The content of the study's ``result.json``.

    Returns:
        What rich prints; names from files never become markup or commands to the terminal.

    Raises:
        RunError: The value is damaged; the message names the part.
    """
    study = study_from_json(value)
    first = default_point(study)
    parts: list[RenderableType] = [Text(_sentence(explore_words.counted(study)))]
    if study.front:
        parts.append(_front(study, first))
    if study.contributions:
        parts.append(_brought(study))
    times = ", ".join(f"{part.name} {part.figure} ({percent(part.share, digits=0)})" for part in explore_words.time_parts(study))
    if times:
        parts.append(Text(f"time: {times}", style="dim"))
    parts += [warning_line(note) for note in study.warnings]
    parts += _decision(study, first)
    return Group(*(Padding(part, (0, 0, 1, 0)) if isinstance(part, Table) else part for part in parts))


def _decision(study: Study, first: Trial | None) -> list[RenderableType]:
    """The point to take and why, and what to type next; last, where the eye is when a command ends."""
    if first is None:
        return [Text("no point to recommend: none was trained to the end and measured", style="bold red")]
    figure, claim = explore_words.figure(study, first)
    cost = explore_words.cost(study, first)
    head = Text.assemble((figure, "bold cyan"), f" {claim}: point {first.number}, {printable(first.method)}", f", {cost}" if cost else "")
    why = study.recommended.why if study.recommended is not None else ""
    reason = [Text(_sentence(why) + ".", style="dim")] if why else []
    lines = (Text.assemble((f"{command.purpose}: ", "dim"), command.text) for command in explore_words.commands(study, first)[:_NEXT])
    return [head + Text(f", {first.shown_kind}"), *reason, *lines]


def _front(study: Study, first: Trial | None) -> Table:
    energy = any(trial.energy_j is not None for trial in study.on_front)
    table = column_table(
        ("point", "right"), ("method", "left"), ("ratio", "right"), ("latency", "right"), ("kind", "left"), ("validation", "right"),
        ("test", "right"), ("MACs", "right"), ("params", "right"), *([("energy", "right")] if energy else []), ("", "left"),
    )  # fmt: skip
    for trial in study.on_front[:MAX_ROWS]:
        figures = [
            ms(explore_words.latency_s(trial)),
            trial.shown_kind,
            percent(trial.accuracy_validation),
            percent(trial.accuracy),
            count(trial.macs_executed if trial.macs_executed is not None else trial.macs),
            count(trial.params),
            *([explore_words.joules(trial.energy_j)] if energy else []),
        ]
        note = Text("recommended", style="bold green") if study.recommended is not None and trial is first else Text("")
        share = Text(ratio(trial.ratio, 1.0), style="bold")
        table.add_row(str(trial.number), Text(shortened(trial.method, 24)), share, *(Text(figure) for figure in figures), note)
    if len(study.front) > MAX_ROWS:
        table.add_row("", Text(f"and {len(study.front) - MAX_ROWS} more", style="dim"))
    return table


def _brought(study: Study) -> Table:
    table = column_table(("brought by", "left"), ("tried", "right"), ("complete", "right"), ("on the front", "right"), ("", "left"))
    order = {method: place for place, method in enumerate(METHODS)}
    for method, one in sorted(study.contributions.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0])):
        counts = (str(one.tried), str(one.complete), str(one.on_front))
        table.add_row(Text(shortened(method, 24)), *counts, Text(explore_words.brought(study, one), style="dim"))
    return table


def _sentence(text: str) -> str:
    return printable(text[:1].upper() + text[1:])
