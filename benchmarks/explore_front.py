"""Do networks that join two methods beat what each method finds alone?

Reads finished studies of ``edgewise explore`` and writes down each one's front, what its methods contributed, how much of
the time the engine took for itself, and how accurate the best network of each method is by latency. A network that joins
methods counts where it is on the front and some network of every single method is dominated by it.

    python benchmarks/explore_front.py STUDY STUDY ...
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from result_files import made_here, read_result, write_result

from edgewise.recipes.explore.fronts import Value
from edgewise.recipes.explore.result import value_of

SINGLE = ("widths", "dynamic", "searched")
"""Methods that do one thing."""
RATIOS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""Latencies, as shares of the given network's, at which methods are compared."""
_FIGURES = ("number", "method", "accuracy", "accuracy_validation", "ratio", "kind", "runtime", "macs_executed", "params")


def best_by_ratio(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Validation accuracy of the best network of each method that is at least so fast; none where no network is."""
    methods = sorted({row["method"] for row in rows})
    table = []
    for ratio in RATIOS:
        best: dict[str, Any] = {"ratio": ratio}
        for method in methods:
            fast = [value.accuracy for row in rows if row["method"] == method and (value := value_of(row)) and value.ratio <= ratio]
            best[method] = max(fast, default=None)
        table.append(best)
    return table


def joined_that_win(rows: Sequence[Mapping[str, Any]], front: Sequence[str]) -> list[dict[str, Any]]:
    """Networks of the front that join methods and dominate some network of every single method that was tried."""
    singles: dict[str, list[Value]] = {}
    for row in rows:
        value = value_of(row)
        if row["method"] in SINGLE and value is not None:
            singles.setdefault(row["method"], []).append(value)
    found = []
    for row in rows:
        value = value_of(row)
        if "+" not in row["method"] or row["key"] not in front or value is None:
            continue
        beaten = {method: sum(value.dominates(other) for other in others) for method, others in singles.items()}
        if beaten and all(beaten.values()):
            found.append({"number": row["number"], "ratio": value.ratio, "accuracy_validation": value.accuracy, "dominates": beaten})
    return found


def read_study(folder: Path) -> dict[str, Any]:
    """One study's figures."""
    result = json.loads((folder / "result.json").read_text())
    rows, front = result["trials"], result["front"]
    settings = json.loads((folder / "study.json").read_text())["settings"]
    known = {name: settings[name] for name in ("data", "epochs", "lr", "sampler", "distill") if name in settings}
    if known.get("data"):  # where the file lies on the machine that ran the study tells nobody anything
        form, _, place = known["data"]["data"].partition(":")
        known["data"] = {**known["data"], "data": f"{form}:{Path(place).name}" if place else form}
    return {
        "model": result["model"],
        "device": result["device"],
        "settings": known,
        "trials": len(rows),
        "states": {state: sum(row["state"] == state for row in rows) for state in sorted({row["state"] for row in rows})},
        "seconds": result["seconds"],
        "engine_share": result["engine_share"],
        "baseline": {name: result["baseline"][name] for name in ("accuracy", "accuracy_validation", "latency_s")},
        "front": [{name: row[name] for name in _FIGURES} for key in front for row in rows if row["key"] == key],
        "contributions": result["contributions"],
        "best_by_ratio": best_by_ratio(rows),
        "joined_that_win": joined_that_win(rows, front),
    }


def main() -> None:
    """Reads the studies, and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", type=Path, nargs="+", help="folders of finished studies")
    arguments = parser.parse_args()
    known = read_result("explore-front")
    # Studies are read on the machine that they ran on; the file's provenance is the last one's.
    studies: dict[str, Any] = {
        name: {"cpu": known["provenance"]["cpu"], "date": known["provenance"]["date"], **study}
        for name, study in known.get("studies", {}).items()
    }
    for folder in arguments.studies:
        study = {**made_here(), **read_study(folder)}
        studies[f"{study['model']}, {study['device']}, {study['settings'].get('sampler')}"] = study
    write_result("explore-front", {"kind": "measured", "studies": studies})
    json.dump(studies, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
