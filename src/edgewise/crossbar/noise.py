"""What is wrong with cells, as frozen data, and how it moves the level that a cell holds.

A cell holds a level ``S`` in ``[0, L]``, ``L = 2**cell_bits - 1``, as the conductance
``G = G_off + S / L * (G_on - G_off)``. All effects act on conductances; the reference column takes ``G_off`` off again.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from edgewise._core.errors import UsageError, unknown_name

PROGRAMMING_MODELS = ("proportional", "range", "wan2022", "milo2021")
"""``proportional``: deviation in shares of the conductance; ``range``: of the largest conductance; ``wan2022`` (0 to 40 uS) and
``milo2021`` (50 to 225 uS): measured deviations, scaled by ``programming``."""
_WAN_S = (1.053, 0.2374, -1.167e-2, 1.536e-4)
"""Deviation in uS as a cubic of the conductance in uS: CrossSim 0a2eb1e, RRAM_Wan.py, after Wan et al. 2022."""
_MILO_S = (4.782, -0.009107)
"""Deviation in uS, linear in the conductance in uS: CrossSim 0a2eb1e, RRAM_Milo.py, after Milo et al. 2021."""
_WAN_RANGE_US = (0.0, 40.0)
_MILO_RANGE_US = (50.0, 225.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class CellNoise:
    """How far cells are from what was written.

    Attributes:
        programming: Standard deviation of programming: a share (``proportional``, ``range``) or a factor on the
            measured deviation; not negative.
        programming_model: See :data:`PROGRAMMING_MODELS`.
        stuck_off: Share of cells that conduct nothing, in [0, 1].
        stuck_on: Share of cells that conduct fully, in [0, 1].
        read: Standard deviation of every read of a cell, as a share of its conductance; not negative.
        drift_s: Time since programming in seconds; 0 for none.
        drift_exponent: Mean exponent of ``G(t) = G * (1 + t / 1 s) ** -nu``.
        drift_spread: Standard deviation of the exponent between cells.
        wire_ohm: Resistance of the wire between neighbouring cells; 0 for none.
    """

    programming: float = 0.0
    programming_model: str = "proportional"
    stuck_off: float = 0.0
    stuck_on: float = 0.0
    read: float = 0.0
    drift_s: float = 0.0
    drift_exponent: float = 0.05
    drift_spread: float = 0.0
    wire_ohm: float = 0.0

    def __post_init__(self) -> None:
        """Checks every number."""
        if self.programming_model not in PROGRAMMING_MODELS:
            raise unknown_name("programming model", self.programming_model, PROGRAMMING_MODELS)
        for name in ("programming", "read", "drift_s", "drift_spread", "wire_ohm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"`{name}` of cells must be 0 or more, got {value:g}")
        if not (0 <= self.stuck_off <= 1 and 0 <= self.stuck_on <= 1 and self.stuck_off + self.stuck_on <= 1):
            raise UsageError(f"shares of stuck cells must lie in [0, 1] and sum to at most 1, got {self.stuck_off:g} and {self.stuck_on:g}")

    @property
    def moves_levels(self) -> bool:
        """Whether a cell may hold another level than was written."""
        return bool(self.programming or self.stuck_off or self.stuck_on or self.drift_s or self.wire_ohm)

    @property
    def is_none(self) -> bool:
        """Whether cells are ideal."""
        return not self.moves_levels and self.read == 0


def programming_deviation(share: Float[Tensor, "*shape"], noise: CellNoise) -> Float[Tensor, "*shape"]:
    """Standard deviation of programming in shares of the largest conductance.

    Args:
        share: Conductance wanted, in shares of the largest.
        noise: The model and its size.

    Example:
        >>> wan = CellNoise(programming=1.0, programming_model="wan2022")
        >>> [round(float(sigma) * 40, 3) for sigma in programming_deviation(torch.tensor([0.0, 0.25, 0.5, 0.75]), wan)]
        [1.053, 2.414, 2.362, 1.819]
        >>> milo = CellNoise(programming=1.0, programming_model="milo2021")
        >>> low, high = programming_deviation(torch.tensor([0.0, 1.0]), milo)   # 50 and 225 uS
        >>> round(float(low) * 225 / 50, 4), round(float(high), 4)
        (0.0865, 0.0121)
    """
    if noise.programming_model == "proportional":
        return share * noise.programming
    if noise.programming_model == "range":
        return torch.full_like(share, noise.programming)
    low, high = _WAN_RANGE_US if noise.programming_model == "wan2022" else _MILO_RANGE_US
    siemens = low + share * (high - low)
    terms = _WAN_S if noise.programming_model == "wan2022" else _MILO_S
    total = sum(term * siemens**power for power, term in enumerate(terms))
    assert isinstance(total, Tensor)
    return noise.programming * total.clamp_min(0) / high


def disturbed_levels(
    levels: Float[Tensor, "k r o"], noise: CellNoise, *, top: int, off_share: float, generator: torch.Generator
) -> Float[Tensor, "k r o"]:
    """The levels that cells really hold, wires apart.

    Args:
        levels: Levels written, in [0, ``top``].
        noise: What is wrong with the cells.
        top: The highest level.
        off_share: Conductance of level 0 over that of the highest.
        generator: Where the disturbances come from.

    Returns:
        Levels as real numbers, possibly outside [0, ``top``].
    """
    share = off_share + levels / top * (1 - off_share)
    if noise.programming:
        drawn = torch.randn(share.shape, generator=generator)
        share = (share + drawn * programming_deviation(share, noise)).clamp_min(0)
    if noise.drift_s:
        exponent = noise.drift_exponent + noise.drift_spread * torch.randn(share.shape, generator=generator)
        share = share * (1 + noise.drift_s) ** -exponent
    if noise.stuck_off or noise.stuck_on:
        drawn = torch.rand(share.shape, generator=generator)
        share = torch.where(drawn < noise.stuck_off, torch.full_like(share, off_share), share)
        share = torch.where(drawn > 1 - noise.stuck_on, torch.ones_like(share), share)
    return (share - off_share) / (1 - off_share) * top


def voltage_drop(share: Float[Tensor, "r c"], *, wire: float, activity: float) -> Float[Tensor, "r c"]:
    """Share of the read voltage that wires take from each cell of an array, to first order.

    Word lines are driven from the first column, bit lines sensed below the last row. The current of a cell is taken
    as if no voltage were lost: ``drop(i, j) = R * (sum_j' min(j + 1, j' + 1) G(i, j') + a * sum_i' (n - max(i, i')) G(i', j))``.

    Args:
        share: Conductances over the largest.
        wire: Resistance between neighbouring cells times the largest conductance.
        activity: Mean share of rows that are driven.

    Returns:
        Values of 0 or more; the first order is meaningless above about 0.3.
    """
    return wire * (_reach(share) + activity * _reach(share.flip(0).T).T.flip(0))


def _reach(share: Tensor) -> Tensor:
    """``sum_j' min(j + 1, j' + 1) G(i, j')`` for every place (i, j)."""
    place = torch.arange(1, share.shape[1] + 1, dtype=share.dtype)
    before = (share * place).cumsum(1)
    behind = share.sum(1, keepdim=True) - share.cumsum(1)
    return before + place * behind
