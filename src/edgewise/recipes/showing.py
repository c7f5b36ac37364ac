"""Results as they show themselves at a Python prompt and in a notebook, made from their JSON values.

Every latency stands beside its kind. Pictures are drawn for HTML alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from edgewise._core.showing import Card, Table, by_inherited_weights, counted
from edgewise._core.units import format_seconds

Value = Mapping[str, Any]
_MOST_STAIRCASES = 6


def inspect_card(value: Value) -> Card:
    """Layers with weights, and the layers left alone."""
    rows = tuple(
        (one["name"], one["op"], one["in_channels"], one["out_channels"], f"{one['macs']:,}", f"{one['params']:,}", one["tie"])
        for one in value["layers"]
    )
    header = ("layer", "op", "in", "out", "MACs", "parameters", "tie")
    title = f"{value['model']}: {value['macs']:,} MACs, {value['params']:,} parameters, {counted(len(value['ties']), 'tie')}"
    notes = tuple(f"{one['name']} is left alone: {one['reason']}" for one in value["left_alone"])
    return Card(title=title, tables=(Table(header=header, rows=rows, numeric=(2, 3, 4, 5)),), notes=notes)


def profile_card(value: Value, *, pictures: bool = False) -> Card:
    """Candidate widths of every layer, and the network predicted against measured."""
    network, kind = value["network"], value["kind"]
    if kind == "measured":
        whole = f"{format_seconds(network['measured_s'])} measured, {format_seconds(network['predicted_s'])} predicted"
    else:
        whole = f"{format_seconds(network['simulated_s'])} simulated"
    rows = tuple(
        (one["name"], one["in_width"], _range(one["latency_s"]), ", ".join(map(str, one["candidates"]))) for one in value["layers"]
    )
    table = Table(header=("layer", "reads", "from narrow to wide", "candidate widths"), rows=rows, numeric=(1, 2))
    title = f"{value['model']} on {value['device']}: {whole}"
    return Card(title=title, tables=(table,), notes=tuple(value["warnings"]), pictures=_staircases(value) if pictures else ())


def fit_card(value: Value, *, pictures: bool = False) -> Card:
    """Before and after, and whether the target was met."""
    before, after = value["baseline"], value["result"]
    title = (
        f"{value['model']} on {value['device']}: {ratio_of(value):.2f}x of its time ({value['kind']}), target {value['target']} "
        f"{'met' if value['met'] else 'missed'}"
    )
    return Card(
        title=title,
        tables=(_before_after(before, after, kind=value["kind"]), _widths(value)),
        notes=(*_left_out(value), *_places(value)),
        pictures=_silhouette(value) if pictures else (),
    )


def _left_out(value: Value) -> tuple[str, ...]:
    return (f"residual blocks left out: {', '.join(value['left_out'])}",) if value.get("left_out") else ()


def ratio_of(value: Value) -> float:
    """Latency of a fit's result over the baseline's, as its target is judged."""
    known = value["result"].get("ratio")
    return float(known if known is not None else value["result"]["latency_s"] / value["baseline"]["latency_s"])


def sparsify_card(value: Value) -> Card:
    """Dense against pruned for each input."""
    before, after, latency = value["baseline"], value["result"], value["latency"]
    saved = f"{after['reduction_executed']:.0%} fewer MACs executed"
    speed = "" if latency is None else f", {latency['speedup']:.2f}x as fast as {latency['dense_runtime']} (measured)"
    table = _before_after(before, after, kind="measured", names=("dense", "pruned for each input"))
    ratios = value["ratios"]
    rows = tuple(
        (block, *(f"{ratio:.0%}" for ratio in of_block))
        for block, of_block in enumerate(zip(ratios["channel"], ratios["removed"], ratios["spatial"], strict=True))
    )
    header = ("block", "channels pruned", "channels removed", "positions pruned")
    blocks = Table(header=header, rows=rows, numeric=(0, 1, 2, 3))
    return Card(title=f"{value['model']}: {saved}{speed}", tables=(table, blocks), notes=_places(value))


def search_card(value: Value) -> Card:
    """The network found, and how it meets its target."""
    if "architecture" not in value:
        return Card(title=f"process {value['rank']} helped to search; the first one reports")
    shown_s = value["predicted_s"] if value["measured_s"] is None else value["measured_s"]
    kind = value["kind"] if value["measured_s"] is None else "measured"
    title = (
        f"{value['model']} on {value['device']}: {format_seconds(shown_s)} ({kind}), target {value['target']} "
        f"{'met' if value['met'] else 'missed'}, {value['accuracy']:.1%} of the test images right"
    )
    rows = tuple(
        (one["block"], "skip" if one["skip"] else f"{one['kernel']}x{one['kernel']}", None if one["skip"] else one["expansion"], one["se"])
        for one in value["architecture"]
    )
    blocks = Table(header=("block", "kernel", "expansion", "SE"), rows=rows, numeric=(0, 2, 3))
    front = Table(
        header=("target", "predicted", "measured", "accuracy, supernet's weights", "MACs"),
        rows=tuple(
            (_s(row["target_s"]), _s(row["predicted_s"]), _s(row["measured_s"]), f"{row['accuracy_inherited']:.1%}", f"{row['macs']:,}")
            for row in value["front"]
        ),
        numeric=(0, 1, 2, 3, 4),
    )
    return Card(title=title, tables=(blocks, front), notes=(*by_inherited_weights(value), *_places(value)))


def explore_card(value: Value) -> Card:
    """The front of a study, and the network that is recommended."""
    rows = {row["key"]: row for row in value["trials"]}
    front = tuple(
        (row["number"], row["method"], f"{row['ratio']:.3f}x", _s(row["latency_s"]), row["kind"], *_shares(row))
        for row in (rows[key] for key in value["front"])
    )
    header = ("trial", "method", "of the given", "median", "kind", "accuracy (validation)", "accuracy (test)")
    chosen = value["recommended"]
    notes = () if chosen is None else (f"recommended: trial {rows[chosen['key']]['number']}, {chosen['why']}",)
    title = f"{value['model']} on {value['device']}: {counted(len(rows), 'network')} tried, {len(front)} on the front"
    table = Table(header=header, rows=front, numeric=(0, 2, 3, 5, 6))
    return Card(title=title, tables=(table,), notes=(*notes, *_places(value)))


def crossbar_card(value: Value) -> Card:
    """Dense against pruned on the chip, and the accuracy there."""
    dense = value["dense"]
    scales = (
        ("latency, ms", "latency_s", 1e3),
        ("energy, uJ", "energy_j", 1e6),
        ("area, mm2", "area_mm2", 1.0),
        ("arrays", "arrays", 1.0),
        ("operations executed, M", "ops_executed", 1e-6),
    )
    rows = tuple((name, _scaled(dense[key], scale), _scaled(value[key], scale)) for name, key, scale in scales)
    table = Table(header=("", "dense", value["accounting"]), rows=rows, numeric=(1, 2))
    notes = [
        f"{row['mean']:.1%} right at {row['noise']:.1%} programming noise ({counted(row['chips'], 'chip')})"
        for row in value["accuracy_by_noise"]
    ]
    title = f"{value['model']} on {value['chip']}, accounting {value['accounting']} (simulated)"
    return Card(title=title, tables=(table,), notes=(*notes, *_places(value)))


def bench_card(value: Value) -> Card:
    """One row for each model and device; the reasons where they were asked for."""
    rows = [*value["rows"], *value.get("dense", [])]
    cells = tuple(
        (
            row["model"],
            row["device"],
            _s(row["min_s"]),
            _s(row["latency_s"]),
            f"{row['ratio']:.2f}x",
            f"{row['macs']:,}",
            f"{row['params']:,}",
        )
        for row in rows
    )
    header = ("model", "device", "minimum", "median", "of the first", "MACs", "parameters")
    tables = [Table(header=header, rows=cells, numeric=(2, 3, 4, 5, 6))]
    if value.get("why"):
        reasons = tuple((row["layer"], _s(row["latency_before_s"]), _s(row["latency_after_s"]), row["reason"]) for row in value["why"])
        tables.append(Table(header=("layer", "before", "after", "why time did not follow"), rows=reasons, numeric=(1, 2)))
    return Card(title=f"{counted(len(rows), 'timing')} of one interleaved run (measured)", tables=tuple(tables))


def export_card(value: Value) -> Card:
    """The file, how far its results differ, and its latency."""
    return Card(
        title=f"{value['file']} ({value['bytes']:,} bytes)",
        notes=(
            f"same as PyTorch: largest difference {value['max_abs_diff']:.1e}, {value['relative_diff']:.1e} of the outputs' scale",
            f"{_s(value['min_s'])} minimum, {_s(value['latency_s'])} median on {value['device']} (measured)",
        ),
    )


def simulate_card(value: Value) -> Card:
    """The layers that take longest, and the whole network."""
    title = f"{value['model']} on {value['device']}: {_s(value['latency_s'])} at batch {value['batch']} ({value['kind']})"
    if "blocks" in value:
        rows = tuple((row["block"], row["operation"], _s(row["latency_s"])) for row in value["blocks"])
        return Card(title=title, tables=(Table(header=("block", "operation", "latency"), rows=rows, numeric=(2,)),))
    on_chip = bool(value.get("chip"))
    last = "arrays" if on_chip else "bound by"
    cells = tuple(
        (row["name"], row["op"], f"{row['in_channels']}→{row['out_channels']}", _s(row["latency_s"]), row[last.replace(" ", "_")])
        for row in value["layers"]
    )
    note = f"{value['coefficients']} coefficients, {value['extrapolated_share']:.0%} of the time extrapolated"
    table = Table(header=("layer", "op", "channels", "latency", last), rows=cells, numeric=(3, 4) if on_chip else (3,))
    return Card(title=title, tables=(table,), notes=(note,))


def _shares(row: Value) -> tuple[str | None, str | None]:
    accuracy, validation = row["accuracy"], row["accuracy_validation"]
    return None if validation is None else f"{validation:.1%}", None if accuracy is None else f"{accuracy:.1%}"


def _before_after(before: Value, after: Value, *, kind: str, names: tuple[str, str] = ("before", "after")) -> Table:
    def shown(figures: Value) -> tuple[object, ...]:
        share, time_s = figures.get("accuracy"), figures.get("min_s")
        validation = figures.get("accuracy_validation")
        return (
            _s(time_s),
            _s(figures.get("latency_s")),
            f"{figures['macs']:,}" if figures.get("macs") is not None else None,
            f"{figures['params']:,}" if figures.get("params") is not None else None,
            None if share is None else f"{share:.1%}",
            None if validation is None else f"{validation:.1%}",
        )

    labels = (f"minimum ({kind})", f"median ({kind})", "MACs", "parameters", "accuracy (test)", "accuracy (validation)")
    rows = tuple(row for row in zip(labels, shown(before), shown(after), strict=True) if row[1:] != (None, None))
    return Table(header=("", *names), rows=rows, numeric=(1, 2))


def _widths(value: Value) -> Table:
    before, after = value["widths_before"], value["widths"]
    changed = tuple((name, before[name], width) for name, width in after.items() if before.get(name) != width)
    return Table(header=("layer", "width before", "width after"), rows=changed, numeric=(1, 2))


def _places(value: Value) -> tuple[str, ...]:
    """Warnings, and where the run and its report lie."""
    return (
        *(f"warning: {one}" for one in value.get("warnings", ())),
        *(f"{key}: {value[key]}" for key in ("run", "report") if value.get(key)),
    )


def _silhouette(value: Value) -> tuple[str, ...]:
    from edgewise.report import from_json
    from edgewise.report.picture import as_image, widths_svg

    rows = from_json(value).layer_widths
    return (as_image(widths_svg(rows), words="widths of the layers before and after"),) if rows else ()


def _staircases(value: Value) -> tuple[str, ...]:
    """The staircases of the layers that take longest, one of each shape."""
    from edgewise.report import profile_from_json
    from edgewise.report.charts import StairsMarks
    from edgewise.report.picture import as_image, staircase_svg

    distinct = {(one.in_width, one.widths, one.latency_s): one for one in profile_from_json(value).layers if one.widths}
    longest = sorted(distinct.values(), key=lambda one: -max(one.latency_s))[:_MOST_STAIRCASES]
    return tuple(
        as_image(
            staircase_svg(one, StairsMarks(), size=(340.0, 214.0), caption=f"{one.name}, {value['kind']}"), words=f"staircase of {one.name}"
        )
        for one in longest
    )


def _range(latencies_s: Sequence[float]) -> str | None:
    return f"{_s(latencies_s[0])} to {_s(latencies_s[-1])}" if latencies_s else None


def _s(seconds: float | None) -> str | None:
    return None if seconds is None else format_seconds(seconds)


def _scaled(value: float | None, scale: float) -> str | None:
    return None if value is None else f"{value * scale:,.4g}"
