"""Where the time of a pruned network goes on a GPU that is not here, and what a width costs there.

Run ``python examples/04_gpu_not_here.py``. Everything is simulated: no GPU is needed.
"""

import argparse

import numpy as np

from edgewise._core.units import format_seconds
from edgewise.cost import Workload
from edgewise.cost.gpu.library import open_gpu
from edgewise.recipes.requests import DeviceRequest, ModelRequest
from edgewise.recipes.simulated.simulate import run_simulate

CONV = Workload(
    kernel="fused", op="conv2d", in_channels=64, out_channels=64, in_hw=(32, 32), out_hw=(32, 32), window=(3, 3), stride=(1, 1)
)  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    model = "resnet20" if arguments.parse_args().smoke else "vgg16-hrank"

    simulation = run_simulate(ModelRequest(model=model), DeviceRequest(device="titan-v", batch=128))
    print(f"{model}: {format_seconds(simulation.latency_s)} simulated on {simulation.device} at batch {simulation.batch}")
    for layer in sorted(simulation.layers, key=lambda one: -one.cost.latency_s)[:5]:
        cost = layer.cost
        print(f"  {layer.name:12} {format_seconds(cost.latency_s):>8}  {cost.family}, {cost.waves} waves, bound by {cost.bound_by}")

    print("a 3x3 convolution of 64 channels, by its output width:")
    widths = np.array([31.0, 32.0, 33.0, 64.0, 65.0])
    costs = open_gpu("titan-v", batch=128).staircase(CONV, widths)
    for width, seconds, blocks in zip(widths, costs.latency_s, costs.blocks, strict=True):
        print(f"  {width:3.0f} channels  {format_seconds(float(seconds)):>8}  {blocks:.0f} blocks")


if __name__ == "__main__":
    main()
