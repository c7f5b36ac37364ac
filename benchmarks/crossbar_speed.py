"""How long the crossbar model itself takes: pricing recorded masks, and noisy inference beside plain PyTorch.

python benchmarks/crossbar_speed.py --threads 2
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from result_files import write_result

from edgewise.cost.chip import ChipSettings, load_chip, price_network
from edgewise.cost.chip.masks import draw_masks
from edgewise.crossbar import AnalogSettings, CellNoise, deploy
from edgewise.dynamic import place_gates
from edgewise.recipes.runs import load_model
from edgewise.trace import trace

N_IMAGES, BATCH, REPEATS = 1000, 32, 3


def seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The fastest of some repeats after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        work()
        found.append(time.perf_counter() - start_s)
    return min(found)


def main() -> None:
    """Runs the benchmark and writes its result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures: dict[str, Any] = {"threads": arguments.threads, "batch": BATCH, "mask_images": N_IMAGES}
    chip, images = load_chip("isaac"), torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name in ("vgg16", "resnet56"):
        loaded = load_model(name)
        net = trace(loaded.model, loaded.inputs(), name=name, verify=False).net
        plan = place_gates(net, channel_ratios=(0.5,), spatial_ratios=(0.5,))
        masks = draw_masks(plan, n_images=N_IMAGES, seed=0)
        start_s = time.perf_counter()
        price_network(net, chip, ChipSettings(), plan=plan, masks=masks)
        row: dict[str, Any] = {"price_s": time.perf_counter() - start_s}
        deployed = deploy(loaded.model, AnalogSettings.of_chip(chip, noise=CellNoise(programming=0.02)), [(images,)])
        deployed.program(0, 0)
        with torch.no_grad():
            row["plain_s"] = seconds(lambda model=loaded.model: model(images))
            row["folded_s"] = seconds(lambda model=deployed.model: model(images))
        row["folded_over_plain"] = row["folded_s"] / row["plain_s"]
        figures[name] = row
        sys.stdout.write(f"{name}: {row}\n")
    write_result("crossbar-speed", figures)


if __name__ == "__main__":
    main()
