"""The report of a network that prunes its maps for each input."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from edgewise.report import render, words
from edgewise.report.charts import bar_pair
from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, marker, path, text, x_axis, y_axis
from edgewise.report.reading import flatten


def render_sparsify(value: Mapping[str, Any]) -> str:
    """The page for what ``sparsify`` wrote: dense against dynamic, blocks, redundancy, budgets, sensitivity.

    Args:
        value: The JSON values of the command.

    Returns:
        A whole HTML page that asks nothing of the network.
    """
    most = max((block["macs"] for block in value["blocks"]), default=1)
    chosen = value.get("chosen")
    return render.page(
        "sparsify.html",
        title=f"{value['model']}, pruned for each input",
        value=value,
        summary=_summary(value),
        blocks=[_block(block, most=most) for block in value["blocks"]],
        redundancy=[_redundancy(row) for row in value["redundancy"]],
        budgets=value["budgets"],
        sweep=None if chosen is None else sensitivity_chart(chosen["sensitivity"]),
        provenance=flatten(value["provenance"]),
    )


def sensitivity_chart(sweep: Mapping[str, Any], *, size: tuple[float, float] = (560.0, 320.0)) -> Markup:
    """Accuracy against the ratio of one block pruned alone, a line for each block and side.

    Args:
        sweep: ``dense`` and ``points`` of a sensitivity sweep.
        size: Width and height of the drawing.
    """
    width, height = size
    points = sweep["points"]
    lowest = min((point["accuracy"] for point in points), default=sweep["dense"])
    x = Scale(low=0.0, high=100.0, start=46.0, end=width - 90)
    y = Scale(low=100 * lowest - 1, high=100 * sweep["dense"] + 1, start=height - 44, end=26.0)
    parts = []
    for side, block in sorted({(point["side"], point["block"]) for point in points}):
        own = sorted((point["ratio"], point["accuracy"]) for point in points if (point["side"], point["block"]) == (side, block))
        line = [(x(0.0), y(100 * sweep["dense"])), *((x(100 * ratio), y(100 * value)) for ratio, value in own)]
        name = f"{side} {block + 1}"
        style = "after" if side == "channels" else "before"
        parts.append(path(line, f"line {style}"))
        parts += [marker(x(100 * ratio), y(100 * value), f"pin {style}", f"{name}, {ratio:.0%}: {value:.1%}") for ratio, value in own]
        parts.append(text(name, line[-1][0] + 6, line[-1][1] + 4, "tick", "start"))
    axes = (y_axis(y, left=46.0, right=width - 90, title="accuracy, %"), x_axis(x, top=26.0, bottom=height - 44, title="pruned, %"))
    return drawing("Sensitivity of the blocks", "one block pruned at a time, without training", size, *axes, *parts)


def _summary(value: Mapping[str, Any]) -> list[dict[str, str]]:
    before, after, latency = value["baseline"], value["result"], value["latency"]
    rows = [
        ("test accuracy", words.percent(before["accuracy"], digits=2), words.percent(after["accuracy"], digits=2), ""),
        (
            "validation accuracy",
            words.percent(before["accuracy_validation"], digits=2),
            words.percent(after["accuracy_validation"], digits=2),
            "",
        ),
        (
            "MACs of convolutions, counted",
            words.count(before["macs"]),
            words.count(round(after["macs_counted"])),
            words.ratio(after["macs_counted"], before["macs"]),
        ),
        (
            "MACs executed",
            words.count(before["macs"]),
            words.count(after["macs_executed"]),
            words.ratio(after["macs_executed"], before["macs"]),
        ),
    ]
    if latency is not None:
        rows.append(
            (
                "latency, fastest repeat",
                words.ms(latency["dense_s"]),
                words.ms(latency["dynamic_s"]),
                words.ratio(latency["dynamic_s"], latency["dense_s"]),
            )
        )
    return [dict(zip(("name", "before", "after", "change"), row, strict=True)) for row in rows]


def _block(block: Mapping[str, Any], *, most: float) -> dict[str, Any]:
    left = block["macs"] * (1 - block["channel_ratio"]) * (1 - block["spatial_ratio"])
    bar = bar_pair(block["macs"], left, maximum=max(most, 1), label=f"block {block['block'] + 1}")
    return {**block, "left": words.count(round(left)), "bar": bar, "maps": "×".join(map(str, block["hw"]))}


def _redundancy(row: Mapping[str, Any]) -> dict[str, Any]:
    bar = bar_pair(row["pruned"], row["static"], maximum=1.0, label=f"{row['side']} of block {row['block'] + 1}")
    return {**row, "bar": bar}
