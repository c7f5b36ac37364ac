"""The report of a network that prunes its maps for each input."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from edgewise.report import render, words
from edgewise.report.charts import bar_pair, lines_chart
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


def sensitivity_chart(sweep: Mapping[str, Any], *, size: tuple[float, float] = (620.0, 340.0)) -> Markup:
    """Accuracy against the ratio of one block pruned alone, a line for each block and side.

    Args:
        sweep: ``dense`` and ``points`` of a sensitivity sweep.
        size: Width and height of the drawing.
    """
    series: dict[str, list[tuple[float, float]]] = {}
    for point in sorted(sweep["points"], key=lambda point: (point["side"], point["block"], point["ratio"])):
        line = series.setdefault(f"{point['side']} {point['block'] + 1}", [(0.0, 100 * sweep["dense"])])
        line.append((100 * point["ratio"], 100 * point["accuracy"]))
    leading = [name for name in series if name.startswith("channels")]
    return lines_chart(series, axes=("pruned, %", "accuracy, %"), title="Sensitivity of the blocks", first=leading, size=size)


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
        left = latency.get("left")
        if left is not None:
            name = f"latency without gates, median ({left['runtime']})"
            rows.append((name, words.ms(latency["dense_s"]), words.ms(left["latency_s"]), words.ratio(1.0, left["speedup"])))
        rows.append(
            (
                "latency, median",
                words.ms(latency["dense_s"]),
                words.ms(latency["dynamic_s"]),
                words.ratio(1.0, latency["speedup"]),
            )
        )
    return [dict(zip(("name", "before", "after", "change"), row, strict=True)) for row in rows]


def _block(block: Mapping[str, Any], *, most: float) -> dict[str, Any]:
    left = block.get("macs_counted", block["macs"] * (1 - block["channel_ratio"]) * (1 - block["spatial_ratio"]))
    bar = bar_pair(block["macs"], left, maximum=max(most, 1), label=f"block {block['block'] + 1}")
    return {**block, "left": words.count(round(left)), "bar": bar, "maps": "×".join(map(str, block["hw"]))}


def _redundancy(row: Mapping[str, Any]) -> dict[str, Any]:
    bar = bar_pair(row["pruned"], row["static"], maximum=1.0, label=f"{row['side']} of block {row['block'] + 1}")
    return {**row, "bar": bar}
