"""A chain computed by PyTorch's dense convolutions over masked maps: slow, and what the kernels must equal."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from edgewise.dynamic.attention import gate_masks
from edgewise.ir.gates import Gate
from edgewise.kernels import SHORTCUT, Program, Step


def run_reference(
    program: Program, maps: Float[Tensor, "n c h w"], weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> Float[Tensor, "n k p q"]:
    """The output of a chain in NCHW, whatever its layout.

    Args:
        program: What to compute.
        maps: The input.
        weights: Of every convolution.
        biases: Of every convolution.
    """
    values = [maps.float()]
    parameters = iter(zip(weights, biases, strict=True))
    for number, step in enumerate(program.steps):
        source = values[step.source]
        if step.kind == SHORTCUT:
            values.append(_shortcut(step, source))
            continue
        if program.gated(number):
            source = _masked(step, source)
        weight, bias = next(parameters)
        value = F.conv2d(source, weight, bias, step.stride, step.padding, step.dilation)
        if step.residual >= 0:
            value = value + values[step.residual]
        if step.relu:
            value = F.relu(value)
        values.append(F.max_pool2d(value, 2) if step.pool else value)
    return values[-1]


def _shortcut(step: Step, source: Tensor) -> Tensor:
    kept = source[:, :, :: step.stride[0], :: step.stride[1]]
    return F.pad(kept, (0, 0, 0, 0, step.before, step.out_channels - step.before - source.shape[1]))


def _masked(step: Step, source: Tensor) -> Tensor:
    """The map with what its gate prunes set to zero, also where it is infinite or not a number."""
    _, channels, height, width = source.shape
    gate = Gate(
        consumer="",
        producer="",
        block=0,
        channels=channels,
        hw=(height, width),
        channel_ratio=_ratio(step.kept_channels, channels),
        spatial_ratio=_ratio(step.kept_positions, height * width),
    )
    kept_channels, kept_positions = gate_masks(source, gate)
    return torch.where(kept_channels[:, :, None, None] & kept_positions[:, None], source, torch.zeros_like(source))


def _ratio(kept: int, count: int) -> float:
    return (count - kept) / count
