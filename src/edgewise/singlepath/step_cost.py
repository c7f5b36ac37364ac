"""What one step of a search costs beside one step of the largest network of its space."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.models.mobile import MobileNet
from edgewise.singlepath.gates import Steering
from edgewise.singlepath.supernet import Supernet
from edgewise.train.precision import mixed_precision, uses_bf16


def step_of(model: nn.Module, images: Tensor, target: Tensor) -> Callable[[], None]:
    """A training step: forward, backward, and plain SGD, as a call.

    Args:
        model: A supernet, or any classifier; its weights move by next to nothing.
        images: A batch, channels last.
        target: Its classes.
    """
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-8, momentum=0.9)
    bf16 = uses_bf16("auto", images.device)
    steering = None
    if isinstance(model, Supernet):
        steering = Steering(mode="drawn", values=torch.rand(model.thresholds.shape))

    def step() -> None:
        with mixed_precision(images.device, bf16=bf16):
            output = model(images) if steering is None else model(images, steering)
        scores, runtime_ms = output if isinstance(output, tuple) else (output, torch.zeros(()))
        loss = F.cross_entropy(scores.float(), target) + runtime_ms
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def step_cost_ratio(net: Supernet, images: Tensor, target: Tensor, *, repeats: int = 3) -> float:
    """Time of a search step over that of a step of the largest child: minimum of interleaved repeats of each.

    Args:
        net: A supernet; a copy of it is timed.
        images: A batch.
        target: Its classes.
        repeats: Timed steps of each after one to warm up; at least 1.
    """
    batch = images.contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        copy = Supernet(net.space, form=net.form)
        steps = [step_of(copy, batch, target), step_of(MobileNet(net.space, net.space.largest), batch, target)]
        times: list[list[float]] = [[], []]
        for _ in range(repeats + 1):
            for step, taken in zip(steps, times, strict=True):
                start_s = time.perf_counter()
                step()
                taken.append(time.perf_counter() - start_s)
    return min(times[0][1:]) / min(times[1][1:])
