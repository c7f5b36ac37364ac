"""Rankings to compare attention with: by the weights alone, and by what the reader's output really loses."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise._core.errors import UsageError
from edgewise.dynamic.attention import top_k_mask
from edgewise.ir.gates import GatePlan

_MOST_VALUES = 1 << 26
"""Values that the oracle holds at once: 256 MB of single precision."""


def static_channels(model: nn.Module, plan: GatePlan) -> dict[str, Bool[Tensor, " c"]]:
    """Channels that static filter pruning keeps: those whose filters have the largest L1 norm, whatever the input.

    Args:
        model: The network.
        plan: Gates and their ratios; each map must be written by a convolution.

    Returns:
        A mask by consumer (Li et al. 2017, section 3.1).

    Raises:
        UsageError: A map is a sum, which no single filter writes, or positions are to be pruned.
    """
    modules, masks = dict(model.named_modules()), {}
    for gate in plan.gates:
        producer = modules.get(gate.producer)
        if not isinstance(producer, nn.Conv2d):
            raise UsageError(f"static ranking needs maps that a convolution writes, {gate.producer!r} is none")
        if gate.spatial_ratio:
            raise UsageError(f"static ranking is for channels alone, got a spatial ratio of {gate.spatial_ratio:g}")
        norms = producer.weight.detach().float().abs().sum((1, 2, 3))
        masks[gate.consumer] = top_k_mask(norms[None], gate.kept_channels)[0]
    return masks


def oracle_scores(
    maps: Float[Tensor, "b c h w"], reader: nn.Conv2d, *, positions: bool = True
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b h w"]]:
    """How much the reader's output changes (squared, summed) when one channel, or one position, is removed alone.

    Exact for a single removal; removals together may partly cancel, so that this is an upper guide, no optimum.

    Args:
        maps: What the convolution reads.
        reader: A convolution without groups and with zero padding.
        positions: Whether positions are to be scored too; zeros otherwise.

    Raises:
        UsageError: Another padding.
    """
    _sides(reader)
    maps, weight = maps.float(), reader.weight.detach().float()
    step = _images_at_once(maps, weight)
    channels = torch.cat([_channel_losses(maps[start : start + step], weight, reader) for start in range(0, len(maps), step)])
    losses = _position_losses(maps, weight, reader) if positions else torch.zeros_like(maps[:, 0])
    return channels, losses


def _images_at_once(maps: Tensor, weight: Tensor) -> int:
    return max(1, _MOST_VALUES // (weight.shape[0] * maps[0].numel()))


def _channel_losses(maps: Tensor, weight: Tensor, reader: nn.Conv2d) -> Tensor:
    out_channels, n_channels = weight.shape[:2]
    apart = weight.transpose(0, 1).reshape(n_channels * out_channels, 1, *weight.shape[2:])
    alone = F.conv2d(maps, apart, None, reader.stride, reader.padding, reader.dilation, groups=n_channels)
    return alone.square().reshape(len(maps), n_channels, -1).sum(2)


def _position_losses(maps: Tensor, weight: Tensor, reader: nn.Conv2d) -> Tensor:
    # What position p gives to tap t of the kernel goes to one output, if that lies inside and on the stride's grid.
    out_channels, n_channels, *kernel = weight.shape
    taps = weight.permute(2, 3, 0, 1).reshape(-1, n_channels, 1, 1)
    given = F.conv2d(maps, taps).square().reshape(len(maps), -1, out_channels, *maps.shape[2:]).sum(2)
    # The transposed convolution of ones marks, for every tap, the positions whose output exists.
    padding = _sides(reader)
    ones = torch.eye(len(taps) // out_channels, device=maps.device).reshape(-1, 1, *kernel)
    sizes = F.conv2d(maps[:1, :1], weight[:1, :1], None, reader.stride, reader.padding, reader.dilation).shape[2:]
    marks = maps.new_ones(1, 1, *sizes)
    extra = [
        maps.shape[2 + axis]
        - ((sizes[axis] - 1) * reader.stride[axis] - 2 * padding[axis] + reader.dilation[axis] * (kernel[axis] - 1) + 1)
        for axis in range(2)
    ]
    inside = torch.cat(
        [
            F.conv_transpose2d(
                marks, one[None], stride=reader.stride, padding=padding, dilation=reader.dilation, output_padding=tuple(extra)
            )
            for one in ones
        ],
        dim=1,
    )
    return (given * inside).sum(1)


def _sides(reader: nn.Conv2d) -> tuple[int, int]:
    if isinstance(reader.padding, str) or reader.padding_mode != "zeros":
        raise UsageError(f"the oracle needs a convolution padded by a number of zeros, got {reader.padding!r} ({reader.padding_mode})")
    return reader.padding[0], reader.padding[1]
