"""Architectures drawn at random, and their neighbours."""

from collections.abc import Iterator

import numpy as np

from edgewise._core.errors import TargetError
from edgewise.ir.arch import ArchPlan
from edgewise.space.prices import Prices
from edgewise.space.solve import Window, windows_below
from edgewise.space.space import Space

_MOST_DRAWS, _MOST_MOVES = 200, 200


def draw_architecture(space: Space, rng: np.random.Generator) -> ArchPlan:
    """A network of the space: every choice of a block is as likely as the others, blocks are independent.

    Args:
        space: The space.
        rng: Where randomness comes from.
    """
    return ArchPlan(blocks=tuple(block.choices[int(rng.integers(len(block.choices)))] for block in space.blocks))


def mutated(space: Space, plan: ArchPlan, rng: np.random.Generator, *, rate: float) -> ArchPlan:
    """The network with each block drawn anew with probability ``rate``, at least one of them.

    Args:
        space: The space.
        plan: The network to change.
        rng: Where randomness comes from.
        rate: Probability that a block changes, in [0, 1].
    """
    changed = rng.random(len(space.blocks)) < rate
    searchable = [block.position for block in space.searchable]
    if searchable:
        changed[searchable[int(rng.integers(len(searchable)))]] = True
    drawn = draw_architecture(space, rng)
    blocks = (new if change else old for old, new, change in zip(plan.blocks, drawn.blocks, changed, strict=True))
    return ArchPlan(blocks=tuple(blocks))


def crossed(one: ArchPlan, other: ArchPlan, rng: np.random.Generator) -> ArchPlan:
    """A network whose every block is that of one parent or the other, as likely as not."""
    first = rng.random(len(one.blocks)) < 0.5
    return ArchPlan(blocks=tuple(a if take else b for a, b, take in zip(one.blocks, other.blocks, first, strict=True)))


def neighbours(space: Space, plan: ArchPlan) -> Iterator[ArchPlan]:
    """Every network that differs in one block."""
    for place, block in enumerate(space.blocks):
        for choice in block.choices:
            if choice.label != plan.blocks[place].label:
                yield ArchPlan(blocks=(*plan.blocks[:place], choice, *plan.blocks[place + 1 :]))


def draw_in_window(prices: Prices, window: Window, rng: np.random.Generator) -> ArchPlan:
    """A random network in a window of latencies: drawn, then moved into it by random changes of one block.

    Every move is drawn among those that come nearer to the window, so that no block is favoured.

    Args:
        prices: What choices take.
        window: Latencies allowed.
        rng: Where randomness comes from.

    Raises:
        TargetError: No network was found there.
    """
    space, (least, most) = prices.space, prices.range_s
    within_reach = window.least_s <= most and least <= window.most_s
    for _ in range(_MOST_DRAWS if within_reach else 0):
        plan = moved_into(prices, window, draw_architecture(space, rng), rng)
        if plan is not None:
            return plan
    raise TargetError(
        f"no network of space {space.name!r} found between {window.least_s * 1e3:.4g} and {window.most_s * 1e3:.4g} ms; "
        f"the space reaches {least * 1e3:.4g} to {most * 1e3:.4g} ms"
    )


def moved_into(prices: Prices, window: Window, plan: ArchPlan, rng: np.random.Generator) -> ArchPlan | None:
    """The network moved into a window of latencies by random changes of one block, each of which comes nearer; none where that ends.

    Args:
        prices: What choices take.
        window: Latencies allowed.
        plan: Where to begin.
        rng: Where randomness comes from.
    """
    for _ in range(_MOST_MOVES):
        off_s = _off_s(prices.latency_s(plan), window)
        if off_s == 0:
            return plan
        nearer = [one for one in neighbours(prices.space, plan) if _off_s(prices.latency_s(one), window) < off_s]
        if not nearer:
            return None
        plan = nearer[int(rng.integers(len(nearer)))]
    return None


def window_below(prices: Prices, target_s: float) -> Window:
    """The narrowest window up to a target, of a few tried, in which a network was found; up to the fastest where all take longer.

    Args:
        prices: What choices take.
        target_s: Most seconds.
    """
    for window in windows_below(max(target_s, prices.range_s[0])):
        try:
            draw_in_window(prices, window, np.random.default_rng(0))
        except TargetError:
            continue
        return window
    raise AssertionError("the fastest network lies in the widest window")


def _off_s(latency_s: float, window: Window) -> float:
    """How far a latency lies outside a window; 0 inside."""
    if window.contains(latency_s):
        return 0.0
    return max(window.least_s - latency_s, latency_s - window.most_s)
