"""Does explore find a better front than random sampling of the same space, at an equal number of trials?

A table of trials is recorded once, with random proposals alone, so that it favours no sampler:

    edgewise explore resnet20 --weights resnet20.safetensors --data imagefolder:cifar10.zip --device openvino-cpu \
        --sampler random --trials 120 --epochs 0.1 --out STUDY

Then samplers are replayed on it, seed by seed: a proposal is answered by the nearest row of the table that was not
taken yet, and what a sampler has found after so many trials is the hypervolume of the rows it took. ``explore`` begins
with the networks that its solvers proposed, as it does in truth; ``nsga2`` and ``tpe`` are Optuna's samplers begun with
random ones; ``random`` takes rows at random. Hypervolumes are counted from the study's own corner (``--below 10`` points
under the given network's validation accuracy), and from deeper ones: after short trainings few networks lie above the first.

    python benchmarks/explore_replay.py STUDY --seeds 20
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from result_files import write_result

from edgewise._core.rng import make_rng
from edgewise.recipes.explore.asking import LARGEST_RATIO, Asker, SearchSpace
from edgewise.recipes.explore.fronts import Value, hypervolume

BUDGETS = (20, 30, 40, 60)
"""Trials after which the samplers are compared."""
WAYS = ("explore", "nsga2", "tpe", "random")
_POPULATION = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A recorded trial: where it stands in the space, in [0, 1] on each axis, and what came of it."""

    place: tuple[float, ...]
    params: dict[str, Any]
    value: Value
    solver: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """All recorded trials, the space they are of, and the corner that hypervolumes are counted from."""

    rows: tuple[Row, ...]
    space: SearchSpace
    reference: Value

    @property
    def n_above(self) -> int:
        """Rows that are better than the corner in both."""
        return sum(row.value.dominates(self.reference) for row in self.rows)


def read_table(study: Path, *, below: float) -> Table:
    """The trials of a study that ended, with the parameters that stand for them; the corner lies so many points below the given network."""
    events = [json.loads(line) for line in (study / "trials.jsonl").read_text().splitlines()]
    result = json.loads((study / "result.json").read_text())
    asked = {event["number"]: event for event in events if event["event"] == "asked" and event["params"]}
    rows = {event["number"]: event["row"] for event in events if event["event"] == "trial"}
    done = {number: row for number, row in rows.items() if number in asked and row["ratio"] is not None}
    names = sorted(next(iter(asked.values()))["params"])
    least = min(event["params"].get("share", 1.0) for event in asked.values())
    space = SearchSpace(least_share=least, n_blocks=sum(name.startswith("channels_") for name in names))
    found = [
        Row(
            place=place_of(asked[number]["params"], names, least),
            params=asked[number]["params"],
            value=Value(accuracy=row["accuracy_validation"], ratio=row["ratio"]),
            solver=row["origin"] == "solver",
        )
        for number, row in sorted(done.items())
    ]
    accuracy = result["baseline"]["accuracy_validation"] - below / 100
    return Table(rows=tuple(found), space=space, reference=Value(accuracy=accuracy, ratio=result["reference"]["ratio"]))


def place_of(params: dict[str, Any], names: list[str], least: float) -> tuple[float, ...]:
    """Parameters on axes from 0 to 1."""
    extents = {name: (least, 1.0) if name == "share" else (0.0, LARGEST_RATIO) for name in names}
    return tuple((params[name] - low) / max(high - low, 1e-9) for name, (low, high) in sorted(extents.items()))


def replayed(table: Table, way: str, *, seed: int) -> list[float]:
    """Hypervolume after each trial."""
    rng = make_rng(seed, "replay", way)
    left = list(range(len(table.rows)))
    values: list[Value] = []
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        sampler = "random" if way == "random" else "tpe" if way == "tpe" else "nsga2"
        asker = Asker(Path(folder) / "journal", table.space, sampler=sampler, population=_POPULATION, seed=seed)
        # The solvers' own networks come in their order; a sampler alone begins with rows drawn at random.
        first = [place for place in left if table.rows[place].solver] if way == "explore" else []
        for number in range(len(table.rows)):
            taken = _next(table, left, first, asker, way=way, number=number, rng=rng)
            left.remove(taken)
            row = table.rows[taken]
            asker.tell(number, row.value)
            values.append(row.value)
            found.append(hypervolume(values, table.reference))
            if len(found) == max(BUDGETS):
                return found
    return found


def _next(table: Table, left: list[int], first: list[int], asker: Asker, *, way: str, number: int, rng: np.random.Generator) -> int:
    if first:
        taken = first.pop(0)
        asker.hear(number, table.rows[taken].params)
        return taken
    if way == "random" or (way != "explore" and number < _POPULATION):
        taken = left[int(rng.integers(len(left)))]
        asker.hear(number, table.rows[taken].params)
        return taken
    names = sorted(table.rows[0].params)
    wanted = np.array(place_of(asker.propose(), names, table.space.least_share))
    distances = [float(np.linalg.norm(np.array(table.rows[place].place) - wanted)) for place in left]
    # What is told is the network that the table holds, not the one that was wished for.
    taken = left[int(np.argmin(distances))]
    asker.drop()
    asker.hear(number, table.rows[taken].params)
    return taken


def compared(table: Table, *, seeds: int) -> dict[str, Any]:
    """Mean hypervolume by way and budget, and in how many seeds explore is above random."""
    runs = {way: [replayed(table, way, seed=seed) for seed in range(seeds)] for way in WAYS}
    budgets = [budget for budget in BUDGETS if budget < len(table.rows)]
    rows = []
    for budget in budgets:
        at = {way: [run[budget - 1] for run in found] for way, found in runs.items()}
        gains = [ours - chance for ours, chance in zip(at["explore"], at["random"], strict=True)]
        rows.append(
            {
                "trials": budget,
                "hypervolume": {way: statistics.mean(found) for way, found in at.items()},
                "deviation": {way: statistics.pstdev(found) for way, found in at.items()},
                "explore_over_random": statistics.mean(at["explore"]) / statistics.mean(at["random"]),
                "mean_gain": statistics.mean(gains),
                "seeds_above_random": sum(gain > 0 for gain in gains),
            }
        )
    whole = hypervolume([row.value for row in table.rows], table.reference)
    corner = {"accuracy": table.reference.accuracy, "ratio": table.reference.ratio}
    return {"reference": corner, "rows_above": table.n_above, "hypervolume_of_the_table": whole, "rows": rows}


def main() -> None:
    """Replays, and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of the recorded study")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--below", default="10,20,40", help="points of accuracy from the given network down to the corner, one or several")
    arguments = parser.parse_args()
    tables = {below: read_table(arguments.study, below=float(below)) for below in arguments.below.split(",")}
    found = {below: compared(table, seeds=arguments.seeds) for below, table in tables.items()}
    recorded = [
        {"params": row.params, "accuracy_validation": row.value.accuracy, "ratio": row.value.ratio, "solver": row.solver}
        for row in next(iter(tables.values())).rows
    ]
    write_result("explore-replay", {"kind": "measured", "seeds": arguments.seeds, "points_below": found, "table": recorded})
    for below, one in found.items():
        for row in one["rows"]:
            sys.stdout.write(f"{below} points below, {one['rows_above']} rows above: {row}\n")


if __name__ == "__main__":
    main()
