"""Results as people read them, made from the same values that ``--json`` writes.

A function returns text, or what rich prints. The report package is imported where it is
used: it is too heavy for ``edgewise --help``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from edgewise._core.showing import by_inherited_weights
from edgewise._core.units import format_seconds
from edgewise.cli.output import Value, columns


def devices(value: Value) -> str:
    """The devices: name, kind, whether it can be used here, and what to know."""
    rows = [[row["name"], row["kind"], "yes" if row["available"] else "no", row["version"], row["note"]] for row in value["devices"]]
    return columns(["device", "kind", "here", "version", "note"], rows)


def inspect(value: Value) -> str:
    """The layers with a tie or with MACs, totals, and the layers left alone."""
    layers = [layer for layer in value["layers"] if layer["macs"] or layer["params"]]
    rows = [
        [
            layer["name"],
            layer["op"],
            layer["in_channels"],
            layer["out_channels"],
            f"{layer['macs']:,}",
            f"{layer['params']:,}",
            layer["tie"],
        ]
        for layer in layers
    ]
    parts = [columns(["layer", "op", "in", "out", "MACs", "parameters", "tie"], rows, numeric=[2, 3, 4, 5])]
    parts.append(f"{value['macs']:,} MACs, {value['params']:,} parameters")
    if value["blocks"]:
        parts.append(f"residual blocks that can be left out: {', '.join(value['blocks'])}")
    parts.extend(_left_alone(value))
    return "\n\n".join(parts)


def profile(value: Value) -> object:
    """Staircases with their candidate widths, and the whole network predicted against measured."""
    from edgewise.report import profile_from_json
    from edgewise.report.terminal import profile_summary

    return profile_summary(profile_from_json(value))


def fit(value: Value) -> object:
    """The decision, before and after, and where the run lies."""
    from rich.console import Group

    from edgewise.report import from_json
    from edgewise.report.terminal import fit_summary

    places = [f"{name}: {value[name]}" for name in ("run", "report") if value.get(name)]
    return Group(fit_summary(from_json(value)), *places)


def demo(value: Value) -> object:
    """What a fit shows, and at the end what was achieved and where to look."""
    from rich.console import Group

    before, after = value["baseline"], value["result"]
    achieved = (
        f"{value['model']} takes {after['min_s'] / before['min_s']:.2f}x of its time and is right on {after['accuracy']:.1%} "
        f"of the test images ({before['accuracy']:.1%} before): open {value['report']}"
    )
    return Group(fit(value), "", achieved)  # type: ignore[arg-type]


def bench(value: Value) -> object:
    """One row for each model and device; with ``--why`` also the reason for each layer."""
    from rich.console import Group

    from edgewise.report import from_json
    from edgewise.report.terminal import bench_table

    table = bench_table(from_json({**value, "rows": [*value["rows"], *value.get("dense", [])]}).rows)
    return Group(table, "", _why(value["why"])) if value.get("why") else table


def export(value: Value) -> str:
    """The file, how far its results differ, and its latency."""
    times = f"{_seconds(value['min_s'])} minimum, {_seconds(value['latency_s'])} median on {value['device']} (measured)"
    parity = f"same as PyTorch: largest difference {value['max_abs_diff']:.1e}, {value['relative_diff']:.1e} of the outputs' scale"
    return "\n".join([f"wrote {value['file']} ({value['bytes']:,} bytes)", parity, times])


def report(value: Value) -> str:
    """Where the file lies."""
    return f"wrote {value['file']} ({value['bytes']:,} bytes)"


def crossbar(value: Value) -> str:
    """Dense against pruned, energy by part, accuracy, and what the chip's figures rest on."""
    dense, parts = value["dense"], []
    setting = (
        f"{value['model']} on {value['chip']}, accounting {value['accounting']}, {value['schedule']}, masks {value['masks']} (simulated)"
    )
    rows = [
        [name, _shown(dense[key], scale), _shown(value[key], scale), _ratio(value[key], dense[key])]
        for name, key, scale in (
            ("latency, ms", "latency_s", 1e3),
            ("energy, uJ", "energy_j", 1e6),
            ("power, W", "power_w", 1.0),
            ("area of tiles in use, mm2", "area_mm2", 1.0),
            ("arrays", "arrays", 1.0),
            ("tiles", "tiles", 1.0),
            ("utilisation of cells", "utilisation", 1.0),
            ("operations executed, M", "ops_executed", 1e-6),
            ("GOPS/mm2, executed operations", "gops_per_mm2", 1.0),
            ("GOPS/W, executed operations", "gops_per_w", 1.0),
            ("GOPS/mm2, dense operations", "gops_per_mm2_dense_ops", 1.0),
            ("GOPS/W, dense operations", "gops_per_w_dense_ops", 1.0),
        )
    ]
    rows += [
        [f"energy of {name}, uJ", _shown((dense["energy_by_component"] or {}).get(name), 1e6), _shown(joules, 1e6), None]
        for name, joules in (value["energy_by_component"] or {}).items()
    ]
    parts += [setting, columns([f"{value['images']} image(s)", "dense", value["accounting"], "ratio"], rows, numeric=[1, 2, 3])]
    for row in value["accuracy_by_noise"]:
        interval = f" (95 %: {row['ci95'][0]:.1%} to {row['ci95'][1]:.1%})" if row["ci95"] else ""
        parts.append(f"accuracy at {row['noise']:.1%} programming noise: {row['mean']:.1%}{interval}, {row['chips']} chips")
    if value["accuracy"]:
        parts.append(f"accuracy in exact arithmetic: {value['accuracy']['digital']:.1%} of {value['accuracy']['images']} test images")
    if value.get("tuned"):
        parts.append(f"after {value['tuned']['steps']} steps of fine-tuning under noise: {value['tuned']['mean']:.1%}")
    parts += [f"not priced: {one['name']}, {one['reason']}" for one in value["skipped"]]
    assumed = [f"{name}: {source}" for name, source in value["sources"].items() if source.startswith(("assumed", "derived"))]
    parts.append("\n".join(["the chip's figures rest on:", *assumed]))
    parts += [f"{name}: {value[name]}" for name in ("run", "report") if value.get(name)]
    return "\n\n".join(parts)


def search(value: Value) -> str:
    """The network found, block by block, and how it meets its target."""
    if "architecture" not in value:
        return f"process {value['rank']} helped to search; the first one reports"
    rows = [
        [block["block"], "skip" if block["skip"] else f"{block['kernel']}x{block['kernel']}", block["expansion"], f"{block['se']:g}"]
        for block in value["architecture"]
    ]
    measured = "not measured" if value["measured_s"] is None else f"{_seconds(value['measured_s'])} minimum measured"
    verdict = "hit" if value["met"] else "missed"
    lines = [
        f"target {_seconds(value['target_s'])} ({value['target']} of {value['reference']}) on {value['device']}: {verdict}, "
        f"{measured}, {_seconds(value['predicted_s'])} {'simulated' if value['kind'] == 'simulated' else 'predicted'}",
        f"{value['macs']:,} MACs, {value['params']:,} parameters, one of {value['n_architectures']:,} networks",
        f"{value['accuracy']:.1%} of the test images right; {value['accuracy_inherited']:.1%} of the validation part before training",
        *by_inherited_weights(value),
        f"searched for {value['search_epochs']:g} epochs; a step took {value['step_cost_ratio']:.2f}x one of the largest child",
    ]
    front = [
        [
            _seconds(row["target_s"]),
            _seconds(row["predicted_s"]),
            _seconds(row["measured_s"]),
            f"{row['accuracy_inherited']:.1%}",
            f"{row['macs']:,}",
        ]
        for row in value["front"]
    ]
    parts = [columns(["block", "kernel", "expansion", "SE"], rows, numeric=[0, 2, 3]), "\n".join(lines)]
    if len(front) > 1:
        parts.append(columns(["target", "predicted", "measured", "accuracy, supernet's weights", "MACs"], front, numeric=[0, 1, 2, 3, 4]))
    parts += [f"{name}: {value[name]}" for name in ("run", "report") if value.get(name)]
    return "\n\n".join(parts)


def tables(value: Value) -> str:
    """Quoted, simulated and measured numbers side by side."""
    if not value["rows"]:
        return "no tables yet"
    header = ["table", "row", "column", "quoted", "simulated", "measured", "note"]
    rows = [[_number(row[name]) if name in header[3:6] else row[name] for name in header] for row in value["rows"]]
    return columns(header, rows, numeric=[3, 4, 5])


def simulate(value: Value) -> str:
    """The layers with what bounds them, and the whole network; by a table, its blocks."""
    if "blocks" in value:
        return _by_table(value)
    if value.get("chip"):
        return _on_chip(value)
    rows = [
        [
            layer["name"],
            layer["op"],
            f"{layer['in_channels']}→{layer['out_channels']}",
            layer["family"],
            layer["blocks"],
            layer["waves"],
            f"{layer['utilisation']:.2f}",
            f"{layer['tile_utilisation']:.2f}",
            layer["bound_by"],
            _seconds(layer["latency_s"]),
            "extrapolated" if layer["extrapolated"] else "",
        ]
        for layer in value["layers"]
    ]
    header = ["layer", "op", "channels", "family", "blocks", "waves", "waves used", "tiles used", "bound by", "latency", ""]
    known = f"{value['coefficients']} coefficients, {value['extrapolated_share']:.0%} of the time extrapolated"
    total = f"{_seconds(value['latency_s'])} simulated on {value['device']} at batch {value['batch']} ({known})"
    return f"{columns(header, rows, numeric=[4, 5, 6, 7, 9])}\n\n{total}"


def _by_table(value: Value) -> str:
    rows = [[row["block"], row["operation"], f"{row['latency_s'] * 1e3:.4f}", row["note"]] for row in value["blocks"]]
    total = f"{value['latency_s'] * 1e3:.4f} ms predicted by {value['device']}: the sum of its entries, which are quoted"
    counts = f"{value['macs']:,} MACs, {value['params']:,} parameters"
    return f"{columns(['block', 'operation', 'ms', ''], rows, numeric=[2])}\n\n{total}\n{counts}"


def _on_chip(value: Value) -> str:
    """The layers of a network on a crossbar chip, and its latencies, energy and area."""
    rows = [
        [
            layer["name"],
            layer["op"],
            f"{layer['in_channels']}→{layer['out_channels']}",
            layer["arrays"],
            f"{layer['utilisation']:.2f}",
            layer["positions"],
            _seconds(layer["latency_s"]),
            _shown(layer["energy_j"], 1e6),
        ]
        for layer in value["layers"]
    ]
    header = ["layer", "op", "channels", "arrays", "cells used", "products", "latency", "energy, uJ"]
    chip = value["chip"]
    lines = [
        f"{_seconds(value['latency_s'])} simulated on {value['device']} at batch {value['batch']}: {value['latency_is']}",
        f"{_seconds(chip['whole_copies_s'])} with whole copies, {_seconds(chip['serial_s'])} with one copy, layer after layer",
        f"{_shown(value['energy_j'], 1e6)} uJ, {chip['arrays']:,.0f} arrays in {chip['tiles']:,.0f} tiles"
        + (f" of {chip['area_mm2']:.2f} mm2" if "area_mm2" in chip else ""),
    ]
    return columns(header, rows, numeric=[3, 4, 5, 6, 7]) + "\n\n" + "\n".join(lines)


def predict(value: Value) -> str:
    """The file written, and the errors where measured times were there."""
    lines = [f"wrote {value['out']}: {value['rows']} rows simulated on {value['device']} ({value['coefficients']} coefficients)"]
    if value["extrapolated_rows"]:
        lines.append(f"{value['extrapolated_rows']} rows are extrapolated: the traces hold dense 3x3 convolutions of stride 1 only")
    if value["error"] is not None:
        lines.append(f"against the measured times: {_errors(value['error'])}")
    return "\n".join(lines)


def calibrate(value: Value) -> str:
    """The file written, and the held-out errors."""
    held_out = value["held_out"]
    families = ", ".join(f"{one['family']} {one['rows']}" for one in value["families"])
    return "\n".join(
        [
            f"wrote {value['file']}: use it as --device {value['device']}",
            f"{value['rows']} rows, {value['in_families']} of them in families: {families}",
            f"held out, {held_out['folds']} folds, kernel family not told: {_errors(held_out['analytic'])}",
            f"with the learned residual: {_errors(held_out['with_residual'])}",
        ]
    )


def _errors(value: Mapping[str, Any]) -> str:
    return f"mean error {value['mean']:.1%}, median {value['median']:.1%}, 90 % below {value['p90']:.1%}, Spearman {value['spearman']:.3f}"


def _why(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["layer"],
            _saved(row["macs_before"], row["macs_after"]),
            _saved(row["latency_before_s"], row["latency_after_s"]),
            _seconds(row["latency_before_s"]),
            _seconds(row["latency_after_s"]),
            row["reason"],
        ]
        for row in rows
    ]
    return columns(["layer", "MACs saved", "time saved", "before", "after", "why time did not follow"], cells, numeric=[1, 2, 3, 4])


def _saved(before: float | None, after: float | None) -> str | None:
    return f"{1 - after / before:.0%}" if before and after is not None else None


def _left_alone(value: Value) -> list[str]:
    rows = [[layer["name"], layer["reason"]] for layer in value["left_alone"]]
    return [columns(["left alone", "why"], rows)] if rows else []


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else format_seconds(seconds)


def _shown(value: float | None, scale: float) -> str | None:
    return None if value is None else f"{value * scale:.4g}" if value * scale < 1e4 else f"{value * scale:,.0f}"


def _ratio(after: float | None, before: float | None) -> str | None:
    return f"{after / before:.3f}x" if before and after is not None else None


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"
