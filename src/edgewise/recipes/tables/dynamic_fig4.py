"""Figure 4: static against dynamic redundancy of VGG16's blocks. The bars' values are not published; the text gives two vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.dynamic_i import STATIC
from edgewise.recipes.tables.dynamic_measured import measured

TABLE = "dynamic-fig4"
DYNAMIC = (0.2, 0.2, 0.6, 0.9, 0.9)
_SIDES = {"channels": "channels, for each input", "static": "channels, for all inputs", "positions": "positions, for each input"}


def rows(progress: Progress) -> tuple[Row, ...]:
    """The tutorial's two vectors, and what our VGG16 can lose of each block alone without training."""
    found = [
        Row(
            table=TABLE,
            row=f"block {block + 1}",
            column=f"{_SIDES[side]}, %",
            quoted=100 * ratio,
            note="tutorial; trained, all blocks together",
        )
        for side, ratios in (("channels", DYNAMIC), ("static", STATIC))
        for block, ratio in enumerate(ratios)
    ]
    sweep = measured().get("sweep")
    if sweep is None:
        return (*found, Row(table=TABLE, row="edgewise", column="accuracy, %", note="not measured yet: benchmarks/dynamic_figures.py"))
    return (*found, *_swept(sweep), *_largest(sweep, measured()["redundancy"]))


def _swept(sweep: Mapping[str, Any]) -> list[Row]:
    note = f"one block alone, no training, {sweep['images']} validation images, which the given weights were trained on too"
    rows = [Row(table=TABLE, row="nothing pruned, edgewise", column="accuracy, %", measured=100 * sweep["dense"], note=note)]
    for point in sorted(sweep["points"], key=lambda point: (point["side"], point["block"], point["ratio"])):
        name = f"block {point['block'] + 1}, {_SIDES[point['side']]}, {point['ratio']:.0%} pruned, edgewise"
        rows.append(Row(table=TABLE, row=name, column="accuracy, %", measured=100 * point["accuracy"], note=note))
    return rows


def _largest(sweep: Mapping[str, Any], redundancy: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows = []
    for entry in redundancy:
        swept = "/".join(f"{100 * ratio:g}" for ratio in entry["swept"])
        note = (
            f"one block alone, no training, at most {100 * entry['tolerance']:g} points lost, of {swept} % swept, {sweep['images']} images"
        )
        rows += [
            Row(table=TABLE, row=f"block {block + 1}, edgewise", column=f"{_SIDES[entry['side']]}, %", measured=100 * ratio, note=note)
            for block, ratio in enumerate(entry["largest"])
        ]
    return rows
