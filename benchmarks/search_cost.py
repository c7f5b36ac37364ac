"""What a step of single-path search costs: beside the largest child of the space, and beside a supernet of paths.

    python benchmarks/search_cost.py --space cifar --batch 32 --part times
    python benchmarks/search_cost.py --space cifar --batch 32 --part memory

Time: minimum and median of interleaved steps, a floor (an empty step) first. Memory: each network's step in a process of
its own, the largest resident size less that before the step. The multi-path supernet is timed last, as it takes longest.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from result_files import read_result, write_result
from torch import nn

from edgewise.models.mobile import MobileNet
from edgewise.singlepath.multipath import MultiPathNet
from edgewise.singlepath.step_cost import step_of
from edgewise.singlepath.supernet import Supernet
from edgewise.space import counts_of, load_space

NETWORKS = ("child", "supernet", "multi-path")


def network(name: str, space_name: str) -> nn.Module:
    """One of the networks compared."""
    space = load_space(space_name)
    torch.manual_seed(0)
    if name == "child":
        return MobileNet(space, space.largest)
    return Supernet(space) if name == "supernet" else MultiPathNet(space)


def batch_of(space_name: str, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of noise."""
    space = load_space(space_name)
    images = torch.randn(size, *space.input_shape[1:]).contiguous(memory_format=torch.channels_last)
    return images, torch.arange(size) % space.n_classes


def peak_bytes() -> int:
    """The largest resident size of this process so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory(name: str, space_name: str, size: int) -> None:
    """Prints the memory that two steps take, in this process."""
    torch.set_num_threads(1)
    step = step_of(network(name, space_name), *batch_of(space_name, size))
    before = peak_bytes()
    for _ in range(2):
        step()
    print(json.dumps({"bytes": peak_bytes() - before}))


def times(space_name: str, size: int, *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of interleaved steps of every network."""
    images, target = batch_of(space_name, size)
    steps = {name: step_of(network(name, space_name), images, target) for name in NETWORKS}
    for step in steps.values():
        step()
    taken: dict[str, list[float]] = {name: [] for name in NETWORKS}
    start_s = time.perf_counter()
    for number in range(rounds):
        for name, step in steps.items():
            if name == "multi-path" and number >= max(2, rounds // 4):
                continue
            begun_s = time.perf_counter()
            step()
            taken[name].append(time.perf_counter() - begun_s)
        if time.perf_counter() - start_s > seconds and number >= 2:
            break
    return taken


def main() -> None:
    """Times all, measures the memory of each, writes the result."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--space", default="cifar")
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=12)
    arguments.add_argument("--seconds", type=float, default=40.0, help="of timing, at most")
    arguments.add_argument("--memory", choices=NETWORKS, help="only this network's memory, in this process")
    arguments.add_argument("--part", choices=("times", "memory"), default="times")
    asked = arguments.parse_args()
    if asked.memory:
        memory(asked.memory, asked.space, asked.batch)
        return
    known = {key: value for key, value in read_result("search-cost").items() if key in ("times", "memory")}
    known |= {"memory": memories(asked)} if asked.part == "memory" else {"times": timings(asked)}
    space = load_space(asked.space)
    setting = {"space": space.name, "batch": asked.batch, "threads": 1, "largest_child_macs": counts_of(space, space.largest).macs}
    write_result("search-cost", {"setting": setting, **known})


def timings(asked: argparse.Namespace) -> dict[str, Any]:
    """Interleaved steps, the floor first."""
    torch.set_num_threads(1)
    floor_s = min(_empty_s() for _ in range(1000))
    print(f"floor: {floor_s * 1e9:.0f} ns for an empty step", flush=True)
    taken = times(asked.space, asked.batch, rounds=asked.rounds, seconds=asked.seconds)
    rows: dict[str, Any] = {"floor_s": floor_s}
    for name in NETWORKS:
        rows[name] = {
            "min_s": min(taken[name]),
            "median_s": statistics.median(taken[name]),
            "steps": len(taken[name]),
            "ratio_of_minima": min(taken[name]) / min(taken["child"]),
            "ratio_of_medians": statistics.median(taken[name]) / statistics.median(taken["child"]),
        }
        print(f"{name:10} {rows[name]['min_s'] * 1e3:8.1f} ms  {rows[name]['ratio_of_minima']:.3f}x")
    return rows


def memories(asked: argparse.Namespace) -> dict[str, Any]:
    """Memory of a step of each network, in a process of its own."""
    sizes = {name: _memory_of(name, asked.space, asked.batch) for name in NETWORKS}
    rows = {
        name: {
            "peak_bytes": size,
            "ratio": size / sizes["child"],
            "params": sum(parameter.numel() for parameter in network(name, asked.space).parameters()),
        }
        for name, size in sizes.items()
    }
    for name, row in rows.items():
        print(f"{name:10} {row['peak_bytes'] / 1e6:8.1f} MB  {row['ratio']:.3f}x")
    return rows


def _empty_s() -> float:
    begun_s = time.perf_counter()
    return time.perf_counter() - begun_s


def _memory_of(name: str, space: str, size: int) -> int:
    command = [sys.executable, __file__, "--space", space, "--batch", str(size), "--memory", name]
    return int(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["bytes"])


if __name__ == "__main__":
    main()
