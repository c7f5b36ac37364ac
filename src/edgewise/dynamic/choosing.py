"""Ratios of each block for a target, from what they cost in accuracy and what they save."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from edgewise._core.errors import TargetError
from edgewise.dynamic.sensitivity import Sensitivity
from edgewise.ir.gates import GatePlan

Price = Callable[[int, float, float], float]
"""Cost of a block from its number, its channel ratio and its spatial ratio; in any unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Ratios chosen for a target.

    Attributes:
        plan: The gates with the ratios.
        loss: Sum of the accuracy that the blocks lose, each pruned alone: what was kept small.
        cost: Cost of all blocks at these ratios, in the price's unit.
    """

    plan: GatePlan
    loss: float
    cost: float


def choose_ratios(plan: GatePlan, sensitivity: Sensitivity, price: Price, *, limit: float, ratios: Sequence[float]) -> Choice:
    """The ratios on a grid that lose least accuracy (summed over blocks, each alone) at a cost within a limit; exact.

    Args:
        plan: The gates.
        sensitivity: What blocks lose; positions are left alone where they were not swept.
        price: What a block costs.
        limit: Largest sum of prices.
        ratios: The grid of both sides; 0 is added.

    Raises:
        TargetError: Even the cheapest ratios cost more; says how much.
    """
    sides = {point.side for point in sensitivity.points}
    grid = sorted({0.0, *ratios})
    pairs = list(product(grid if "channels" in sides else [0.0], grid if "positions" in sides else [0.0]))
    blocks = range(plan.n_blocks)
    losses = np.array(
        [[sensitivity.loss(block, "channels", c) + sensitivity.loss(block, "positions", s) for c, s in pairs] for block in blocks]
    )
    prices = np.array([[price(block, c, s) for c, s in pairs] for block in blocks])
    cheapest = float(prices.min(axis=1).sum())
    if cheapest > limit:
        raise TargetError(f"the target is out of reach: even the largest ratios tried cost {cheapest:.4g}, the target is {limit:.4g}")
    chosen = _solve(losses, prices, limit)
    picked = [pairs[place] for place in chosen]
    return Choice(
        plan=plan.with_ratios([c for c, _ in picked], [s for _, s in picked]),
        loss=float(losses[list(blocks), chosen].sum()),
        cost=float(prices[list(blocks), chosen].sum()),
    )


def _solve(losses: np.ndarray, prices: np.ndarray, limit: float) -> list[int]:
    """One choice for each block: least loss, and of equal losses the one that prunes least."""
    n_blocks, n_pairs = losses.shape
    scale = max(limit, 1e-300)
    # A hundred-thousandth of a point decides between equals: what need not be pruned is not.
    objective = losses - 1e-7 * prices / scale
    one_each = np.kron(np.eye(n_blocks), np.ones(n_pairs))
    found = milp(
        objective.ravel(),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(prices.ravel()[None] / scale, -np.inf, 1 + 1e-9)],
        integrality=np.ones(objective.size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    assert found.x is not None, found.message
    return [int(place) for place in found.x.reshape(n_blocks, n_pairs).argmax(axis=1)]
