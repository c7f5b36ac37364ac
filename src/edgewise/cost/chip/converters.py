"""How many bits a conversion needs."""

import math

import numpy as np
import numpy.typing as npt

from edgewise.cost.chip.activity import LineRule
from edgewise.cost.chip.records import Chip


def lossless_bits(rows: int, cell_bits: int, *, dac_bits: int = 1, flipped: bool = False) -> int:
    """Bits that tell apart every sum of a column: ``ceil(log2(R * (2**w - 1) * (2**v - 1) + 1))``, one fewer with flipped columns.

    Flipping stores a column's complement where its cells sum to over half of the range, so that no sum exceeds
    half of it; it holds for one input bit a cycle.

    Args:
        rows: Active rows; at least 0.
        cell_bits: Bits of a cell.
        dac_bits: Bits driven at once.
        flipped: Columns are stored flipped where that is smaller.

    Example:
        >>> [lossless_bits(128, bits) for bits in (1, 2, 4)], lossless_bits(128, 2, flipped=True)
        ([8, 9, 11], 8)
    """
    most = rows * (2**cell_bits - 1) * (2**dac_bits - 1)
    if flipped:
        most //= 2
    return max(1, math.ceil(math.log2(most + 1))) if most else 1


def isaac_bits(rows: int, cell_bits: int, *, dac_bits: int = 1) -> int:
    """ISAAC's own rule, ``log2(R) + v + w - 1`` where v or w is 1, else ``log2(R) + v + w``.

    Example:
        >>> isaac_bits(128, 2)
        9
    """
    return math.ceil(math.log2(rows)) + dac_bits + cell_bits - (1 if 1 in (dac_bits, cell_bits) else 0)


def puma_bits(sparsity: float, *, full_bits: int = 8) -> int:
    """Bits that puma-simulator's ADC uses when a share of the rows is zero: one fewer for each halving of the rest.

    From 99.21875 % on 1 bit is left, ``full_bits - 7`` for an 8-bit ADC (puma-simulator a206f75, ``ima_modules.py``).

    Args:
        sparsity: Share of rows that are zero, in [0, 1].
        full_bits: Bits without sparsity.

    Example:
        >>> [puma_bits(share) for share in (0.49, 0.5, 0.75, 0.875, 0.9375, 0.9921875, 1.0)]
        [8, 7, 6, 5, 4, 1, 1]
    """
    if sparsity < 0.5:
        return full_bits
    fewer = 7 if sparsity >= 0.9921875 else math.floor(-math.log2(1 - sparsity))
    return max(1, full_bits - min(fewer, 7))


def line_rule(name: str, chip: Chip) -> LineRule | None:
    """The rule by which fewer active rows need fewer bits.

    Args:
        name: ``none``; ``exact``: as many bits as the active rows' sums need; ``puma``: puma-simulator's steps.
        chip: Rows, cells and full bits.

    Returns:
        Share of the full bits for each number of active rows; none for the name ``none``.
    """
    if name == "none":
        return None
    table = np.array([_bits(name, rows, chip) / chip.adc_bits for rows in range(chip.rows + 1)], dtype=np.float32)

    def shares(active_rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = table[np.minimum(active_rows, chip.rows).astype(np.int64)]
        return found

    return shares


def _bits(name: str, rows: int, chip: Chip) -> int:
    if name == "puma":
        return puma_bits(1 - rows / chip.rows, full_bits=chip.adc_bits)
    return min(chip.adc_bits, lossless_bits(rows, chip.cell_bits, dac_bits=chip.dac_bits, flipped=chip.flipped_columns))
