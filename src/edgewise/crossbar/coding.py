"""Weights as cell levels and inputs as driven digits: exact integer codes.

======= =====================================================================
symbol  meaning
======= =====================================================================
``k``   slices of a weight: ``w = sum_k c_k S_k - offset``
``r o`` rows and output columns of one group of a layer
``d``   digits of an input in driving order: ``x = sum_d a_d x_d``
======= =====================================================================
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from edgewise.crossbar.noise import disturbed_levels, voltage_drop
from edgewise.crossbar.settings import AnalogSettings


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cells:
    """What the cells of one layer hold, of each slice a real number in levels.

    Attributes:
        written: Levels as written; for differential cells the difference of the pair.
        held: Levels as they are.
        flipped: Columns stored as complement, by (block, slice, column); none where no column may be.
        offset: What the digital logic takes off for each unit of input.
    """

    written: Float[Tensor, "k r o"]
    held: Float[Tensor, "k r o"]
    flipped: Tensor | None
    offset: int


def slice_weights(settings: AnalogSettings) -> Float[Tensor, " k"]:
    """What a level of each slice is worth: ``2**(cell_bits * k)``."""
    return torch.tensor([2.0 ** (settings.cell_bits * place) for place in range(settings.slices)], dtype=torch.float64)


def slice_levels(codes: Int[Tensor, "r o"], settings: AnalogSettings) -> Int[Tensor, "k r o"]:
    """The levels of non-negative codes, lowest bits first.

    Example:
        >>> settings = AnalogSettings(rows=4, columns=4, cell_bits=2, weight_bits=4, input_bits=4, adc_bits=8)
        >>> slice_levels(torch.tensor([[13]]), settings).flatten().tolist()   # 13 = 1 + 3 * 4
        [1, 3]
    """
    places = torch.arange(settings.slices).reshape(-1, 1, 1) * settings.cell_bits
    return (codes[None] >> places) & settings.top_level


def write_cells(codes: Int[Tensor, "r o"], blocks: Int[Tensor, " r"], settings: AnalogSettings, generator: torch.Generator | None) -> Cells:
    """Programs signed weight codes into cells.

    Args:
        codes: Weights as integers in ``(-2**(weight_bits - 1), 2**(weight_bits - 1))``.
        blocks: Row block of each row.
        settings: Cells and their noise.
        generator: Where disturbances come from; none for ideal cells.
    """
    if settings.encoding == "differential":
        pairs = [_written(part, blocks, settings, generator) for part in (codes.clamp_min(0), (-codes).clamp_min(0))]
        return Cells(written=pairs[0][0] - pairs[1][0], held=pairs[0][1] - pairs[1][1], flipped=None, offset=0)
    offset = 2 ** (settings.weight_bits - 1)
    written = slice_levels(codes + offset, settings).float()
    flipped = _flips(written, blocks, settings) if settings.flipped_columns else None
    if flipped is not None:
        written = torch.where(flipped[blocks].transpose(0, 1), settings.top_level - written, written)
    held = _held(written, blocks, settings, generator)
    return Cells(written=written, held=held, flipped=flipped, offset=offset)


def deviation(cells: Cells, blocks: Int[Tensor, " r"], settings: AnalogSettings) -> Float[Tensor, "r o"]:
    """By how much the effective weights differ from the codes: all cell errors of a weight in one sum."""
    error = cells.held - cells.written
    if cells.flipped is not None:
        error = torch.where(cells.flipped[blocks].transpose(0, 1), -error, error)
    return torch.einsum("k,kro->ro", slice_weights(settings).to(error.dtype), error)


def _written(
    codes: Int[Tensor, "r o"], blocks: Int[Tensor, " r"], settings: AnalogSettings, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    written = slice_levels(codes, settings).float()
    return written, _held(written, blocks, settings, generator)


def _held(written: Tensor, blocks: Tensor, settings: AnalogSettings, generator: torch.Generator | None) -> Tensor:
    noise = settings.noise
    if generator is None or not noise.moves_levels:
        return written
    held = disturbed_levels(written, noise, top=settings.top_level, off_share=settings.off_share, generator=generator)
    return _behind_wires(held, blocks, settings) if noise.wire_ohm else held


def _behind_wires(levels: Tensor, blocks: Tensor, settings: AnalogSettings, *, activity: float = 0.5) -> Tensor:
    """Levels as they read at the end of the wires of their array."""
    n_slices, _, n_outputs = levels.shape
    off, top = settings.off_share, settings.top_level
    wire = settings.noise.wire_ohm / settings.on_ohm if settings.on_ohm else 0.0
    seen = torch.empty_like(levels)
    for block in range(int(blocks.max()) + 1):
        rows = torch.nonzero(blocks == block).flatten()
        share = (off + levels[:, rows] / top * (1 - off)).permute(1, 2, 0).reshape(len(rows), n_outputs * n_slices)
        parts = [part * (1 - voltage_drop(part, wire=wire, activity=activity)) for part in torch.split(share, settings.columns, dim=1)]
        read = torch.cat(parts, dim=1).reshape(len(rows), n_outputs, n_slices).permute(2, 0, 1)
        seen[:, rows] = (read - off) / (1 - off) * top
    return seen


def _flips(levels: Float[Tensor, "k r o"], blocks: Int[Tensor, " r"], settings: AnalogSettings) -> Tensor:
    """Columns of each block whose cells sum to over half of what the block's rows could hold: (block, k, o)."""
    n_blocks = int(blocks.max()) + 1
    sums = torch.zeros(n_blocks, levels.shape[0], levels.shape[2])
    sums.index_add_(0, blocks, levels.transpose(0, 1))
    rows = torch.bincount(blocks, minlength=n_blocks).reshape(-1, 1, 1)
    return 2 * sums > rows * settings.top_level


def input_digits(codes: Int[Tensor, "*shape"], settings: AnalogSettings, *, signed: bool) -> list[tuple[Tensor, float]]:
    """Digits that the DACs drive one after another, each with its weight.

    Bits of signed inputs are driven in two's complement, the last with a negative weight; wider digits as
    magnitudes of the positive and of the negative inputs.

    Example:
        >>> settings = AnalogSettings(rows=4, columns=4, cell_bits=2, weight_bits=4, input_bits=3, adc_bits=8)
        >>> [(digit.item(), weight) for digit, weight in input_digits(torch.tensor(-3), settings, signed=True)]
        [(1, 1.0), (0, 2.0), (1, -4.0)]
    """
    step, steps = settings.dac_bits, settings.input_steps
    if not signed or step == 1:
        digits = [(codes >> (step * place)) & (2**step - 1) for place in range(steps)]
        weights = [2.0 ** (step * place) for place in range(steps)]
        if signed:
            weights[-1] = -weights[-1]
        return list(zip(digits, weights, strict=True))
    parts = ((codes.clamp_min(0), 1.0), ((-codes).clamp_min(0), -1.0))
    return [((part >> (step * place)) & (2**step - 1), sign * 2.0 ** (step * place)) for part, sign in parts for place in range(steps)]
