"""Every digit, slice and row block converted by itself: the reference that ``folded`` stands for.

======= =====================================================================
symbol  meaning
======= =====================================================================
``n``   matrix-vector products: images times output positions
``m``   products of one digit each, of those that drive any row of a block
``r o`` rows and output columns of one group of a layer
``k``   slices of a weight
======= =====================================================================
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from edgewise.crossbar.coding import Cells, input_digits, slice_weights
from edgewise.crossbar.settings import AnalogSettings

_SUMS_AT_ONCE = 2**20
"""Column sums held at once: few enough to stay in a core's cache between the steps of a conversion."""
_EXACT_FLOAT = 2**24


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """One row block of one group.

    Attributes:
        rows: Its rows.
        columns: What its cells hold, the columns of a slice beside each other.
        worth: What a level of each column is worth, negative where the column is stored flipped.
        shift: What the digital logic adds for every unit of input.
    """

    rows: slice | Tensor
    columns: Float[Tensor, "r ko"]
    worth: Float[Tensor, "k o"]
    shift: Float[Tensor, " o"]


def blocks_of_cells(cells: Cells, rows: list[slice | Tensor], own: slice, settings: AnalogSettings) -> list[_Block]:
    """The row blocks of one group, ready to multiply.

    Args:
        cells: What the layer's cells hold.
        rows: Rows of each block.
        own: Columns of the group.
        settings: Cells.
    """
    weights = slice_weights(settings)
    found = []
    for place, chosen in enumerate(rows):
        held = cells.held[:, chosen, own]
        worth = weights[:, None].expand(-1, held.shape[2])
        shift = torch.full((held.shape[2],), -float(cells.offset), dtype=torch.float64)
        if cells.flipped is not None:
            flipped = cells.flipped[place, :, own]
            shift = shift + settings.top_level * torch.where(flipped, worth, 0.0).sum(0)
            worth = torch.where(flipped, -worth, worth)
        columns = held.permute(1, 0, 2).reshape(held.shape[1], -1)
        found.append(_Block(rows=chosen, columns=columns, worth=worth, shift=shift))
    return found


def multiply_bitwise(
    codes: Int[Tensor, "n r"],
    blocks: list[_Block],
    settings: AnalogSettings,
    *,
    signed: bool,
    step: float,
    generator: torch.Generator | None,
) -> Float[Tensor, "n o"]:
    """Products of integer inputs with a group's cells, every digit, slice and row block converted by itself.

    Products whose inputs drive no row of a block in a cycle read nothing there, and are left out.

    Args:
        codes: Inputs as integers.
        blocks: The group's row blocks.
        settings: Converters and cells.
        signed: Inputs may be negative.
        step: Levels between codes of the ADC; 0 for none.
        generator: Draws the deviation of every read; none for none.

    Returns:
        Products in units of the codes, exact where nothing errs.
    """
    n_outputs = len(blocks[0].shift)
    total = torch.zeros(len(codes), n_outputs, dtype=torch.float64)
    n_digits = len(input_digits(codes[:1, :1], settings, signed=signed))
    at_once = max(1, _SUMS_AT_ONCE // (n_digits * blocks[0].columns.shape[1]))
    for start in range(0, len(codes), at_once):
        part = input_digits(codes[start : start + at_once], settings, signed=signed)
        driven = torch.stack([digit for digit, _ in part]).to(blocks[0].columns.dtype)
        weights = torch.tensor([weight for _, weight in part], dtype=torch.float64)
        for block in blocks:
            lines = driven[:, :, block.rows].flatten(0, 1)
            count = lines.sum(1)
            on = torch.nonzero(count).flatten()
            if not len(on):
                continue
            levels = _levels(lines[on], block, settings, step=step, generator=generator)
            levels = (levels + count[on].double()[:, None] * block.shift) * weights[on // driven.shape[1]][:, None]
            total.index_add_(0, start + on % driven.shape[1], levels)
    return total


def _levels(
    lines: Float[Tensor, "m r"], block: _Block, settings: AnalogSettings, *, step: float, generator: torch.Generator | None
) -> Float[Tensor, "m o"]:
    """Column sums as the ADC tells them, slices added up by their worth."""
    sums = lines @ block.columns
    if settings.noise.read and generator is not None:
        base = settings.off_share / (1 - settings.off_share) * settings.top_level
        variance = lines.square() @ (block.columns + base).square()
        sums = sums + torch.randn(sums.shape, generator=generator) * variance.sqrt() * settings.noise.read
    shaped = sums.reshape(len(lines), *block.worth.shape)
    if step == 0:
        return torch.einsum("mko,ko->mo", shaped.double(), block.worth)
    both = settings.encoding == "differential"
    top = 2 ** (settings.adc_bits - 1) - 1 if both else 2**settings.adc_bits - 1
    if step != 1:
        shaped.div_(step)
    shaped.round_().clamp_(-top if both else 0, top)
    # Codes are integers: where their sum fits the 24 bits of a float, floats add them up exactly, and faster.
    if top * float(block.worth[:, 0].abs().sum()) < _EXACT_FLOAT:
        return shaped.mul_(block.worth.float()).sum(1).double() * step
    return torch.einsum("mko,ko->mo", shaped.double(), block.worth) * step
