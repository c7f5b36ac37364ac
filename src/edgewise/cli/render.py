"""Results as people read them: text made from the same values that ``--json`` writes."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgewise._core.units import format_count, format_seconds
from edgewise.cli.output import Value, columns

_WIDTHS_SHOWN = 8


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
    parts.extend(_left_alone(value))
    return "\n\n".join(parts)


def profile(value: Value) -> str:
    """Candidate widths of every layer, and the whole network predicted against measured."""
    rows = [[layer["name"], layer["in_width"], _list(layer["candidates"]), layer["candidates_of"]] for layer in value["layers"]]
    network = value["network"]
    probes = f"{value['probes']} probes, {value['probes_cached']} of them known before; {value['seconds']:.1f} s"
    return "\n\n".join(
        [
            columns(["layer", "in", "widths worth considering", "tie"], rows, numeric=[1]),
            _predicted_line(network["predicted_s"], network["measured_s"], device=value["device"]),
            probes,
        ]
    )


def fit(value: Value) -> str:
    """Before and after, and whether the target was met."""
    before, after = value["baseline"], value["result"]
    rows: list[list[str | None]] = [
        ["latency (measured, median)", _seconds(before["latency_s"]), _seconds(after["latency_s"])],
        ["latency (measured, minimum)", _seconds(before["min_s"]), _seconds(after["min_s"])],
        ["latency (predicted)", None, _seconds(after.get("predicted_s"))],
        ["latency (corrected)", None, _seconds(after.get("corrected_s"))],
        ["MACs", format_count(before["macs"]), format_count(after["macs"])],
        ["parameters", format_count(before["params"]), format_count(after["params"])],
        ["accuracy (test)", _percent(before["accuracy"]), _percent(after["accuracy"])],
        ["accuracy (validation)", _percent(before["accuracy_validation"]), _percent(after["accuracy_validation"])],
    ]
    rows = [row for row in rows if row[1] is not None or row[2] is not None]
    verdict = "met" if value["met"] else "not met"
    parts = [
        columns(["", "before", "after"], rows, numeric=[1, 2]),
        f"target {_seconds(value['target_s'])}: {verdict}, {_ratio(after['min_s'], before['min_s'])} of the time (minimum to minimum); "
        f"solver {value['solver']}, objective {value['objective']}, {value['seconds']:.1f} s",
    ]
    parts.extend(_left_alone(value))
    parts.extend(f"{name}: {value[key]}" for name, key in (("run", "run"), ("report", "report")) if value.get(key))
    return "\n\n".join(parts)


def bench(value: Value) -> str:
    """One row for each model and device; with ``--why`` also the reason for each layer."""
    rows = [
        [
            row["model"],
            row["device"],
            _seconds(row["min_s"]),
            _seconds(row["latency_s"]),
            f"{format_seconds(row['q1_s'])} to {format_seconds(row['q3_s'])}",
            format_count(row["macs"]),
            format_count(row["params"]),
            "noisy" if row.get("noisy") else "",
        ]
        for row in value["rows"]
    ]
    parts = [columns(["model", "device", "minimum", "median", "middle half", "MACs", "parameters", ""], rows, numeric=[2, 3, 4, 5, 6])]
    if value.get("why"):
        parts.append(_why(value["why"]))
    return "\n\n".join(parts)


def export(value: Value) -> str:
    """The file, how far its results differ, and its latency."""
    times = f"{_seconds(value['min_s'])} minimum, {_seconds(value['latency_s'])} median on {value['device']} (measured)"
    parity = f"same as PyTorch: largest difference {value['max_abs_diff']:.1e}, {value['relative_diff']:.1e} of the outputs' scale"
    return "\n".join([f"wrote {value['file']} ({value['bytes']:,} bytes)", parity, times])


def report(value: Value) -> str:
    """Where the file lies."""
    return f"wrote {value['file']} ({value['bytes']:,} bytes)"


def tables(value: Value) -> str:
    """Quoted, simulated and measured numbers side by side."""
    if not value["rows"]:
        return "no tables yet"
    header = ["table", "row", "column", "quoted", "simulated", "measured", "note"]
    rows = [[_number(row[name]) if name in header[3:6] else row[name] for name in header] for row in value["rows"]]
    return columns(header, rows, numeric=[3, 4, 5])


def _why(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [row["name"], format_count(row["macs_saved"]), _seconds(row["time_saved_s"]), row["reason"] or "time followed"] for row in rows
    ]
    return columns(["layer", "MACs saved", "time saved", "reason"], cells, numeric=[1, 2])


def _left_alone(value: Value) -> list[str]:
    rows = [[layer["name"], layer["reason"]] for layer in value["left_alone"]]
    return [columns(["left alone", "why"], rows)] if rows else []


def _predicted_line(predicted_s: float, measured_s: float, *, device: str) -> str:
    off = abs(predicted_s - measured_s) / measured_s
    return f"whole network on {device}: {format_seconds(predicted_s)} predicted, {format_seconds(measured_s)} measured ({off:.1%} apart)"


def _list(widths: Sequence[int]) -> str:
    return " ".join(str(width) for width in widths) if len(widths) <= _WIDTHS_SHOWN else f"{len(widths)} widths"


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else format_seconds(seconds)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.2%}"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.3f}x"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"
