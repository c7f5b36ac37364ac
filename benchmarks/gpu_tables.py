"""The tutorial's GPU tables and figures, quoted beside simulated, and the time it takes to price a network.

Writes ``results/gpu-tables.json`` and the pictures of Figures 6 and 7 in ``docs/``.

    python benchmarks/gpu_tables.py
"""

import argparse
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from result_files import write_result

from edgewise.cost.gpu.library import open_gpu
from edgewise.cost.gpu.network import prepare
from edgewise.recipes.requests import ModelRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.tables import draw_pictures, make_tables
from edgewise.recipes.tables.gpu_fig6 import LAYER
from edgewise.trace import trace

TABLES = ("gpu-2", "gpu-4", "gpu-5", "gpu-fig6", "gpu-fig7", "gpu-fig8")
_DOCS = Path(__file__).parent.parent / "docs"
_REPEATS = 20


def pricing_seconds() -> dict[str, float]:
    """Median seconds to price ResNet-50 at one width vector, and a layer at 512 widths."""
    loaded = load_request(ModelRequest(model="torchvision:resnet50"))
    net = trace(loaded.model, loaded.inputs(), name="resnet50").net
    gpu = open_gpu("titan-v", batch=32)
    ready = prepare(net, gpu)
    networks, stairs = [], []
    for turn in range(_REPEATS):
        widths = {tie.name: max(1, tie.width - turn) for tie in net.ties if tie.free}
        start_s = time.perf_counter()
        ready.latency_s(widths)
        networks.append(time.perf_counter() - start_s)
        start_s = time.perf_counter()
        gpu.staircase(LAYER, np.arange(1.0, 513.0))
        stairs.append(time.perf_counter() - start_s)
    return {"resnet50_s": statistics.median(networks), "staircase_512_s": statistics.median(stairs)}


def main() -> int:
    """Makes, draws and writes."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    speed = pricing_seconds()
    rows = make_tables(TABLES)
    draw_pictures(_DOCS, TABLES)
    print(write_result("gpu-tables", {"pricing": speed, "rows": [asdict(row) for row in rows]}))
    print(speed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
