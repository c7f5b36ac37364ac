"""How fast are convolutions over what an input keeps? Layers of VGG16 inside a chain, beside dense runtimes.

A layer's time is the difference of two chains that differ by three such layers, divided by three, so that what a
network pays once (layout of its input, calls) cancels, and attention, top-k and lists of each layer count. All
chains of a layer are timed in one interleaved run; weights of other layers push a layer's own out of the caches,
as they do in a network.

    python benchmarks/sparse_kernels.py --threads 1 --layers 64x32
"""

import argparse
import math
import sys
from typing import Any

import numpy as np
import torch
from result_files import begun_result, write_result
from torch import nn

from edgewise.kernels import CompiledChain, Program, Step, variants
from edgewise.kernels.compiling import sources_digest
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.session import clock_s
from edgewise.measure.settings import RuntimeSettings

LAYERS = ((64, 32), (128, 16), (256, 8), (512, 4), (512, 2))
COUNTED = ("64x32", "128x16", "256x8", "512x4")
KEEPS = {"1.0": (1.0, 1.0), "0.5 channels": (0.5, 1.0), "0.2 channels": (0.2, 1.0), "0.5 positions": (1.0, 0.5), "both 0.5": (0.5, 0.5)}
WANTED = {"0.5 channels": 1.8, "0.2 channels": 3.5, "0.5 positions": 1.7, "both 0.5": 3.2, "1.0": 0.95}
RUNTIMES = ("openvino-cpu", "onnxruntime-cpu", "torch-compile-cpu")
LONG, SHORT = 4, 1


class ChainSession:
    """A chain of equal gated convolutions over the kernels."""

    def __init__(self, channels: int, side: int, *, count: int, keep: tuple[float, float], threads: int) -> None:
        rng = np.random.default_rng(0)
        kept = (math.ceil(keep[0] * channels), math.ceil(keep[1] * side * side))
        steps = [_conv(0, channels, kept=(channels, side * side))]
        steps += [_conv(place + 1, channels, kept=kept) for place in range(count)]
        scale = math.sqrt(2 / (9 * channels))
        weights = [(rng.standard_normal((channels, channels, 3, 3)) * scale).astype(np.float32) for _ in steps]
        program = Program(channels=channels, height=side, width=side, steps=tuple(steps))
        self.chain = CompiledChain(program, weights, [np.zeros(channels, np.float32)] * len(steps))
        self.chain.tune(batch=1, threads=threads)
        self._maps = rng.random((1, channels, side, side), dtype=np.float32)
        self._out = np.empty_like(self._maps)
        self._threads = threads

    def run(self) -> None:
        """One inference."""
        self.chain.run(self._maps, threads=self._threads, out=self._out)

    def time_once_s(self) -> float:
        """Its seconds."""
        return clock_s(self.run)

    def close(self) -> None:
        """Nothing to do."""


def _conv(source: int, channels: int, *, kept: tuple[int, int]) -> Step:
    return Step(source=source, out_channels=channels, kernel=(3, 3), padding=(1, 1), relu=1, kept_channels=kept[0], kept_positions=kept[1])


def dense_module(channels: int, *, count: int) -> nn.Module:
    """As many convolutions in PyTorch."""
    generator = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(count + 1):
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            conv.weight.normal_(0, math.sqrt(2 / (9 * channels)), generator=generator)
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers).eval()


def compare(channels: int, side: int, *, threads: int, seconds: float) -> dict[str, Any]:
    """One layer in all ways."""
    image = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(1))
    sessions: dict[tuple[str, int], Any] = {}
    for device in RUNTIMES:
        for count in (LONG, SHORT):
            runtime = open_runtime(RuntimeSettings(device=device, threads=threads))
            sessions[device, count] = runtime.load_module(dense_module(channels, count=count), (image,))
    for title, keep in KEEPS.items():
        for count in (LONG, SHORT):
            sessions[title, count] = ChainSession(channels, side, count=count, keep=keep, threads=threads)
    schedule = Schedule(warmup=5, repeats=30, min_seconds=seconds, max_seconds=seconds)
    samples = dict(zip(sessions, measure_interleaved(list(sessions.values()), schedule), strict=True))
    rows = {}
    for title in (*RUNTIMES, *KEEPS):
        long, short = samples[title, LONG], samples[title, SHORT]
        rows[title] = {
            "min_s": (long.min_s - short.min_s) / (LONG - SHORT),
            "latency_s": (long.latency_s - short.latency_s) / (LONG - SHORT),
            "n": long.n,
        }
        if title in KEEPS:
            rows[title]["paths"] = sorted(set(sessions[title, LONG].chain.paths[1:]))
    fastest = min(RUNTIMES, key=lambda device: rows[device]["min_s"])
    for title in KEEPS:
        rows[title]["speedup"] = rows[fastest]["min_s"] / rows[title]["min_s"]
        rows[title]["speedup_median"] = rows[fastest]["latency_s"] / rows[title]["latency_s"]
    return {"fastest_dense": fastest, "rows": rows}


def summary(layers: dict[str, Any]) -> dict[str, Any]:
    """Geometric means over the layers that count, beside what was asked."""
    counted = [layers[name] for name in COUNTED if name in layers]
    return {
        title: {
            "speedup": math.exp(sum(math.log(layer["rows"][title]["speedup"]) for layer in counted) / len(counted)),
            "speedup_median": math.exp(sum(math.log(layer["rows"][title]["speedup_median"]) for layer in counted) / len(counted)),
            "asked": WANTED[title],
            "layers": len(counted),
        }
        for title in KEEPS
        if counted
    }


def main() -> None:
    """Runs the benchmark and writes its result file, layer by layer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", default=",".join(f"{channels}x{side}" for channels, side in LAYERS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing for each chain")
    arguments = parser.parse_args()
    found = begun_result("sparse-kernels", sources=sources_digest()).get("threads", {})
    mine = found.setdefault(str(arguments.threads), {"layers": {}})
    for name in arguments.layers.split(","):
        channels, side = map(int, name.split("x"))
        mine["layers"][name] = compare(channels, side, threads=arguments.threads, seconds=arguments.seconds)
        mine["geometric_means"] = summary(mine["layers"])
        write_result(
            "sparse-kernels",
            {"kind": "measured", "sources": sources_digest(), "variant": variants()[0], "wanted": WANTED, "threads": found},
        )
        for title, row in mine["layers"][name]["rows"].items():
            sys.stdout.write(f"{name} {title}: {row['min_s'] * 1e6:.0f} us, {row.get('speedup', 0):.2f}x\n")
        sys.stdout.flush()
    sys.stdout.write(f"{mine['geometric_means']}\n")


if __name__ == "__main__":
    main()
