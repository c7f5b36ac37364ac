"""Figure 4: static against dynamic redundancy of VGG16's blocks. The bars' values are not published; the text gives two vectors."""

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
    known = measured()
    for entry in known.get("redundancy", []):
        swept = "/".join(f"{100 * ratio:g}" for ratio in entry["swept"])
        lost = f"at most {100 * entry['tolerance']:g} points lost on {known['sweep_images']} validation images"
        note = f"one block alone, no training, {lost}, of {swept} % swept; the given weights were trained on these images too"
        found += [
            Row(table=TABLE, row=f"block {block + 1}, edgewise", column=f"{_SIDES[entry['side']]}, %", measured=100 * ratio, note=note)
            for block, ratio in enumerate(entry["largest"])
        ]
    if not known.get("redundancy"):
        found.append(Row(table=TABLE, row="edgewise", column="redundancy, %", note="not measured yet: benchmarks/dynamic_figures.py"))
    return tuple(found)
