"""Figure 2: attention against random ranking at equal ratio, without training. The curve's values are not published."""

from markupsafe import Markup

from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.dynamic_measured import measured
from edgewise.report.charts.scale import Scale
from edgewise.report.charts.svg import drawing, marker, path, text, x_axis, y_axis

TABLE = "dynamic-fig2"
CLAIMS = (
    ("attention over random ranking", "accuracy gained at equal ratio, %", 70.0, "as the tutorial words it; the ratio is not given"),
    ("VGG16", "redundancy removed without accuracy drop, %", 60.0, "shown before training with masks is introduced"),
)


def curves() -> dict[str, list[tuple[float, float]]]:
    """Accuracy against ratio under each ranking; random ones are means over seeds."""
    found: dict[str, dict[float, list[float]]] = {}
    for row in measured().get("rankings", []):
        found.setdefault(row["ranking"], {}).setdefault(row["ratio"], []).append(row["accuracy"])
    return {name: [(ratio, sum(values) / len(values)) for ratio, values in sorted(points.items())] for name, points in found.items()}


def rows(progress: Progress) -> tuple[Row, ...]:
    """The claims as quoted, and our curves."""
    known = measured()
    quoted = [Row(table=TABLE, row=row, column=column, quoted=value, note=note) for row, column, value, note in CLAIMS]
    if not known.get("rankings"):
        return (
            *quoted,
            Row(table=TABLE, row="VGG16 CIFAR10", column="accuracy, %", note="not measured yet: benchmarks/dynamic_figures.py"),
        )
    note = f"channels of all blocks, no training, {known['images']} test images (oracle: {known['images'] // 5}), JPEG files"
    dense = Row(table=TABLE, row="nothing pruned", column="accuracy, %", measured=100 * known["dense_test"], note=note)
    ours = [
        Row(table=TABLE, row=f"{name}, {ratio:.0%} pruned", column="accuracy, %", measured=100 * value, note=note)
        for name, points in curves().items()
        for ratio, value in points
    ]
    return (*quoted, dense, *ours)


def picture(size: tuple[float, float] = (560.0, 340.0)) -> Markup:
    """Accuracy against the pruned share of channels, a line for each ranking."""
    width, height = size
    x = Scale(low=0.0, high=100.0, start=46.0, end=width - 80)
    y = Scale(low=0.0, high=100.0, start=height - 44, end=26.0)
    parts = []
    for name, points in curves().items():
        style = "after" if name == "attention" else "before"
        line = [(x(0.0), y(100 * measured()["dense_test"])), *((x(100 * ratio), y(100 * value)) for ratio, value in points)]
        parts.append(path(line, f"line {style}"))
        parts += [marker(x(100 * ratio), y(100 * value), f"pin {style}", f"{name}, {ratio:.0%}: {value:.1%}") for ratio, value in points]
        parts.append(text(name, line[len(line) // 2][0] + 6, line[len(line) // 2][1] - 6, "tick", "start"))
    axes = (
        y_axis(y, left=46.0, right=width - 80, title="accuracy, %"),
        x_axis(x, top=26.0, bottom=height - 44, title="channels pruned, %"),
    )
    return drawing("Rankings at equal ratio", "VGG16, CIFAR-10 as JPEG files, no training", size, *axes, *parts)
