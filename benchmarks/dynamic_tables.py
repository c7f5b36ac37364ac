"""Gathers what benchmarks/dynamic_*.py measured into the file that ``edgewise tables`` shows.

python benchmarks/dynamic_tables.py
"""

import sys
from pathlib import Path
from typing import Any

from result_files import read_result

from edgewise._core.files import write_json
from edgewise.recipes.tables.dynamic_measured import FILE

TABLES = Path(__file__).parent.parent / "src" / "edgewise" / "recipes" / "tables"


def accuracies(found: dict[str, Any]) -> dict[str, Any]:
    """Networks that were trained both ways."""
    known = {}
    for name, ways in found.get("networks", {}).items():
        if not {"pruned", "unpruned"} <= set(ways):
            continue
        pruned, unpruned = ways["pruned"], ways["unpruned"]
        same = pruned["epochs"] == unpruned["epochs"]
        epochs = f"{pruned['epochs']:g} epochs" + (" each" if same else f", {unpruned['epochs']:g} without gates")
        known[name] = {
            "start": pruned["accuracy_start"],
            "unpruned": unpruned["accuracy"],
            "pruned": pruned["accuracy"],
            "described": f"{epochs}, one run, 95 % interval +-{100 * pruned['ci95']:.1f} points, "
            f"reduction {100 * pruned['macs']['reduction']:.2f} % counted, {100 * pruned['macs']['reduction_removed']:.2f} of it "
            "by channels removed for good",
        }
    return known


def main() -> int:
    """Writes the file."""
    figures = read_result("dynamic-figures")
    value: dict[str, Any] = {"accuracy": accuracies(read_result("dynamic-accuracy"))}
    if "rankings" in figures:
        value |= {key: figures[key] for key in ("dense_test", "rankings")}
        value["images"] = max(row["images"] for row in figures["rankings"])
    if "sweep" in figures:
        value |= {"sweep": figures["sweep"], "redundancy": figures.get("redundancy", [])}
    write_json(TABLES / FILE, value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
