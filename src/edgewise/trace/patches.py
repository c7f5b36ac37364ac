"""What a convolution reads around a position: its channels at every tap of the kernel."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

MOST_VALUES = 2304
"""Channels times taps of one patch: 256 channels of a 3x3 kernel. Solving for as many weights takes seconds."""
_MOST_PATCHES = 1 << 14


def reads_patches(module: nn.Module) -> bool:
    """Whether a layer is a two-dimensional convolution that sees more than one position, padded by zeros, and not too many channels."""
    if type(module) is not nn.Conv2d or module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    height, width = module.kernel_size
    return height * width > 1 and module.in_channels * height * width <= MOST_VALUES


def patches(module: nn.Conv2d, read: Float[Tensor, "images channels height width"]) -> Float[Tensor, "patches values"]:
    """Up to 16,384 of the patches that a convolution reads; the same places for maps of the same size, whatever their channels.

    Args:
        module: The convolution; its weights are not looked at.
        read: What it reads, perhaps some of the channels only.

    Returns:
        A row for each place of its output; channels first, then the rows and columns of the kernel, as its weights are laid out.
    """
    (kernel_y, kernel_x), (step_y, step_x), (apart_y, apart_x) = module.kernel_size, module.stride, module.dilation
    pad_y, pad_x = (int(side) for side in module.padding)
    padded = functional.pad(read.detach(), (pad_x, pad_x, pad_y, pad_y))
    height = (padded.shape[2] - apart_y * (kernel_y - 1) - 1) // step_y + 1
    width = (padded.shape[3] - apart_x * (kernel_x - 1) - 1) // step_x + 1
    place = sampled(len(padded) * height * width, _MOST_PATCHES).to(padded.device)
    image, rest = place.div(height * width, rounding_mode="floor"), place.remainder(height * width)
    top, left = rest.div(width, rounding_mode="floor") * step_y, rest.remainder(width) * step_x
    rows = top[:, None] + apart_y * torch.arange(kernel_y, device=padded.device)
    columns = left[:, None] + apart_x * torch.arange(kernel_x, device=padded.device)
    found = padded.movedim(1, -1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return found.movedim(-1, 1).flatten(1).cpu().float()


def sampled(n_rows: int, most: int) -> Tensor:
    """Places of so many rows at most, drawn alike for the same number of rows."""
    if n_rows <= most:
        return torch.arange(n_rows)
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(n_rows))[:most]
