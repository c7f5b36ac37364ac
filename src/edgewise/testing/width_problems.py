"""Random width problems of known shape, and their optimum by trying everything."""

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgewise._core.errors import SpecError
from edgewise.testing.staircase import KnownTiles
from edgewise.widths.problem import Factor, Link, Order, Variable, WidthProblem
from edgewise.widths.solution import Limits, Solution, Totals, unreachable

Kind = Literal["chain", "residual", "concat"]

_IN_CHANNELS = 3
_MOST_ASSIGNMENTS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemShape:
    """How large a random problem is.

    Attributes:
        n_variables: Deciding variables; for ``residual`` at least 3, for ``concat`` at least 3.
        n_values: Candidate widths of each.
        width_step: Channels between two candidates.
    """

    n_variables: int = 4
    n_values: int = 3
    width_step: int = 8


def random_width_problem(rng: np.random.Generator, *, kind: Kind, shape: ProblemShape | None = None) -> WidthProblem:
    """A width problem with staircase latencies and concave worths, drawn at random.

    Args:
        rng: Where everything random comes from.
        kind: ``chain``: a plain stack of convolutions. ``residual``: two stages, the second
            at least as wide as the first, each with blocks whose inner width is free.
            ``concat``: branches that are concatenated, read through bins by the last layer.
        shape: Its size; small by default.

    Returns:
        A problem in which every deciding variable has a present width.
    """
    shape = shape or ProblemShape()
    if shape.n_variables < (2 if kind == "chain" else 3):
        raise SpecError(f"`n_variables` of a {kind} must be at least {2 if kind == 'chain' else 3}, got {shape.n_variables}")
    decisions = [_variable(rng, f"v{place}", shape) for place in range(shape.n_variables)]
    constant = Totals(latency_s=float(rng.uniform(0, 2e-5)), params=float(rng.integers(0, 100)), macs=float(rng.integers(0, 1000)))
    worths = [_worth(rng, variable) for variable in decisions]
    if kind == "chain":
        factors = [_layer(rng, None, decisions[0]), *(_layer(rng, i, o) for i, o in itertools.pairwise(decisions))]
        return WidthProblem(variables=tuple(decisions), factors=(*worths, *factors), constant=constant)
    if kind == "residual":
        first, second, *inner = decisions
        blocks = [(first if place % 2 == 0 else second, middle) for place, middle in enumerate(inner)]
        factors = [_layer(rng, None, first), _layer(rng, first, second)]
        factors += [layer for stage, middle in blocks for layer in (_layer(rng, stage, middle), _layer(rng, middle, stage))]
        slack = shape.width_step * int(rng.integers(0, 3))
        orders = (Order(larger=second.name, smaller=first.name, at_least=_present_gap(second, first) - slack),)
        return WidthProblem(variables=tuple(decisions), orders=orders, factors=(*worths, *factors), constant=constant)
    *branches, reader = decisions
    total, link = _concat(branches, n_bins=int(rng.integers(2, 5)))
    factors = [*(_layer(rng, None, branch) for branch in branches), _layer(rng, total, reader)]
    return WidthProblem(variables=(*decisions, total), links=(link,), factors=(*worths, *factors), constant=constant)


def assignments(problem: WidthProblem) -> Iterator[dict[str, int]]:
    """Every assignment that keeps links and orders."""
    names = [variable.name for variable in problem.decisions]
    for options in itertools.product(*(range(len(variable.values)) for variable in problem.decisions)):
        found = problem.feasible(dict(zip(names, options, strict=True)))
        if found is not None:
            yield found


def brute_force(problem: WidthProblem, limits: Limits) -> Solution:
    """The optimum by trying every assignment: highest worth, then lowest latency.

    Raises:
        UnreachableError: No assignment keeps the limits.
        SpecError: More than a million assignments.
    """
    started = time.monotonic()
    count = math.prod(len(variable.values) for variable in problem.decisions)
    if count > _MOST_ASSIGNMENTS:
        raise SpecError(f"brute force must try at most {_MOST_ASSIGNMENTS} assignments, got {count}")
    priced = [(problem.evaluate(assignment), assignment) for assignment in assignments(problem)]
    sized = [(totals, assignment) for totals, assignment in priced if limits.allow_size(totals)]
    allowed = [(totals, assignment) for totals, assignment in sized if limits.allow(totals)]
    if not allowed:
        fastest = min(sized, key=lambda pair: pair[0].latency_s, default=None)
        raise unreachable(limits, None if fastest is None else _solution(problem, *fastest, count=count, started=started))
    best = max(allowed, key=lambda pair: (float(f"{pair[0].value:.12g}"), -pair[0].latency_s))  # the order of a sum decides nothing
    return _solution(problem, *best, count=count, started=started)


def _solution(problem: WidthProblem, totals: Totals, assignment: dict[str, int], *, count: int, started: float) -> Solution:
    return Solution(
        assignment=assignment,
        widths=problem.widths(assignment),
        totals=totals,
        solver="brute-force",
        status="optimal",
        gap=0.0,
        seconds=time.monotonic() - started,
        iterations=count,
    )


def _variable(rng: np.random.Generator, name: str, shape: ProblemShape) -> Variable:
    first = int(rng.integers(1, 4))
    values = tuple(shape.width_step * (first + place) for place in range(shape.n_values))
    return Variable(name=name, values=values, present=int(rng.integers(shape.n_values)))


def _present_gap(larger: Variable, smaller: Variable) -> int:
    return larger.values[larger.present or 0] - smaller.values[smaller.present or 0]


def _worth(rng: np.random.Generator, variable: Variable) -> Factor:
    """Concave in the width, as importances are: the first channels are worth most."""
    zeros = np.zeros(len(variable.values))
    value = float(rng.uniform(0.2, 2.0)) * np.sqrt(np.array(variable.values, dtype=np.float64)) + rng.normal(0, 0.05, len(zeros))
    return Factor(name=f"worth.{variable.name}", variables=(variable.name,), latency_s=zeros, params=zeros, macs=zeros, value=value)


def _layer(rng: np.random.Generator, source: Variable | None, target: Variable) -> Factor:
    """A 3x3 convolution; input tiles of 16, output tiles of 8 or 16."""
    tiles = KnownTiles(
        in_step=16, out_step=int(rng.choice([8, 16])), base_s=float(rng.uniform(0, 5e-6)), tile_s=float(rng.uniform(1e-6, 9e-6))
    )
    pixels = int(rng.choice([16, 64, 256]))
    ins = (_IN_CHANNELS,) if source is None else source.values
    latency = np.array([[tiles.latency_s(i, o) for o in target.values] for i in ins])
    params = np.array([[9.0 * i * o for o in target.values] for i in ins])
    names = (target.name,) if source is None else (source.name, target.name)
    if source is None:
        latency, params = latency[0], params[0]
    name = f"conv.{'input' if source is None else source.name}.{target.name}"
    return Factor(name=name, variables=names, latency_s=latency, params=params, macs=params * pixels, value=np.zeros(params.shape))


def _concat(branches: list[Variable], *, n_bins: int) -> tuple[Variable, Link]:
    """Bins over every total that the branches can add up to."""
    lowest, highest = (sum(branch.values[place] for branch in branches) for place in (0, -1))
    edges = sorted({lowest - 1, highest, *(int(edge) for edge in np.linspace(lowest, highest, n_bins + 1)[1:-1])})
    lows, highs = tuple(edge + 1 for edge in edges[:-1]), tuple(edges[1:])
    total = Variable(name="total", values=highs, lows=lows, highs=highs)
    return total, Link(total="total", terms=tuple((branch.name, 1) for branch in branches))
