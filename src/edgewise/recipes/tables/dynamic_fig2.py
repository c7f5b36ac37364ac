"""Figure 2: attention against random ranking at equal ratio, without training. The curve's values are not published."""

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.dynamic_measured import measured
from edgewise.report.picture import lines_svg

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


def picture() -> str:
    """Accuracy against the pruned share of channels, a line for each ranking, as SVG.

    Raises:
        UsageError: Nothing was measured.
    """
    known = measured()
    if not known.get("rankings"):
        raise UsageError("dynamic-fig2 was not measured yet; run benchmarks/dynamic_figures.py and benchmarks/dynamic_tables.py")
    dense = (0.0, 100 * known["dense_test"])
    series = {name: [dense, *((100 * ratio, 100 * value) for ratio, value in points)] for name, points in curves().items()}
    caption = f"Measured: VGG16, CIFAR-10 as JPEG files, {known['images']} test images, no training after pruning."
    axes = ("channels pruned in every block, %", "accuracy, %")
    return lines_svg(series, axes=axes, title="Rankings at equal ratio", first=("attention",), caption=caption)
