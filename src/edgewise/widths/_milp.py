"""Solving a program by HiGHS, and the fastest network that a problem allows."""

import math
import time
from dataclasses import replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp

from edgewise._core.errors import TargetError
from edgewise.widths._program import Program, build_program
from edgewise.widths._quiet import quiet_output
from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import Limits, Solution, unreachable

COST_RANGE = 1e6  # HiGHS stops within 1e-6 of the best bound: 1e-12 of the range of what is optimised
_PROVEN_GAP = 1e-9  # what rounding leaves between cost and bound of a proven optimum
_MAX_CUTS = 30  # assignments that HiGHS called feasible within its tolerance and that are not


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
    scale = COST_RANGE / (program.spread("latency_s") or 1.0)
    found, result = run_highs(program, program.metric("latency_s") * scale, sizes, time_limit_s=time_limit_s, gap=0.0)
    if found is None and result.status == 2:
        raise unreachable(sizes, None)
    if found is None:
        raise TargetError(f"no widths that keep the limits ({sizes}) were found within {time_limit_s:g} s; give the solver more time")
    missing = gap_of(program, program.metric("latency_s") * scale, found, result)
    return solution_of(problem, found, result, solver="fastest", gap=missing, started=started)


def require_reachable(problem: WidthProblem, limits: Limits, *, time_limit_s: float = 60.0) -> None:
    """Raises :class:`UnreachableError` where no assignment keeps the limits."""
    fastest = solve_fastest(problem, limits, time_limit_s=time_limit_s)
    if not limits.allow(fastest.totals) and fastest.status == "optimal":
        raise unreachable(limits, fastest)


def run_highs(
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
        with quiet_output():
            result = milp(
                cost,
                integrality=program.integrality,
                bounds=Bounds(0.0, program.allowed),
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


def gap_of(program: Program, cost: np.ndarray, assignment: dict[str, int], result: OptimizeResult) -> float | None:
    """How far above the proven bound an assignment's cost lies, as a share of :data:`COST_RANGE`."""
    bound = result.mip_dual_bound
    if bound is None or not math.isfinite(bound):
        return None
    columns = np.concatenate([program.columns_of(assignment), program.pair_columns_of(assignment)])
    missing = (float(cost[columns].sum()) - float(bound)) / COST_RANGE
    return missing if missing > _PROVEN_GAP else 0.0


def solution_of(
    problem: WidthProblem, found: dict[str, int], result: OptimizeResult, *, solver: str, gap: float | None, started: float
) -> Solution:
    """The solution that HiGHS stopped at."""
    proven = result.status == 0
    return Solution(
        assignment=found,
        widths=problem.widths(found),
        totals=problem.evaluate(found),
        solver=solver,
        status="optimal" if proven else "time_limit",
        gap=gap,
        seconds=time.monotonic() - started,
        iterations=int(result.mip_node_count or 0),
        note="" if proven else "the time limit ended the search before the optimum was proven",
    )
