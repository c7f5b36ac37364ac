"""Algorithm 2 of the tutorial "hardware-aware DNN search-space optimisation", as published.

The published listing leaves its equations and its control flow partly open. Decided here:

* A step moves a whole tie (channels that change together), never one layer of it.
* Lines 4-7: the gains are computed once, at the present widths. Equation 5a is the latency
  that one step down frees in the whole network; where no step down exists it is 0.
  Equation 5b is the relative change of the network's parameters by one step up; it decides
  between ties of equal latency gain (the larger grows first).
* Lines 11-13: the sum of parameter gains is the relative change of the network's parameters
  against the present widths, so that it counts the input side of the readers too. Growing
  can only raise it, so the loop also ends where it lies above the interval, and where the
  list is exhausted; the imbalance is reported.
* Lines 14-18: latency is looked at after every step down with its balance. A success keeps
  the target, the other limits, and the final ``tau``. When the list is empty without one,
  ``tau`` doubles and *both* the list and the widths start anew.
* ``tau`` is capped: from 1 on nothing is left to balance, the run is plain pruning.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from edgewise._core.errors import UsageError
from edgewise.widths._milp import require_reachable
from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import Limits, Solution, Totals


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm2Settings:
    """The knobs of Algorithm 2; the paper names them without values.

    Attributes:
        tau: First tolerance on the relative change of parameters.
        most_tau: No pass has a larger one.
        step_down: Equation 8a: ``next`` candidate below, or the one of ``largest`` latency
            gain (of equals the widest).
    """

    tau: float = 0.05
    most_tau: float = 1.6
    step_down: Literal["next", "largest"] = "next"

    def __post_init__(self) -> None:
        """Checks ``0 < tau <= most_tau``, both finite."""
        if not 0 < self.tau <= self.most_tau < math.inf:
            raise UsageError(f"0 < `tau` <= `most_tau` must hold, got {self.tau} and {self.most_tau}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """What one step of one tie does at the present widths.

    Attributes:
        latency_s: Equation 5a: seconds freed by the step down; 0 where there is none.
        params: Equation 5b: parameters gained by the step up, as a share of the network's; 0
            where there is none.
    """

    latency_s: float
    params: float


def gains(problem: WidthProblem, assignment: Mapping[str, int], *, step_down: Literal["next", "largest"] = "next") -> dict[str, Gain]:
    """Equations 5a and 5b for every deciding variable at an assignment."""
    now = problem.evaluate(assignment)
    found = {}
    for variable in problem.decisions:
        lower = _down(problem, assignment, variable.name, step_down=step_down)
        upper = _up(problem, assignment, variable.name)
        found[variable.name] = Gain(
            latency_s=now.latency_s - problem.evaluate(lower).latency_s if lower is not None else 0.0,
            params=_imbalance(problem.evaluate(upper), now) if upper is not None else 0.0,
        )
    return found


def solve_algorithm2(problem: WidthProblem, limits: Limits, *, settings: Algorithm2Settings | None = None) -> Solution:
    """Widths by Algorithm 2, from the present ones.

    Args:
        problem: Its deciding variables must have present widths.
        limits: What must hold; the paper's ``delta`` is its latency over the present one.
        settings: ``tau``, its cap, and how far a step goes down.

    Returns:
        A solution with status ``met``, or ``missed`` (the closest seen) where the cap is
        reached though other widths keep the limits. ``details`` holds ``tau`` of the last
        pass, ``delta``, ``imbalance`` and ``passes``; ``iterations`` counts steps. Present
        widths that keep the limits are returned as they are.

    Raises:
        UnreachableError: No assignment keeps the limits; it carries the fastest one.
    """
    solution = search_algorithm2(problem, limits, settings=settings)
    if solution.status == "missed":
        require_reachable(problem, limits)
    return solution


def search_algorithm2(problem: WidthProblem, limits: Limits, *, settings: Algorithm2Settings | None = None) -> Solution:
    """:func:`solve_algorithm2` without asking whether other widths could keep the limits."""
    started = time.monotonic()
    settings = settings or Algorithm2Settings()
    present = problem.present()
    old = problem.evaluate(present)
    if limits.allow(old):
        return _solution(problem, present, _Run(status="met", tau=settings.tau, passes=0, steps=0), limits=limits, started=started)
    tau, passes, steps = settings.tau, 0, 0
    closest, closest_key = present, _distance(problem, present, limits)
    while True:
        passes += 1
        for assignment in _pass(problem, present, tau=tau, step_down=settings.step_down):
            steps += 1
            totals = problem.evaluate(assignment)
            if limits.allow(totals) and abs(_imbalance(totals, old)) < tau:
                run = _Run(status="met", tau=tau, passes=passes, steps=steps)
                return _solution(problem, assignment, run, limits=limits, started=started)
            key = _distance(problem, assignment, limits)
            if key < closest_key:
                closest, closest_key = assignment, key
        if 2 * tau > settings.most_tau:
            break
        tau *= 2
    return _solution(problem, closest, _Run(status="missed", tau=tau, passes=passes, steps=steps), limits=limits, started=started)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    status: str
    tau: float
    passes: int
    steps: int


def _pass(problem: WidthProblem, present: dict[str, int], *, tau: float, step_down: Literal["next", "largest"]) -> Iterator[dict[str, int]]:
    """Lines 8-14 with one ``tau``: the widths after each step down and its balance."""
    old = problem.evaluate(present)
    gain = gains(problem, present, step_down=step_down)
    waiting = sorted(gain, key=lambda name: (-gain[name].latency_s, gain[name].params))
    current = present
    while waiting:
        slowest = waiting.pop(0)
        current = _down(problem, current, slowest, step_down=step_down) or current
        while waiting and _imbalance(problem.evaluate(current), old) <= -tau:
            cheapest = waiting.pop()
            current = _up(problem, current, cheapest) or current
        yield current


def _imbalance(new: Totals, old: Totals) -> float:
    """The sum of Equation 5b over a configuration: relative change of parameters."""
    return (new.params - old.params) / old.params if old.params else 0.0


def _down(
    problem: WidthProblem, assignment: Mapping[str, int], name: str, *, step_down: Literal["next", "largest"]
) -> dict[str, int] | None:
    """Equation 8a: the next candidate below that links and orders allow, or that of largest latency gain."""
    lower = [problem.feasible({**assignment, name: option}) for option in reversed(range(assignment[name]))]
    allowed = [candidate for candidate in lower if candidate is not None]
    if step_down == "next" or not allowed:
        return allowed[0] if allowed else None
    return min(allowed, key=lambda candidate: problem.evaluate(candidate).latency_s)


def _up(problem: WidthProblem, assignment: Mapping[str, int], name: str) -> dict[str, int] | None:
    """Equation 8b: the next candidate above that links and orders allow."""
    upper = (problem.feasible({**assignment, name: option}) for option in range(assignment[name] + 1, len(problem.variable(name).values)))
    return next((candidate for candidate in upper if candidate is not None), None)


def _distance(problem: WidthProblem, assignment: Mapping[str, int], limits: Limits) -> tuple[bool, float]:
    totals = problem.evaluate(assignment)
    return not limits.allow_size(totals), totals.latency_s


def _solution(problem: WidthProblem, assignment: Mapping[str, int], run: _Run, *, limits: Limits, started: float) -> Solution:
    old, new = problem.evaluate(problem.present()), problem.evaluate(assignment)
    imbalance = _imbalance(new, old)
    note = "" if run.status == "met" else f"tau reached {run.tau:g} without meeting the limits; closest has {imbalance:+.1%} parameters"
    return Solution(
        assignment=dict(assignment),
        widths=problem.widths(assignment),
        totals=new,
        solver="algorithm2",
        status=run.status,
        seconds=time.monotonic() - started,
        iterations=run.steps,
        details={
            "tau": run.tau,
            "delta": limits.latency_s / old.latency_s if old.latency_s else math.inf,
            "imbalance": imbalance,
            "passes": float(run.passes),
        },
        note=note,
    )
