"""Nearest-step rounding: what everybody does by hand, as the baseline of the other solvers.

Every width, scaled by one common factor, goes to the nearest candidate on a step. The factor
is 1 where that meets the target already, else the largest below 1 that does.
"""

import itertools
import time
from collections.abc import Mapping
from fractions import Fraction

from edgewise.widths._milp import require_reachable
from edgewise.widths.problem import Variable, WidthProblem
from edgewise.widths.solution import Limits, Solution


def nearest_steps(problem: WidthProblem, scale: Fraction = Fraction(1)) -> dict[str, int] | None:
    """Every deciding variable at the candidate nearest to ``scale`` times its present width; ties go up.

    Candidates off a step (:attr:`~edgewise.widths.problem.Variable.off_step`) are used only
    where a variable has no other. Where an order is then broken, its larger side goes up.

    Returns:
        The assignment; ``None`` where links or orders cannot be kept so.

    Raises:
        SpecError: A variable has no present width.
    """
    present = problem.present()
    options = {variable.name: _nearest(variable, scale * variable.values[present[variable.name]]) for variable in problem.decisions}
    for _ in problem.orders:
        for order in problem.orders:
            if order.larger in options and order.smaller in options:
                larger, smaller = problem.variable(order.larger), problem.variable(order.smaller)
                least = smaller.values[options[order.smaller]] + order.at_least
                enough = [k for k in _steps(larger) if larger.values[k] >= max(least, larger.values[options[order.larger]])]
                options[order.larger] = min(enough, default=options[order.larger])
    return problem.feasible(options)


def solve_rounding(problem: WidthProblem, limits: Limits) -> Solution:
    """The nearest steps at the largest common scale, at most 1, that keeps the limits.

    Only scales at which some width changes its candidate are tried, so none is skipped.

    Args:
        problem: Its deciding variables must have present widths.
        limits: What must hold.

    Returns:
        A solution with status ``met``, or ``missed`` (the fastest tried within the limits on
        size, else the fastest) where other widths could keep the limits; ``details`` holds
        ``scale``.

    Raises:
        UnreachableError: No assignment keeps the limits; it carries the fastest one.
    """
    solution = search_rounding(problem, limits)
    if solution.status == "missed":
        require_reachable(problem, limits)
    return solution


def search_rounding(problem: WidthProblem, limits: Limits) -> Solution:
    """:func:`solve_rounding` without asking whether other widths could keep the limits."""
    started = time.monotonic()
    tried: list[tuple[bool, float, int, Fraction, dict[str, int]]] = []
    for scale in _scales(problem):
        assignment = nearest_steps(problem, scale)
        if assignment is None:
            continue
        totals = problem.evaluate(assignment)
        if limits.allow(totals):
            return _solution(problem, assignment, status="met", scale=scale, n_tried=len(tried) + 1, started=started)
        tried.append((not limits.allow_size(totals), totals.latency_s, len(tried), scale, assignment))
    if not tried:
        return _solution(problem, problem.present(), status="missed", scale=Fraction(1), n_tried=0, started=started)
    _, _, _, scale, assignment = min(tried, key=lambda entry: entry[:3])
    return _solution(problem, assignment, status="missed", scale=scale, n_tried=len(tried), started=started)


def _steps(variable: Variable) -> list[int]:
    """Options on a step, or all where none is."""
    return [k for k, width in enumerate(variable.values) if width not in variable.off_step] or list(range(len(variable.values)))


def _nearest(variable: Variable, width: Fraction) -> int:
    return min(_steps(variable), key=lambda option: (abs(variable.values[option] - width), -option))


def _scales(problem: WidthProblem) -> list[Fraction]:
    """Scales from 1 down; between two neighbours no variable changes its nearest candidate."""
    present = problem.present()
    halves = {Fraction(1)}
    for variable in problem.decisions:
        widths = [variable.values[option] for option in _steps(variable)]
        now = variable.values[present[variable.name]]
        halves |= {Fraction(low + high, 2 * now) for low, high in itertools.pairwise(widths)}
        halves.add(Fraction(widths[0], now))
    below = [scale for scale in halves if scale <= 1]
    return [*sorted(below, reverse=True), min(below) / 2]


def _solution(
    problem: WidthProblem, assignment: Mapping[str, int], *, status: str, scale: Fraction, n_tried: int, started: float
) -> Solution:
    note = "" if status == "met" else "no common scale keeps the limits at the nearest steps; this is the closest"
    return Solution(
        assignment=dict(assignment),
        widths=problem.widths(assignment),
        totals=problem.evaluate(assignment),
        solver="round",
        status=status,
        seconds=time.monotonic() - started,
        iterations=n_tried,
        details={"scale": float(scale)},
        note=note,
    )
