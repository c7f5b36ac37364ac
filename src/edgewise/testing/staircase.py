"""Staircases whose steps are known: what a staircase finder must recover."""

import math
from dataclasses import dataclass

import numpy as np

from edgewise._core.errors import SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownStaircase:
    """A latency that climbs by ``step_s`` every ``step`` channels.

    ``latency_s(n) = base_s + step_s * ceil((n - offset) / step)``, and each jump ``(width,
    extra_s)`` adds ``extra_s`` from that width on (below 0: a faster kernel takes over).

    Attributes:
        step: Channels per tread.
        base_s: Seconds that do not depend on the width.
        step_s: Seconds per tread.
        offset: Channels by which all edges are moved right.
        jumps: Further steps, in any order.

    Example:
        >>> stairs = KnownStaircase(step=16, base_s=1e-5, step_s=1e-6)
        >>> stairs.latency_s(16) == stairs.latency_s(1), stairs.latency_s(17) > stairs.latency_s(16)
        (True, True)
        >>> stairs.edges(10, 50)
        (16, 32, 48)
    """

    step: int
    base_s: float
    step_s: float
    offset: int = 0
    jumps: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        """Checks ``step >= 1`` and that times are not negative."""
        if self.step < 1 or self.base_s < 0 or self.step_s < 0:
            raise SpecError(f"`step` must be at least 1 and times at least 0, got {self.step}, {self.base_s}, {self.step_s}")

    def latency_s(self, width: int) -> float:
        """Seconds at a width of at least 1."""
        extra = sum(extra_s for start, extra_s in self.jumps if width >= start)
        return self.base_s + self.step_s * math.ceil((width - self.offset) / self.step) + extra

    def noisy_latency_s(self, width: int, rng: np.random.Generator, *, noise: float = 0.02) -> float:
        """:meth:`latency_s` with a one-sided relative disturbance, as timers have: never faster than the truth.

        Args:
            width: At least 1.
            rng: Where the disturbance comes from.
            noise: Mean of the disturbance, as a share of the latency.
        """
        return self.latency_s(width) * (1.0 + float(rng.exponential(noise)))

    def edges(self, lowest: int, highest: int) -> tuple[int, ...]:
        """Right edges of treads: widths in ``[lowest, highest]`` after which the next one is slower."""
        return tuple(width for width in range(lowest, highest + 1) if self.latency_s(width + 1) > self.latency_s(width))


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownTiles:
    """A latency in tiles of input and output channels.

    ``latency_s(i, o) = base_s + tile_s * ceil(i / in_step) * ceil(o / out_step)``

    Attributes:
        in_step: Input channels per tile.
        out_step: Output channels per tile.
        base_s: Seconds that do not depend on the widths.
        tile_s: Seconds per tile.
    """

    in_step: int
    out_step: int
    base_s: float
    tile_s: float

    def latency_s(self, in_width: int, out_width: int) -> float:
        """Seconds at two widths of at least 1."""
        return self.base_s + self.tile_s * math.ceil(in_width / self.in_step) * math.ceil(out_width / self.out_step)

    def outputs(self, in_width: int) -> KnownStaircase:
        """The staircase over output widths at one input width."""
        return KnownStaircase(step=self.out_step, base_s=self.base_s, step_s=self.tile_s * math.ceil(in_width / self.in_step))
