"""Architectures drawn at random, and their neighbours."""

from collections.abc import Iterator

import numpy as np

from edgewise.ir.arch import ArchPlan
from edgewise.space.space import Space


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
