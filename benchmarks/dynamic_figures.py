"""What rankings and blocks of VGG16 on CIFAR-10 lose when maps are pruned without training (the tutorial's Figures 2 and 4).

    python benchmarks/dynamic_figures.py rankings --shared ../shared
    python benchmarks/dynamic_figures.py blocks --shared ../shared

Every point is written as it comes; a killed call goes on where it was. ``rankings`` judges on test images, ``blocks`` on
validation images, since ratios are chosen by it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from result_files import figures_of, write_result

from edgewise.dynamic import GateRules, gated, place_gates
from edgewise.dynamic.sensitivity import Sensitivity, Side, SweepPoint, sweep_blocks
from edgewise.ir.gates import GatePlan
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
N_RANDOM = 3
TOLERANCES = (0.01, 0.05)


def main() -> int:
    """Does one of the two sweeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("rankings", "blocks"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--images", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    data = open_data(DataSpec(text=f"imagefolder:{arguments.shared / 'data' / 'cifar10-jpeg.zip'}", batch_size=100))
    model = load_model("vgg16", weights=arguments.shared / "models" / "vgg16.safetensors").model
    plan = place_gates(trace(model, (torch.randn(1, 3, 32, 32),), name="vgg16", verify=False).net)
    known = figures_of("dynamic-figures", "images")
    (rankings if arguments.what == "rankings" else blocks)(model, plan, data, known=known, n_images=arguments.images)
    return 0


def rankings(model: torch.nn.Module, plan: GatePlan, data: Dataset, *, known: dict[str, Any], n_images: int) -> None:
    """Accuracy at one ratio of channels for all blocks, under each ranking."""
    test = list(data.test.first(n_images))
    rows = known.setdefault("rankings", [])
    jobs = [(name, ratio, 0) for ratio in (0.5, 0.3, 0.7, 0.2, 0.4, 0.6, 0.8, 0.1, 0.9) for name in ("attention", "lowest", "static")]
    jobs += [("random", ratio, seed) for ratio in RATIOS for seed in range(N_RANDOM)]
    jobs += [("oracle", ratio, 0) for ratio in (0.3, 0.5, 0.7)]
    if "dense_test" not in known:
        known["dense_test"] = accuracy(model, test)
    for name, ratio, seed in jobs:
        if any((row["ranking"], row["ratio"], row["seed"]) == (name, ratio, seed) for row in rows):
            continue
        few = list(data.test.first(n_images // 5)) if name == "oracle" else test
        pruned = plan.with_ratios([ratio] * plan.n_blocks, [0.0] * plan.n_blocks)
        with gated(model, pruned, GateRules(ranking=name), seed=seed):
            found = accuracy(model, few)
        rows.append({"ranking": name, "ratio": ratio, "seed": seed, "accuracy": found, "images": sum(len(batch[1]) for batch in few)})
        print(rows[-1], flush=True)
        write_result("dynamic-figures", known)


def blocks(model: torch.nn.Module, plan: GatePlan, data: Dataset, *, known: dict[str, Any], n_images: int) -> None:
    """Accuracy with one block pruned: channels by attention, positions by attention, channels by their filters' L1 norm."""
    images = list(data.validation.first(n_images))
    points: list[dict[str, Any]] = known.setdefault("sweep", {}).setdefault("points", [])
    for ratio in (0.5, 0.9, 0.7, 0.3, 0.8, 0.6, 0.2, 0.4, 0.1):
        for side in ("channels", "static", "positions"):
            if any((point["ratio"], point["side"]) == (ratio, side) for point in points):
                continue
            found = sweep_blocks(model, plan, images, ratios=(ratio,), sides=(side,))
            points += found.to_json()["points"]
            known["sweep"] |= {"dense": found.dense, "images": found.n_images, "n_blocks": found.n_blocks}
            known["redundancy"] = redundancy(known["sweep"])
            print(ratio, side, [round(point.accuracy, 4) for point in found.points], flush=True)
            write_result("dynamic-figures", known)


def redundancy(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """The largest ratio of each block that loses at most a tolerance, over the ratios swept on all sides so far."""
    sides: tuple[Side, ...] = ("channels", "static", "positions")
    swept = set.intersection(*({point["ratio"] for point in sweep["points"] if point["side"] == side} for side in sides))
    points = tuple(SweepPoint(**point) for point in sweep["points"] if point["ratio"] in swept)
    found = Sensitivity(points=points, dense=sweep["dense"], n_images=sweep["images"], n_blocks=sweep["n_blocks"])
    return [
        {
            "tolerance": tolerance,
            "side": side,
            "swept": sorted(swept),
            "largest": [found.largest_ratio(block, side, tolerance=tolerance) for block in range(found.n_blocks)],
        }
        for tolerance in TOLERANCES
        for side in sides
    ]


if __name__ == "__main__":
    sys.exit(main())
