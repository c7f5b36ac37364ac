"""The factors of a problem merged: at most one table per variable and one per pair of variables."""

from dataclasses import dataclass

import numpy as np

from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import METRICS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tables:
    """Stacked tables (axis 0: :data:`METRICS`) by index of the variables.

    Attributes:
        unary: ``[variable]`` gives shape ``(4, options)``; zeros where nothing depends on it alone.
        pairs: ``[(i, j)]`` with ``i < j`` gives shape ``(4, options of i, options of j)``.
    """

    unary: tuple[np.ndarray, ...]
    pairs: dict[tuple[int, int], np.ndarray]


def merge(problem: WidthProblem) -> Tables:
    """Adds up all factors over the same variables, pairs in the order of ``problem.variables``."""
    index = {variable.name: place for place, variable in enumerate(problem.variables)}
    unary = [np.zeros((len(METRICS), len(variable.values))) for variable in problem.variables]
    pairs: dict[tuple[int, int], np.ndarray] = {}
    for factor in problem.factors:
        tables = factor.stacked()
        places = [index[name] for name in factor.variables]
        if len(places) == 1:
            unary[places[0]] += tables
            continue
        first, second = sorted(places)
        ordered = tables if places[0] == first else tables.transpose(0, 2, 1)
        pairs[first, second] = pairs[first, second] + ordered if (first, second) in pairs else ordered
    return Tables(unary=tuple(unary), pairs=pairs)
