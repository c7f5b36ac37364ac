"""Random chains, and what they must give."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from edgewise.kernels import CompiledChain, Program, Step

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A chain with its weights and its input; ``gated`` is the number of the step whose source may be pruned."""

    program: Program
    weights: list[Array]
    biases: list[Array]
    maps: Array
    gated: int


def draw(rng: np.random.Generator, *, most_channels: int = 40, most_side: int = 12) -> Case:
    """A convolution of any shape behind a 1x1 convolution, on maps of a few images.

    There may be a residual, and another convolution that reads the pruned map whole and adds up with the first.
    """
    inside, channels, out = (int(rng.integers(1, most)) for most in (12, most_channels, most_channels))
    height, width = (int(rng.integers(1, most_side)) for _ in range(2))
    kernel, stride = int(rng.choice([1, 3, 5])), int(rng.integers(1, 3))
    padding = int(rng.integers(kernel // 2 if min(height, width) < kernel else 0, kernel))
    n = int(rng.integers(1, 4))
    if min(height, width) + 2 * padding < kernel:
        padding = kernel // 2
    sides = [(size + 2 * padding - kernel) // stride + 1 for size in (height, width)]
    pool = int(min(sides) >= 2 and rng.integers(2))
    residual = bool(rng.integers(2))
    kept_channels = channels if rng.integers(3) == 0 else int(rng.integers(1, channels + 1))
    kept_positions = height * width if rng.integers(3) == 0 else int(rng.integers(1, height * width + 1))
    kernels, strides, paddings = (kernel, kernel), (stride, stride), (padding, padding)
    whole = height * width
    steps = (
        [Step(source=0, out_channels=out, kept_channels=inside, kept_positions=whole, kernel=kernels, stride=strides, padding=paddings)]
        if residual
        else []
    )
    steps.append(Step(source=0, out_channels=channels, relu=1, kept_channels=inside, kept_positions=whole))
    steps.append(
        Step(
            source=len(steps),
            residual=1 if residual else -1,
            out_channels=out,
            relu=int(rng.integers(2)),
            pool=pool,
            kept_channels=kept_channels,
            kept_positions=kept_positions,
            path=int(rng.integers(0, 4)),
            kernel=kernels,
            stride=strides,
            padding=paddings,
        )
    )
    gated = len(steps) - 1
    if not pool and rng.integers(2):
        steps.append(replace(steps[gated], residual=gated + 1, kept_channels=channels, kept_positions=whole, path=0))
    program = Program(channels=inside, height=height, width=width, steps=tuple(steps))
    shapes = program.shapes()
    weights = [rng.standard_normal((step.out_channels, shapes[step.source][0], *step.kernel), dtype=np.float32) for step in steps]
    biases = [rng.standard_normal(step.out_channels, dtype=np.float32) for step in steps]
    maps = rng.standard_normal((n, inside, height, width), dtype=np.float32)
    return Case(program=program, weights=weights, biases=biases, maps=maps, gated=gated)


def expected(case: Case, kept: dict[int, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]) -> Array:
    """The chain by PyTorch's dense convolutions over maps with zeros where the masks say so."""
    values = [torch.from_numpy(case.maps)]
    for number, (step, weight, bias) in enumerate(zip(case.program.steps, case.weights, case.biases, strict=True)):
        source = values[step.source]
        if number in kept:
            channels, positions = (torch.from_numpy(mask) for mask in kept[number])
            source = source * channels[:, :, None, None] * positions[:, None]
        value = F.conv2d(source, torch.from_numpy(weight), torch.from_numpy(bias), step.stride, step.padding, step.dilation)
        value = value if step.residual < 0 else value + values[step.residual]
        value = F.relu(value) if step.relu else value
        values.append(F.max_pool2d(value, 2) if step.pool else value)
    return values[-1].numpy()


def check(case: Case, *, variant: str, threads: int, tolerance: float = 1e-5) -> float:
    """Runs a chain; its counts must be exact, its choice the best, its output that of the masked dense convolutions.

    Returns:
        The largest difference as a share of the outputs' scale.
    """
    chain = CompiledChain(case.program, case.weights, case.biases, variant=variant)
    if case.program.steps[case.gated].path == 0:
        chain.tune(batch=len(case.maps), threads=threads, repeats=1)
    found, kept = chain.run_masks(case.maps, threads=threads)
    if case.gated in kept:
        _check_choice(case, kept[case.gated])
    wanted = expected(case, kept)
    scale = max(1.0, float(np.abs(wanted).max()))
    difference = float(np.abs(found - wanted).max()) / scale
    assert difference <= tolerance, f"difference {difference} of {variant}, {threads} threads: {case.program}"
    return difference


def _check_choice(case: Case, kept: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]) -> None:
    step = case.program.steps[case.gated]
    before = step.source - 1
    maps = F.relu(F.conv2d(torch.from_numpy(case.maps), torch.from_numpy(case.weights[before]), torch.from_numpy(case.biases[before])))
    for mask, scores, count in (
        (kept[0], maps.mean((2, 3)).numpy(), step.kept_channels),
        (kept[1].reshape(len(maps), -1), maps.mean(1).flatten(1).numpy(), step.kept_positions),
    ):
        assert (mask.sum(1) == count).all()
        for row, values in zip(mask, scores, strict=True):
            if not row.all():
                assert values[row].min() >= values[~row].max() - 1e-4 * max(1.0, math.fabs(values.max()))
