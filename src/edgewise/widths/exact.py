"""The exact solver: widths of the highest worth within a latency, by mixed-integer programming.

One binary per option of each variable; the price of a pair of variables is carried by
continuous "pair" columns whose marginals are those binaries (the local marginal polytope of
the factor graph), so that whole binaries force whole pairs. Solved by HiGHS. A worth reached
at two latencies is reported at the lower one.
"""

import math
import time
from dataclasses import replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from edgewise._core.errors import TargetError
from edgewise.widths._program import Program, build_program
from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import Limits, Solution, unreachable

_WORTH_RANGE = 1e4  # HiGHS stops within 1e-6 of the best bound: 1e-10 of the range of the worth
_TIE_SHARE = 1e-8  # share of the worth's range that the whole latency range may decide
_MAX_CUTS = 30  # assignments that HiGHS called feasible within its tolerance and that are not


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
    cost = (latency_weight * program.metric("latency_s") - program.metric("value")) * (_WORTH_RANGE / (spread or 1.0))
    if not spread:
        cost = program.metric("latency_s") * (_WORTH_RANGE / (program.spread("latency_s") or 1.0))
    found, result = _solve(program, cost, limits, time_limit_s=time_limit_s, gap=gap)
    if found is None:
        return _without_incumbent(problem, limits, started=started, time_limit_s=time_limit_s, infeasible=result.status == 2)
    missing = max(0.0, (float(cost @ _columns(program, found)) - _bound(result)) / _WORTH_RANGE)
    return _solution(problem, found, result, solver="exact", gap=missing, started=started)


def solve_fastest(problem: WidthProblem, limits: Limits | None = None, *, time_limit_s: float = 60.0) -> Solution:
    """The fastest assignment within the limits on size; the limit on latency is not looked at.

    Args:
        problem: What may be chosen.
        limits: Limits on parameters and multiply-accumulates; ``None`` for no limit.
        time_limit_s: Seconds after which the fastest found so far is returned.

    Raises:
        UnreachableError: The limits on size cannot be kept.
        TargetError: Nothing was found within the time.
    """
    started = time.monotonic()
    sizes = replace(limits or Limits(), latency_s=math.inf)
    program = build_program(problem)
    scale = _WORTH_RANGE / (program.spread("latency_s") or 1.0)
    found, result = _solve(program, program.metric("latency_s") * scale, sizes, time_limit_s=time_limit_s, gap=0.0)
    if found is None and result.status == 2:
        raise unreachable(sizes, None)
    if found is None:
        raise TargetError(f"no widths that keep the limits ({sizes}) were found within {time_limit_s:g} s; give the solver more time")
    missing = max(0.0, (float(program.metric("latency_s") @ _columns(program, found)) * scale - _bound(result)) / _WORTH_RANGE)
    return _solution(problem, found, result, solver="fastest", gap=missing, started=started)


def require_reachable(problem: WidthProblem, limits: Limits, *, time_limit_s: float = 60.0) -> None:
    """Raises :class:`UnreachableError` where no assignment keeps the limits."""
    fastest = solve_fastest(problem, limits, time_limit_s=time_limit_s)
    if not limits.allow(fastest.totals) and fastest.status == "optimal":
        raise unreachable(limits, fastest)


def _without_incumbent(problem: WidthProblem, limits: Limits, *, started: float, time_limit_s: float, infeasible: bool) -> Solution:
    """The fastest network instead, where it meets the latency and the time ran out; else the error."""
    fastest = solve_fastest(problem, limits, time_limit_s=time_limit_s)
    if not limits.allow(fastest.totals):
        raise unreachable(limits, fastest)
    note = "the time limit left only the fastest network" if not infeasible else "only the fastest network keeps the limits"
    return replace(fastest, solver="exact", status="time_limit", gap=1.0, seconds=time.monotonic() - started, note=note)


def _solve(
    program: Program, cost: np.ndarray, limits: Limits, *, time_limit_s: float, gap: float
) -> tuple[dict[str, int] | None, OptimizeResult]:
    """Solves until the assignment, evaluated in full precision, keeps the limits.

    HiGHS keeps a row to about 1e-6; an assignment that lies a hair beyond a limit is cut off
    by itself, so that no other is lost.
    """
    deadline = time.monotonic() + time_limit_s
    rows, lower, upper = program.rows_with_limits(limits)
    cuts: list[np.ndarray] = []
    while True:
        matrix, low, high = program.with_cuts(rows, lower, upper, cuts)
        options = {"time_limit": max(0.1, deadline - time.monotonic()), "mip_rel_gap": gap}
        result = milp(
            cost,
            integrality=program.integrality,
            bounds=Bounds(0.0, 1.0),
            constraints=LinearConstraint(matrix, low, high),
            options=options,
        )
        if result.x is None:
            return None, result
        found = program.assignment(result.x)
        if program.problem.is_feasible(found) and limits.allow(program.problem.evaluate(found)):
            return found, result
        if len(cuts) == _MAX_CUTS:
            return None, result
        cuts.append(program.columns_of(found))


def _columns(program: Program, assignment: dict[str, int]) -> np.ndarray:
    """The whole solution vector of an assignment, pairs included."""
    vector = np.zeros(len(program.integrality))
    vector[program.columns_of(assignment)] = 1.0
    vector[program.pair_columns_of(assignment)] = 1.0
    return vector


def _bound(result: OptimizeResult) -> float:
    bound = result.mip_dual_bound
    return float(result.fun if bound is None else bound)


def _solution(problem: WidthProblem, found: dict[str, int], result: OptimizeResult, *, solver: str, gap: float, started: float) -> Solution:
    proven = result.status == 0
    return Solution(
        assignment=found,
        widths=problem.widths(found),
        totals=problem.evaluate(found),
        solver=solver,
        status="optimal" if proven else "time_limit",
        gap=gap if not proven or gap > 1e-6 else 0.0,
        seconds=time.monotonic() - started,
        iterations=int(result.mip_node_count or 0),
        note="" if proven else "the time limit ended the search before the optimum was proven",
    )
