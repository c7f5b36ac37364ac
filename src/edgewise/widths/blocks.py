"""Residual blocks in a width problem: a width of 0 for all ties of one leaves it out."""

from collections.abc import Mapping

import numpy as np

from edgewise.ir import Block, LayerSpec, NetSpec
from edgewise.widths.problem import IMPOSSIBLE_S, Factor, Variable


def removable_blocks(net: NetSpec, plain: frozenset[str], chosen: frozenset[str]) -> tuple[Block, ...]:
    """Blocks whose ties are variables that stand alone in every dimension; of two that hold one another the inner one.

    Args:
        net: The network.
        plain: Ties that are variables by themselves.
        chosen: All ties whose widths are to be chosen.
    """
    found: list[Block] = []
    for block in sorted(net.blocks, key=lambda block: len(block.layers)):
        overlaps = any(set(block.layers) & set(other.layers) for other in found)
        if not overlaps and plain.issuperset(block.ties) and all(_separable(net.layer(name), block, chosen) for name in block.layers):
            found.append(block)
    return tuple(block for block in net.blocks if block in found)


def _separable(layer: LayerSpec, block: Block, chosen: frozenset[str]) -> bool:
    """Whether a layer's price depends on at most one width besides those of its block."""
    dims = [tuple(tie for tie in dim.ties if tie in chosen) for dim in dict.fromkeys((layer.in_dim, layer.out_dim))]
    inner = [moving for moving in dims if set(moving) & set(block.ties)]
    return all(len(moving) == 1 for moving in inner) and len([moving for moving in dims if moving]) - len(inner) <= 1


def together(block: Block, variables: Mapping[str, Variable]) -> list[Factor]:
    """Factors that forbid a width of 0 for some ties of a block and not for all, where these are variables with that option."""
    first, *others = block.ties
    made = []
    for tie in others:
        if tie not in variables or first not in variables:
            continue
        zero = [np.array(variables[name].values) == 0 for name in (first, tie)]
        seconds = np.where(zero[0][:, None] != zero[1][None, :], IMPOSSIBLE_S, 0.0)
        none = np.zeros(seconds.shape)
        if seconds.any():
            made.append(
                Factor(name=f"{block.name} left out", variables=(first, tie), latency_s=seconds, params=none, macs=none, value=none)
            )
    return made
