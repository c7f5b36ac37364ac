"""The report of a search: what was found, how the decisions fell, and what was measured for what was expected."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from edgewise._core.showing import chance_alone, judged_best
from edgewise.report import render, words
from edgewise.report.charts import Point, pareto_scatter, prediction_scatter
from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, element, line, path, text, tip, x_axis, y_axis
from edgewise.report.data import NetworkCheck
from edgewise.report.reading import flatten

_LEFT, _ROW = 74.0, 15.0
_MOST_COLUMNS = 120


def render_search(value: Mapping[str, Any]) -> str:
    """The page for what ``search`` wrote.

    Args:
        value: The JSON values of the command.

    Returns:
        A whole HTML page that asks nothing of the network.
    """
    history, front = value["history"], value["front"]
    checks = [
        NetworkCheck(name="after" if place == 0 else f"front {place}", predicted_s=row["predicted_s"], measured_s=row["measured_s"])
        for place, row in enumerate(front)
        if row["measured_s"]
    ]
    points = [
        Point(name=_target_name(row, place), latency_s=row["measured_s"] or row["predicted_s"], value=row["accuracy_inherited"])
        for place, row in enumerate(front)
    ]
    return render.page(
        "search.html",
        title=f"{value['model']} on {value['device']}",
        value=value,
        rows=_rows(value),
        drawn=architecture_chart(value["architecture"], value["space"]),
        decisions=decisions_chart(history) if len(history) > 1 else None,
        runtime=runtime_chart(history, target_s=value["target_s"]) if len(history) > 1 else None,
        checks=prediction_scatter(checks) if checks else None,
        pareto=pareto_scatter(points, y_title="validation accuracy with the supernet's weights, %") if len(points) > 1 else None,
        provenance=flatten(value.get("provenance")),
    )


def architecture_chart(architecture: Sequence[Mapping[str, Any]], space: Mapping[str, Any]) -> Markup:
    """The network drawn: a bar for each block, as wide as its kernel and as high as its expansion; dashed where skipped.

    Args:
        architecture: ``block, kernel, expansion, se, skip`` of each block.
        space: The space as JSON values, for stages and widths.
    """
    places = [(number, stage) for number, stage in enumerate(space["stages"]) for _ in range(stage["depth"])]
    most = max(block["expansion"] for block in architecture)
    width, height, base = max(420.0, 16 + 44.0 * len(architecture)), 190.0, 140.0
    parts: list[Markup] = [line(8, base, width - 8, base, "base")]
    for place, (block, (number, stage)) in enumerate(zip(architecture, places, strict=True)):
        x = 30 + 44.0 * place
        label = _label(block)
        tall = 90.0 * block["expansion"] / most
        wide = 5.0 * block["kernel"]
        kind = "bar before" if block["skip"] else "bar after"
        words_ = f"block {block['block']}, stage {number}, {stage['width']} channels: {label}"
        parts.append(element("rect", tip(words_), x=x - wide / 2, y=base - tall, width=wide, height=tall, class_=kind))
        parts.append(text("skip" if block["skip"] else f"{block['kernel']}·{block['expansion']}", x, base - tall - 6, "tick", "middle"))
        parts.append(text(str(block["block"]), x, base + 16, "tick", "middle"))
        if block["se"] and not block["skip"]:
            parts.append(text("SE", x, base - 6, "tick", "middle"))
        if place == 0 or places[place - 1][0] != number:
            parts.append(text(f"{stage['width']}", x, base + 34, "label", "middle"))
    kept = sum(not block["skip"] for block in architecture)
    return drawing(
        "The network found", f"{kept} of {len(architecture)} blocks kept; kernel and expansion over each", (width, height), *parts
    )


def decisions_chart(history: Sequence[Mapping[str, Any]]) -> Markup:
    """Decisions over time: a row for each block, the darker the larger the operation; empty where skipped.

    Args:
        history: Records with ``epoch`` and ``decided``; at least two.
    """
    step = max(1, len(history) // _MOST_COLUMNS)
    records = [*history[::step]]
    n_blocks = len(records[0]["decided"])
    width, height = 760.0, 60 + _ROW * n_blocks
    across = (width - _LEFT - 12) / len(records)
    sizes = {label: _size(label) for record in records for label in record["decided"]}
    most = max(max(sizes.values()), 1.0)
    parts = []
    for row in range(n_blocks):
        y = 28 + _ROW * row
        parts.append(text(f"block {row}", _LEFT - 6, y + 11, "tick", "end"))
        for start, end, label in _runs([record["decided"][row] for record in records]):
            shade = sizes[label] / most
            words_ = f"block {row}, epochs {records[start]['epoch']:.2f} to {records[end - 1]['epoch']:.2f}: {label}"
            box = {"x": _LEFT + across * start, "y": y, "width": across * (end - start), "height": _ROW - 2}
            parts.append(
                element("rect", tip(words_), **box, class_="bar after", style=f"fill-opacity:{0.12 + 0.88 * shade if shade else 0:.2f}")
            )
    x = Scale(low=records[0]["epoch"], high=records[-1]["epoch"], start=_LEFT, end=width - 12)
    axis = x_axis(x, top=28, bottom=28 + _ROW * n_blocks, title="search epoch")
    return drawing(
        "Decisions over time",
        f"{n_blocks} blocks, {len(history)} records; darker is larger, empty is skipped",
        (width, height),
        *parts,
        axis,
    )


def runtime_chart(history: Sequence[Mapping[str, Any]], *, target_s: float, size: tuple[float, float] = (760.0, 260.0)) -> Markup:
    """Expected runtime over the search, and the target as a line.

    Args:
        history: Records with ``epoch`` and ``runtime_s``; at least two.
        target_s: The target in seconds.
        size: Width and height of the drawing.
    """
    right, bottom = size[0] - 12, size[1] - 40
    values = [(record["epoch"], record["runtime_s"] * 1e3) for record in history]
    goal = target_s * 1e3
    high = max(goal, *(value for _, value in values)) * 1.08
    low = min(goal, *(value for _, value in values)) * 0.92
    x = Scale(low=values[0][0], high=values[-1][0], start=_LEFT, end=right)
    y = Scale(low=low, high=high, start=bottom, end=30.0)
    return drawing(
        "Expected runtime",
        f"from {values[0][1]:.3g} to {values[-1][1]:.3g} ms, the target is {goal:.3g} ms",
        size,
        y_axis(y, left=_LEFT, right=right, title="expected runtime, ms (predicted)"),
        x_axis(x, top=30, bottom=bottom, title="search epoch"),
        line(x.start, y(goal), x.end, y(goal), "goal"),
        text(f"target {words.ms(target_s)}", right, y(goal) - 5, "label", "end"),
        path([(x(epoch), y(value)) for epoch, value in values], "curve after"),
    )


def _rows(value: Mapping[str, Any]) -> list[dict[str, str]]:
    accuracy = value.get("accuracy")
    found = [
        ("target", words.ms(value["target_s"]), f"{value['target']} of {value['reference']}"),
        ("latency predicted", words.ms(value["predicted_s"]), "sum of its parts"),
        ("latency measured", words.ms(value["measured_s"]), f"minimum, {words.percent(value['miss'], digits=1, sign=True)} off the target"),
        ("test accuracy", words.percent(accuracy), f"{words.percent(value['accuracy_inherited'])} validation before training"),
        *_judged(value.get("refined")),
        *_chance(value.get("compared")),
        ("MACs", words.count(value["macs"]), "counted"),
        ("parameters", words.count(value["params"]), "counted"),
        ("search", f"{value['search_epochs']:g} epochs", f"a step takes {value['step_cost_ratio']:.2f}x one of the largest child"),
        ("networks in the space", f"{value['n_architectures']:,}", "counted"),
    ]
    return [{"name": name, "figure": figure, "note": note} for name, figure, note in found]


def _judged(refined: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """The row that says how many networks were judged before one was taken."""
    if refined is None:
        return []
    return [("taken", words.percent(refined["found"]), f"validation, the supernet's weights: {judged_best(refined)}")]


def _chance(compared: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """The row that compares what was found with chance, where that was asked for."""
    if compared is None:
        return []
    return [("beside chance", words.percent(compared["found"]), f"validation, the supernet's weights: {chance_alone(compared)}")]


def _target_name(row: Mapping[str, Any], place: int) -> str:
    return "this run" if place == 0 else f"for {words.ms(row['target_s'])}"


def _label(block: Mapping[str, Any]) -> str:
    if block["skip"]:
        return "skip"
    return f"{block['kernel']}x{block['kernel']}-{block['expansion']}" + (f"-se{block['se']:g}" if block["se"] else "")


def _size(label: str) -> float:
    """Kernel side times expansion of an operation's label; 0 for skip.

    Example:
        >>> _size("5x5-6"), _size("3x3-3-se0.25"), _size("skip")
        (30.0, 9.0, 0.0)
    """
    if label == "skip":
        return 0.0
    side, rest = label.split("x", 1)
    return float(side) * float(rest.split("-")[1])


def _runs(labels: Sequence[str]) -> list[tuple[int, int, str]]:
    """Stretches of equal labels: start, end, label."""
    found: list[tuple[int, int, str]] = []
    for place, label in enumerate(labels):
        if found and found[-1][2] == label:
            found[-1] = (found[-1][0], place + 1, label)
        else:
            found.append((place, place + 1, label))
    return found
