"""What depthwise convolutions in fp32 save where the rest trains in bf16, and what joined masks save.

Training steps of MobileNetV2 0.5x for images of 32 pixels and of the largest network of the space ``cifar``: in fp32, in bf16
as torch's autocast has it, and as edgewise trains (``mixed``). And maps multiplied by masks of positions and channels, forward
and backward: one after the other (``apart``), and as edgewise does it (``joined``). Interleaved, minima.

    python benchmarks/training_speed.py --threads 2
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from result_files import read_result, write_result
from search_accuracy import reference_space
from torch.nn import functional

from edgewise.dynamic.gating import apply_masks
from edgewise.ir.gates import Gate
from edgewise.recipes.searching.aiming import network_of
from edgewise.space import Space, load_space
from edgewise.train.precision import mixed_precision

_QUESTION = "training-speed"
_CPU = torch.device("cpu")
_WAYS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "fp32": nullcontext,
    "bf16": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "mixed": partial(mixed_precision, _CPU, bf16=True),
}
_MAPS = ((16, 32), (32, 16), (64, 8), (64, 32))
"""Channels, and the side of the square of positions: those of CIFAR's ResNets, and the first of VGG16."""


def training_step(space: Space, way: str, batch: int) -> Callable[[], None]:
    """A step of the space's largest network."""
    torch.manual_seed(0)
    model = network_of(space, space.largest).model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-8, momentum=0.9)
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    classes = torch.randint(0, 10, (batch,))

    def step() -> None:
        with _WAYS[way]():
            loss = functional.cross_entropy(model(images).float(), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def masked_maps(channels: int, side: int, way: str, batch: int) -> Callable[[], None]:
    """Maps in bf16, multiplied by both masks, and their gradient."""
    torch.manual_seed(0)
    maps = torch.randn(batch, channels, side, side).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    kept, places = torch.rand(batch, channels) > 0.2, torch.rand(batch, side, side) > 0.2
    gate = Gate(consumer="2", producer="0", block=0, channels=channels, hw=(side, side), channel_ratio=0.2, spatial_ratio=0.2)
    gradient = torch.ones_like(maps)

    def step() -> None:
        masked = apply_masks(maps, gate, kept, places) if way == "joined" else maps * places[:, None] * kept[:, :, None, None]
        torch.autograd.grad(masked, maps, gradient)

    return step


def interleaved(steps: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Least seconds of each."""
    least = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds + 1):
        for name, step in steps.items():
            start_s = time.perf_counter()
            step()
            least[name] = min(least[name], time.perf_counter() - start_s)
    return least


def main() -> None:
    """Times everything with so many threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batch, rounds = arguments.batch, arguments.rounds
    rows: list[dict[str, Any]] = [row for row in read_result(_QUESTION).get("rows", []) if row["threads"] != arguments.threads]
    for space in (reference_space(), load_space("cifar")):
        seconds = interleaved({way: training_step(space, way, batch) for way in _WAYS}, rounds)
        rows.append({"step_of": space.name, "threads": arguments.threads, "batch": batch, "seconds": seconds})
    for channels, side in _MAPS:
        seconds = interleaved({way: masked_maps(channels, side, way, batch) for way in ("apart", "joined")}, 10 * rounds)
        rows.append({"masks_of": [channels, side, side], "threads": arguments.threads, "batch": batch, "seconds": seconds})
    for row in rows:
        sys.stdout.write(f"{row}\n")
    write_result(_QUESTION, {"rows": rows})


if __name__ == "__main__":
    main()
