"""How long the crossbar model itself takes: pricing recorded masks, and noisy inference beside plain PyTorch.

    python benchmarks/crossbar_speed.py --threads 2 --shared ../shared

Masks are recorded from 1,000 test images of CIFAR-10 with the weights and data in the folder ``shared``.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from result_files import write_result

from edgewise.cost.chip import ChipSettings, load_chip, price_network
from edgewise.crossbar import AnalogSettings, CellNoise, deploy
from edgewise.dynamic import place_gates
from edgewise.dynamic.gating import record_masks
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.train.data import DataSpec, open_data

N_IMAGES, BATCH, REPEATS = 1000, 32, 5
FLOORS = {"price_s": 30.0, "folded_over_plain": 20.0}
"""What issue 6 asks for at most, written before anything is timed."""


def interleaved(works: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, dict[str, float]]:
    """Minimum and median of each work's repeats, which take turns, after one of each that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            start_s = time.perf_counter()
            work()
            if repeat:
                found[name].append(time.perf_counter() - start_s)
    return {name: {"min_s": min(times), "median_s": statistics.median(times)} for name, times in found.items()}


def main() -> None:
    """Runs the benchmark and writes its result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures: dict[str, Any] = {"threads": arguments.threads, "batch": BATCH, "mask_images": N_IMAGES, "at_most": FLOORS}
    chip, images = load_chip("isaac"), torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    data = open_data(DataSpec(text=f"imagefolder:{arguments.shared / 'data' / 'cifar10-jpeg.zip'}"))
    for name in ("vgg16", "resnet56"):
        loaded = load_model(name, weights=arguments.shared / "models" / f"{name}.safetensors")
        net = trace(loaded.model, loaded.inputs(), name=name, verify=False).net
        plan = place_gates(net, channel_ratios=(0.5,), spatial_ratios=(0.5,))
        start_s = time.perf_counter()
        masks = record_masks(loaded.model, plan, replace(data.test.first(N_IMAGES), batch_size=50))
        row: dict[str, Any] = {"record_s": time.perf_counter() - start_s}
        start_s = time.perf_counter()
        price_network(net, chip, ChipSettings(), plan=plan, masks=masks)
        row["price_s"] = time.perf_counter() - start_s
        deployed = deploy(loaded.model, AnalogSettings.of_chip(chip, noise=CellNoise(programming=0.02)), [(images,)])
        deployed.program(0, 0)
        with torch.no_grad():
            works = {"plain": lambda model=loaded.model: model(images), "folded": lambda model=deployed.model: model(images)}
            row.update(interleaved(works))
        row["folded_over_plain"] = row["folded"]["min_s"] / row["plain"]["min_s"]
        row["holds"] = {limit: row[limit] <= most for limit, most in FLOORS.items()}
        figures[name] = row
        sys.stdout.write(f"{name}: {row}\n")
    write_result("crossbar-speed", figures)


if __name__ == "__main__":
    main()
