"""The best network of a space at a latency, where what each choice is worth adds up."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from edgewise._core.errors import SpecError
from edgewise.ir.arch import ArchPlan
from edgewise.space.prices import Prices

_BINS = 4000
TOLERANCE = 0.03
"""How far below the target a network may be, as a share of it, before that counts as room left unused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Latencies that are as good as a target.

    Attributes:
        least_s: Seconds at least.
        most_s: Seconds at most.
    """

    least_s: float
    most_s: float

    def __post_init__(self) -> None:
        """Checks that it is one."""
        if not 0 <= self.least_s <= self.most_s:
            raise SpecError(f"0 <= least_s <= most_s must hold, got {self.least_s:g} and {self.most_s:g}")

    def contains(self, latency_s: float) -> bool:
        """Whether a latency lies in it."""
        return self.least_s <= latency_s <= self.most_s * (1 + 1e-12)


def windows_below(most_s: float, *, tolerance: float = TOLERANCE) -> Iterator[Window]:
    """Windows up to a latency, each wider than the one before; the last reaches down to 0.

    Args:
        most_s: Seconds at most.
        tolerance: How far the first reaches below, as a share of the latency.
    """
    for slack in (tolerance, 2 * tolerance, 4 * tolerance, 1.0):
        yield Window(least_s=max(0.0, most_s * (1 - slack)), most_s=most_s)


def best_in_window(prices: Prices, worth: Sequence[Mapping[str, float]], window: Window) -> ArchPlan | None:
    """The network of the greatest worth whose latency lies in a window, by dynamic programming over blocks.

    Latencies are rounded up to 1/4000 of the window's end, so that no network is slower than asked for; the best
    by up to that rounding.

    Args:
        prices: What every choice takes.
        worth: For each block of the space, the worth of each of its choices by label; more is better.
        window: Latencies allowed.

    Returns:
        The network; none where the window holds none.
    """
    space = prices.space
    room_s = window.most_s - prices.constant_s
    if room_s < 0:
        return None
    grain_s = max(room_s, 1e-12) / _BINS
    best = np.full(_BINS + 1, -math.inf)
    best[0] = 0.0
    taken: list[np.ndarray] = []
    for block, values in zip(space.blocks, worth, strict=True):
        steps = [math.ceil(prices.choice_s(block, choice) / grain_s - 1e-9) for choice in block.choices]
        best, choice_at = _with_block(best, steps, [values[choice.label] for choice in block.choices])
        taken.append(choice_at)
    rounding = len(space.searchable) + 1
    first = max(0, math.ceil((window.least_s - prices.constant_s) / grain_s))
    for low in (min(first + rounding, _BINS), min(first, _BINS)):
        plan = _traced_back(prices, best, taken, grain_s=grain_s, low=low)
        if plan is not None and window.contains(prices.latency_s(plan)):
            return plan
    return None


def _with_block(
    best: Float[np.ndarray, " bins"], steps: Sequence[int], values: Sequence[float]
) -> tuple[Float[np.ndarray, " bins"], np.ndarray]:
    """The best worth at each latency with one block more, and which choice gives it."""
    options = np.full((len(steps), len(best)), -math.inf)
    for number, (step, value) in enumerate(zip(steps, values, strict=True)):
        if step < len(best):
            options[number, step:] = best[: len(best) - step] + value
    chosen = options.argmax(0)
    return options[chosen, np.arange(len(best))], chosen


def _traced_back(prices: Prices, best: np.ndarray, taken: Sequence[np.ndarray], *, grain_s: float, low: int) -> ArchPlan | None:
    place = low + int(best[low:].argmax())
    if not math.isfinite(best[place]):
        return None
    blocks = []
    for block, choice_at in zip(reversed(prices.space.blocks), reversed(taken), strict=True):
        choice = block.choices[int(choice_at[place])]
        blocks.append(choice)
        place -= math.ceil(prices.choice_s(block, choice) / grain_s - 1e-9)
    return ArchPlan(blocks=tuple(reversed(blocks)))
