"""Single steps that better a solution: worth first, then latency."""

from collections.abc import Mapping

import numpy as np

from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import Limits, Totals

_MOST_SWEEPS = 50


def polish(problem: WidthProblem, assignment: Mapping[str, int], limits: Limits) -> dict[str, int]:
    """Moves one variable at a time while that raises the worth, or keeps it and lowers the latency.

    Args:
        problem: What may be chosen.
        assignment: Where to start; it keeps the limits.
        limits: Kept by every step.

    Returns:
        An assignment that keeps the limits, of at least the worth it started from.
    """
    readers: dict[str, set[int]] = {variable.name: set() for variable in problem.variables}
    for place, factor in enumerate(problem.factors):
        for name in factor.variables:
            readers[name].add(place)
    current, totals = dict(assignment), problem.evaluate(assignment)
    for _ in range(_MOST_SWEEPS):
        better = False
        for variable in problem.decisions:
            for option in range(len(variable.values)):
                moved = problem.feasible({**current, variable.name: option}) if option != current[variable.name] else None
                if moved is None:
                    continue
                after = _moved_totals(problem, current, moved, totals, readers=readers)
                if limits.allow(after) and _rank(after) > _rank(totals):
                    current, totals, better = moved, problem.evaluate(moved), True
        if not better:
            break
    return current


def _rank(totals: Totals) -> tuple[float, float]:
    """Worth and speed, rounded so that the order of a sum decides nothing."""
    return float(f"{totals.value:.12g}"), -float(f"{totals.latency_s:.12g}")


def _moved_totals(
    problem: WidthProblem, before: Mapping[str, int], after: Mapping[str, int], totals: Totals, *, readers: Mapping[str, set[int]]
) -> Totals:
    """Totals after a move, from those before and the factors that it touches."""
    touched = set().union(*(readers[name] for name, option in after.items() if before[name] != option))
    sums = totals.as_array()
    for place in touched:
        sums += np.subtract(problem.factor_sums(place, after), problem.factor_sums(place, before))
    return Totals.from_array(sums)
