"""The exact solver: widths of the highest worth within a latency, by mixed-integer programming.

One binary per option of each variable; the price of a pair of variables is carried by
continuous "pair" columns whose marginals are those binaries (the local marginal polytope of
the factor graph), so that whole binaries force whole pairs. Solved by HiGHS. A worth reached
at two latencies is reported at the lower one.
"""

import time

from edgewise._core.errors import SpecError
from edgewise.widths._milp import COST_RANGE, gap_of, require_reachable, run_highs, solution_of, solve_fastest
from edgewise.widths._polish import polish
from edgewise.widths._program import build_program
from edgewise.widths.algorithm2 import search_algorithm2
from edgewise.widths.problem import WidthProblem
from edgewise.widths.rounding import search_rounding
from edgewise.widths.solution import Limits, Solution, unreachable

__all__ = ["require_reachable", "solve_exact", "solve_fastest"]

_TIE_SHARE = 1e-8  # share of the worth's range that the whole latency range may decide


def solve_exact(problem: WidthProblem, limits: Limits, *, time_limit_s: float = 60.0, gap: float = 0.0) -> Solution:
    """The assignment of the highest worth that keeps the limits; among equals the fastest.

    Args:
        problem: What may be chosen.
        limits: What must hold.
        time_limit_s: Seconds after which the best found so far is returned with its gap.
        gap: Share of the worth's range that may be given up to end sooner; 0 proves the optimum.

    Returns:
        A solution with status ``optimal`` (to within ``gap``) or ``time_limit``.

    Raises:
        UnreachableError: No assignment keeps the limits; it carries the fastest one.
        TargetError: Nothing was found within the time.
    """
    started = time.monotonic()
    program = build_program(problem)
    spread = program.spread("value")
    latency_weight = _TIE_SHARE * spread / (program.spread("latency_s") or 1.0)
    cost = (latency_weight * program.metric("latency_s") - program.metric("value")) * (COST_RANGE / (spread or 1.0))
    if not spread:
        cost = program.metric("latency_s") * (COST_RANGE / (program.spread("latency_s") or 1.0))
    found, result = run_highs(program, cost, limits, time_limit_s=time_limit_s, gap=gap)
    starts = [found] if found is not None else []
    if result.status not in (0, 2):  # neither proven optimal nor proven infeasible
        starts += _rivals(problem, limits)
    if not starts:
        starts.append(_fastest_instead(problem, limits, time_limit_s=time_limit_s))
    polished = (polish(problem, start, limits) for start in starts)
    best = max(polished, key=lambda assignment: _rank(problem, assignment))
    return solution_of(problem, best, result, solver="exact", gap=gap_of(program, cost, best, result), started=started)


def _rank(problem: WidthProblem, assignment: dict[str, int]) -> tuple[float, float]:
    totals = problem.evaluate(assignment)
    return totals.value, -totals.latency_s


def _fastest_instead(problem: WidthProblem, limits: Limits, *, time_limit_s: float) -> dict[str, int]:
    """The fastest network, where it keeps limits that HiGHS found no network for in its time; else the error."""
    fastest = solve_fastest(problem, limits, time_limit_s=time_limit_s)
    if not limits.allow(fastest.totals):
        raise unreachable(limits, fastest)
    return dict(fastest.assignment)


def _rivals(problem: WidthProblem, limits: Limits) -> list[dict[str, int]]:
    """What the other solvers find within the limits: an unproven search must not end below them."""
    try:
        problem.present()
    except SpecError:  # the rivals start from present widths, and there are none
        return []
    found = [search_rounding(problem, limits), search_algorithm2(problem, limits)]
    return [dict(solution.assignment) for solution in found if solution.status == "met"]
