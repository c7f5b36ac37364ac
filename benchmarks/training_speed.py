"""What makes training and judging faster: depthwise convolutions in fp32 beside bf16, kept memory, joined masks, channels last.

Training steps of MobileNetV2 0.5x for images of 32 pixels and of the largest network of the space ``cifar``: in fp32, in bf16
as torch's autocast has it, with depthwise convolutions in fp32 (``mixed``), and with freed memory kept as well (``kept``, as edgewise
trains); steps of the supernet of ``cifar`` without and with that. ResNet-56 judged with its channels first, last, and last with
kept memory (``kept``, as edgewise judges). And maps multiplied by masks of positions and channels, forward and backward: one after
the other (``apart``), and as edgewise does it (``joined``). Interleaved, each after an untimed run, minima and medians. With
``--beside``, on one thread, while another process trains on another processor: both then want pages of the system.

    python benchmarks/training_speed.py --threads 2
    taskset -c 1 python benchmarks/training_speed.py --threads 1 --beside 0
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from result_files import read_result, write_result
from search_accuracy import reference_space
from torch.nn import functional

from edgewise.dynamic.gating import apply_masks
from edgewise.ir.gates import Gate
from edgewise.recipes.runs import load_model
from edgewise.recipes.searching.aiming import network_of
from edgewise.singlepath.gates import Steering
from edgewise.singlepath.supernet import Supernet
from edgewise.space import Space, load_space
from edgewise.train.layout import channels_last
from edgewise.train.memory import kept_memory
from edgewise.train.precision import mixed_precision

_QUESTION = "training-speed"
_CPU = torch.device("cpu")
_WAYS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "fp32": nullcontext,
    "bf16": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "mixed": partial(mixed_precision, _CPU, bf16=True),
    "kept": partial(mixed_precision, _CPU, bf16=True),
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


def searching_step(way: str, batch: int) -> Callable[[], None]:
    """A step of the supernet of ``cifar`` with decisions drawn."""
    torch.manual_seed(0)
    net = Supernet(load_space("cifar")).train().to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    classes = torch.randint(0, 10, (batch,))
    steering = Steering(mode="drawn", values=torch.rand(net.thresholds.numel()))

    def step() -> None:
        with _WAYS[way]():
            scores, _ = net(images, steering)
        net.zero_grad()
        functional.cross_entropy(scores.float(), classes).backward()

    return step


def judging(way: str, batch: int) -> Callable[[], None]:
    """ResNet-56 in use, on one batch."""
    torch.manual_seed(0)
    model, images = load_model("resnet56").model.eval(), torch.randn(batch, 3, 32, 32)

    def step() -> None:
        with torch.no_grad():
            model(images if way == "first" else channels_last(images))

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


def interleaved(steps: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each: the least and the median."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            with kept_memory() if name == "kept" else nullcontext():
                step()
                start_s = time.perf_counter()
                step()
                found[name].append(time.perf_counter() - start_s)
    return {
        "seconds": {name: min(values) for name, values in found.items()},
        "median_s": {name: statistics.median(values) for name, values in found.items()},
    }


@contextmanager
def other_training(processor: int | None) -> Iterator[None]:
    """Another process that trains meanwhile, on a processor; none for none."""
    if processor is None:
        yield
        return
    words = ["taskset", "-c", str(processor), sys.executable, str(Path(__file__)), "--threads", "1", "--endless"]
    process = subprocess.Popen(words)
    try:
        time.sleep(15)
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Times everything with so many threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--beside", type=int, metavar="PROCESSOR", help="let another process train on that processor")
    parser.add_argument("--endless", action="store_true", help="train until killed, and write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    step = training_step(reference_space(), "mixed", arguments.batch)
    while arguments.endless:
        step()
    with other_training(arguments.beside):
        made = timed(arguments.threads, arguments.batch, arguments.rounds)
    setting = {"threads": arguments.threads, "beside": arguments.beside is not None}
    before = [row for row in read_result(_QUESTION).get("rows", []) if {name: row.get(name) for name in setting} != setting]
    rows = [*before, *({**row, **setting, "batch": arguments.batch} for row in made)]
    for row in rows:
        sys.stdout.write(f"{row}\n")
    write_result(_QUESTION, {"rows": rows})


def timed(threads: int, batch: int, rounds: int) -> list[dict[str, Any]]:
    """A row for everything that is timed."""
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = [
        {"step_of": space.name} | interleaved({way: training_step(space, way, batch) for way in _WAYS}, rounds)
        for space in (reference_space(), load_space("cifar"))
    ]
    ways = {way: searching_step(way, batch) for way in ("mixed", "kept")}
    rows.append({"step_of": "supernet of cifar"} | interleaved(ways, rounds))
    ways = {way: judging(way, batch) for way in ("first", "last", "kept")}
    rows.append({"judging_of": "resnet56"} | interleaved(ways, rounds))
    for channels, side in _MAPS:
        ways = {way: masked_maps(channels, side, way, batch) for way in ("apart", "joined")}
        rows.append({"masks_of": [channels, side, side]} | interleaved(ways, 10 * rounds))
    return rows


if __name__ == "__main__":
    main()
