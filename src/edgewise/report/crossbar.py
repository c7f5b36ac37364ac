"""The report of a network on a crossbar chip."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from edgewise.report import render, words
from edgewise.report.charts import bar_pair
from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, line, marker, path, text, x_axis, y_axis


def render_crossbar(value: Mapping[str, Any]) -> str:
    """The page for what ``crossbar`` wrote: dense against pruned, energy by part and layer, accuracy against noise.

    Args:
        value: The JSON values of the command.

    Returns:
        A whole HTML page that asks nothing of the network.
    """
    dense = value["dense"]
    names = list(dict.fromkeys([*(dense["energy_by_component"] or {}), *(value["energy_by_component"] or {})]))
    parts = [
        (name, (dense["energy_by_component"] or {}).get(name, 0.0), (value["energy_by_component"] or {}).get(name, 0.0)) for name in names
    ]
    layers = [(after["name"], before, after) for before, after in zip(dense["layers"], value["layers"], strict=True)]
    curve = value.get("accuracy_by_noise") or []
    accuracy = value.get("accuracy")
    return render.page(
        "crossbar.html",
        title=f"{value['model']} on {value['chip']}",
        value=value,
        summary=_summary(value),
        parts=[_row(name, before, after, most=max(one[1] for one in parts)) for name, before, after in parts],
        layers=[
            {
                **_row(name, before["energy_j"], after["energy_j"], most=max(one[1]["energy_j"] or 1e-30 for one in layers)),
                "arrays": after["arrays"],
                "op": after["op"],
            }
            for name, before, after in layers
        ]
        if dense["energy_j"] is not None
        else [],
        curve=accuracy_curve(curve, digital=accuracy["digital"]) if accuracy and len(curve) > 1 else None,
        noise_rows=_noise_rows(value),
        assumed=sorted((name, source) for name, source in value["sources"].items() if source.startswith(("assumed", "derived"))),
        cited=sorted((name, source) for name, source in value["sources"].items() if not source.startswith(("assumed", "derived"))),
    )


def _noise_rows(value: Mapping[str, Any]) -> list[dict[str, str]]:
    """Accuracy at every noise, and after tuning, in words."""
    named = [(words.percent(row["noise"], digits=1), row) for row in value.get("accuracy_by_noise") or []]
    tuned = value.get("tuned")
    if tuned:
        last = words.percent(value["accuracy_by_noise"][-1]["noise"], digits=1)
        named.append((f"{last}, tuned under noise for {tuned['steps']} steps", tuned))
    return [
        {
            "name": name,
            "mean": words.percent(row["mean"], digits=1),
            "interval": " to ".join(words.percent(bound, digits=1) for bound in row["ci95"]) if row["ci95"] else "–",
            "chips": str(row["chips"]),
        }
        for name, row in named
    ]


def is_crossbar(value: Mapping[str, Any]) -> bool:
    """Whether a result is one that ``crossbar`` wrote."""
    return {"chip", "accounting", "dense", "sources"} <= set(value)


def as_run(value: Mapping[str, Any]) -> dict[str, Any]:
    """A network on a chip as a run that can stand beside others: dense before, pruned after, on the chip's accuracy.

    Args:
        value: What ``crossbar`` wrote.
    """
    accuracy = value.get("accuracy") or {}

    def figures(cost: Mapping[str, Any], right: float | None) -> dict[str, Any]:
        return {
            "latency_s": cost["latency_s"],
            "macs": (cost["ops_executed"]) // 2,
            "accuracy": right,
            "kind": "simulated",
        }

    return {
        "model": value["model"],
        "device": value["chip"],
        "kind": "simulated",
        "baseline": figures(value["dense"], accuracy.get("digital")),
        "result": figures(value, accuracy.get("mean")),
        "provenance": value.get("provenance"),
    }


def accuracy_curve(rows: Sequence[Mapping[str, Any]], *, digital: float, size: tuple[float, float] = (520.0, 300.0)) -> Markup:
    """Accuracy on chips against programming noise, with the interval of each mean, and the digital accuracy as a line.

    Args:
        rows: ``noise``, ``mean`` and ``ci95`` of each point; at least two.
        digital: Accuracy in exact arithmetic, a share.
        size: Width and height of the drawing.
    """
    width, height = size
    noises = sorted({float(row["noise"]) for row in rows})
    values = [digital, *(bound for row in rows for bound in (row["mean"], *(row["ci95"] or ())))]
    low, high = 100 * min(values) - 1, 100 * max(values) + 1
    x = Scale(low=100 * noises[0], high=100 * max(noises[-1], noises[0] + 1e-3), start=46.0, end=width - 10)
    y = Scale(low=low, high=high, start=height - 44, end=26.0)
    bars = [
        line(x(100 * row["noise"]), y(100 * row["ci95"][0]), x(100 * row["noise"]), y(100 * row["ci95"][1]), "flag after")
        for row in rows
        if row["ci95"]
    ]
    points = [
        marker(x(100 * row["noise"]), y(100 * row["mean"]), "pin after", f"{row['noise']:.1%} noise: {row['mean']:.1%}") for row in rows
    ]
    curve = path([(x(100 * row["noise"]), y(100 * row["mean"])) for row in sorted(rows, key=lambda row: row["noise"])], "curve")
    reference = [
        line(x.start, y(100 * digital), x.end, y(100 * digital), "flag before"),
        text("digital", x.end, y(100 * digital) - 5, "tick", "end"),
    ]
    axes = (y_axis(y, left=46.0, right=width, title="accuracy, %"), x_axis(x, top=26.0, bottom=height - 44, title="programming noise, %"))
    described = f"from {rows[0]['mean']:.1%} to {rows[-1]['mean']:.1%}"
    return drawing("Accuracy against noise", described, size, *axes, *reference, *bars, curve, *points)


def _row(name: str, before: float | None, after: float | None, *, most: float) -> dict[str, Any]:
    bar = bar_pair(before, after, maximum=max(most, after or 0.0, 1e-30), label=f"{name}: {_micro(before)} to {_micro(after)}")
    return {"name": name, "before": _micro(before), "after": _micro(after), "change": words.ratio(after, before), "bar": bar}


def _micro(joules: float | None) -> str:
    return "–" if joules is None else words.significant(joules * 1e6)


def _summary(value: Mapping[str, Any]) -> list[dict[str, str]]:
    dense = value["dense"]
    shows: dict[str, tuple[str, Callable[[Any], str]]] = {
        "latency_s": ("latency", words.ms),
        "energy_j": ("energy, µJ", _micro),
        "power_w": ("power, W", _plain),
        "area_mm2": ("area, mm²", _plain),
        "arrays": ("arrays", words.count),
        "tiles": ("tiles", words.count),
        "ops_executed": ("operations executed", words.count),
        "gops_per_mm2": ("GOPS/mm², executed", _plain),
        "gops_per_w": ("GOPS/W, executed", _plain),
    }
    return [
        {"name": name, "before": show(dense[key]), "after": show(value[key]), "change": words.ratio(value[key], dense[key])}
        for key, (name, show) in shows.items()
    ]


def _plain(value: float | None) -> str:
    return "–" if value is None else words.significant(value)
