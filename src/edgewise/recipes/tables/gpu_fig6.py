"""Figure 6: utilisation and throughput along a layer's latency staircase, on Titan V."""

import numpy as np

from edgewise._core.progress import Progress
from edgewise.cost.gpu.device import GpuDevice
from edgewise.cost.gpu.library import open_gpu
from edgewise.cost.gpu.pricing import Costs
from edgewise.cost.workload import Workload
from edgewise.recipes.simulated.candidates import jumps
from edgewise.recipes.tables import Row
from edgewise.report.charts import StairsMarks
from edgewise.report.data import Staircase
from edgewise.report.picture import staircase_svg
from edgewise.widths.candidates import envelope

DEVICE, BATCH, WIDEST = "titan-v", 128, 512
LEAST_THROUGHPUT = 0.8
"""Share of the best throughput so far that a candidate must have: Eq. 4 keeps the peaks of U and T."""
LAYER = Workload(
    kernel="fused", op="conv2d", in_channels=256, out_channels=WIDEST, in_hw=(8, 8), out_hw=(8, 8), window=(3, 3), stride=(1, 1),
    padding=(1, 1), dilation=(1, 1),
)  # fmt: skip
"""A layer like VGG-16's eighth convolution, a little larger."""


def staircase() -> tuple[np.ndarray, Costs, tuple[int, ...]]:
    """All widths to 512, what each costs, and the candidates by Eq. 4."""
    gpu: GpuDevice = open_gpu(DEVICE, batch=BATCH)
    widths = np.arange(1.0, WIDEST + 1)
    costs = gpu.staircase(LAYER, widths)
    best = np.maximum.accumulate(costs.throughput_macs_per_s)
    kept = [place for place in jumps(costs.latency_s) if costs.throughput_macs_per_s[place] >= LEAST_THROUGHPUT * best[place]]
    return widths.astype(int), costs, tuple(int(widths[place]) for place in kept)


def rows(progress: Progress) -> tuple[Row, ...]:
    """The candidates, with latency, utilisation and throughput at each and one channel beyond."""
    progress.start("pricing 512 widths", 0)
    _, costs, candidates = staircase()
    note = "Eq. 4 as worked out here: right edges whose throughput is at least 0.8 of the best; its text is not published"
    made = [Row(table="gpu-fig6", row="512 widths", column="candidates", quoted=5, simulated=len(candidates), note=note)]
    for width in candidates:
        for shown in (width, width + 1) if width < WIDEST else (width,):
            at, row = shown - 1, f"{shown} channels"
            edge = "candidate" if shown == width else "one channel beyond"
            made += [
                Row(table="gpu-fig6", row=row, column="time, ms", simulated=round(float(costs.latency_s[at]) * 1e3, 5), note=edge),
                Row(table="gpu-fig6", row=row, column="utilisation U", simulated=round(float(costs.utilisation[at]), 4), note=edge),
                Row(table="gpu-fig6", row=row, column="waves", simulated=float(costs.waves[at]), note=f"{edge}, {costs.family[at]}"),
                Row(
                    table="gpu-fig6",
                    row=row,
                    column="throughput T, MACs/s",
                    simulated=float(f"{costs.throughput_macs_per_s[at]:.4g}"),
                    note=edge,
                ),
            ]
    return tuple(made)


def picture() -> str:
    """The staircase with U and T, as SVG."""
    widths, costs, candidates = staircase()
    some = np.unique(np.concatenate([widths[::4], candidates, np.minimum(np.array(candidates) + 1, WIDEST)])) - 1
    stairs = Staircase(
        name="3x3, 256 in, 8x8",
        in_width=LAYER.in_channels,
        widths=tuple(int(width) for width in widths[some]),
        latency_s=tuple(np.array(envelope(costs.latency_s.tolist()))[some].tolist()),
        utilisation=tuple(costs.utilisation[some].tolist()),
        throughput_macs_per_s=tuple(costs.throughput_macs_per_s[some].tolist()),
        candidates=candidates,
    )
    caption = f"Simulated: 3x3 convolution, 256 channels in, 8x8, batch {BATCH}, {DEVICE}. Thin: utilisation U; dashed: throughput T."
    return staircase_svg(stairs, StairsMarks(), caption=caption)
