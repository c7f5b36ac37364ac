"""Exact widths of a plain chain of layers, by dynamic programming: an independent check of the MILP.

A Viterbi decode over the chain that keeps, for every option of the latest variable, all
partial networks that no other beats in latency, worth and whatever else is limited (Pareto
labels); what cannot meet a limit even with the cheapest rest is dropped on the way.
"""

import itertools
import time
from dataclasses import dataclass

import numpy as np

from edgewise._core.errors import SpecError
from edgewise.widths._milp import require_reachable
from edgewise.widths._tables import merge
from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import METRICS, TOLERANCE, Limits, Solution, unreachable

_MOST_LABELS = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Chain:
    """Variables in walking order and what each step costs, all to be made small.

    Attributes:
        places: Index into ``problem.variables`` of each position.
        steps: ``steps[t]`` has shape ``(dims, options before, options)``; infinite where an
            order forbids the pair. Position 0 has one option before.
        togo: ``togo[t]`` has shape ``(dims, options)``: the least that the positions behind add.
        most: Upper limit of each dimension.
    """

    places: tuple[int, ...]
    steps: tuple[np.ndarray, ...]
    togo: tuple[np.ndarray, ...]
    most: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Labels:
    """Partial networks that end in one option: costs ``(labels, dims)``, option and label before."""

    costs: np.ndarray
    option_before: np.ndarray
    label_before: np.ndarray


def solve_chain(problem: WidthProblem, limits: Limits) -> Solution:
    """The assignment of the highest worth within the limits; among equals the fastest.

    Args:
        problem: Its factors and orders must form chains (each variable has at most two
            neighbours, no cycle), without links.
        limits: What must hold.

    Raises:
        SpecError: Not a chain, or too many labels to keep.
        UnreachableError: No assignment keeps the limits; it carries the fastest one.
    """
    started = time.monotonic()
    chain = _chain(problem, limits)
    layers: list[list[_Labels]] = []
    before = [_Labels(costs=np.zeros((1, len(chain.most))), option_before=np.zeros(1, int), label_before=np.zeros(1, int))]
    for step, togo in zip(chain.steps, chain.togo, strict=True):
        before = [_extend(before, step[:, :, option], chain.most - togo[:, option]) for option in range(step.shape[2])]
        layers.append(before)
        if sum(len(labels.costs) for labels in before) > _MOST_LABELS:
            raise SpecError(
                f"a chain must need at most {_MOST_LABELS} labels, got more for {problem.variables[0].name!r}; use the exact solver"
            )
    ends = [
        (float(cost[1]), float(cost[0]), option, label) for option, labels in enumerate(before) for label, cost in enumerate(labels.costs)
    ]
    if not ends:
        require_reachable(problem, limits)
        raise unreachable(limits, None)
    _, _, option, label = min(ends)
    assignment = _walk_back(problem, chain, layers, option=option, label=label)
    return Solution(
        assignment=assignment,
        widths=problem.widths(assignment),
        totals=problem.evaluate(assignment),
        solver="chain",
        status="optimal",
        gap=0.0,
        seconds=time.monotonic() - started,
        iterations=sum(len(labels.costs) for layer in layers for labels in layer),
    )


def _chain(problem: WidthProblem, limits: Limits) -> _Chain:
    """The chain with latency, negative worth, and the limited ones of negative parameters and MACs."""
    if problem.links:
        raise SpecError(f"a chain must have no links, got {len(problem.links)}; use the exact solver")
    rows, signs, most = [0, 3], [1.0, -1.0], [limits.latency_s * (1 + TOLERANCE), np.inf]
    if limits.params_at_least is not None:
        rows, signs, most = [*rows, 1], [*signs, -1.0], [*most, -limits.params_at_least * (1 - TOLERANCE)]
    if limits.macs_at_most is not None:
        rows, signs, most = [*rows, 2], [*signs, 1.0], [*most, limits.macs_at_most * (1 + TOLERANCE)]
    sign = np.array(signs)[:, None, None]
    tables = merge(problem)
    forbidden = _forbidden(problem)
    places = _walk(len(problem.variables), set(tables.pairs) | set(forbidden))
    steps = [sign * tables.unary[places[0]][rows][:, None, :]]
    for last, place in itertools.pairwise(places):
        pair = tables.pairs.get((min(last, place), max(last, place)))
        shape = (len(METRICS), len(problem.variables[last].values), len(problem.variables[place].values))
        table = np.zeros(shape) if pair is None else pair if last < place else pair.transpose(0, 2, 1)
        step = sign * (table + tables.unary[place][:, None, :])[rows]
        mask = forbidden.get((min(last, place), max(last, place)))
        if mask is not None:
            step = np.where((mask if last < place else mask.T)[None], np.inf, step)
        steps.append(step)
    togo = [np.zeros((len(rows), steps[-1].shape[2]))]
    for step in reversed(steps[1:]):
        togo.append((step + togo[-1][:, None, :]).min(axis=2))
    base = np.array(signs) * problem.constant.as_array()[rows]
    return _Chain(places=places, steps=tuple(steps), togo=tuple(reversed(togo)), most=np.array(most) - base)


def _forbidden(problem: WidthProblem) -> dict[tuple[int, int], np.ndarray]:
    """Pairs of options that an order forbids, by pair of variable indices (lower first)."""
    index = {variable.name: place for place, variable in enumerate(problem.variables)}
    masks: dict[tuple[int, int], np.ndarray] = {}
    for order in problem.orders:
        larger, smaller = (np.array(problem.variable(name).values) for name in (order.larger, order.smaller))
        broken = larger[:, None] - smaller[None, :] < order.at_least
        i, j = index[order.larger], index[order.smaller]
        key, mask = ((i, j), broken) if i < j else ((j, i), broken.T)
        masks[key] = masks[key] | mask if key in masks else mask
    return masks


def _walk(n_variables: int, edges: set[tuple[int, int]]) -> tuple[int, ...]:
    """All variables, path after path, so that every edge joins two that follow each other."""
    near: list[list[int]] = [[] for _ in range(n_variables)]
    for i, j in sorted(edges):
        near[i].append(j)
        near[j].append(i)
    walked: list[int] = []
    seen: set[int] = set()
    for end in (place for place in range(n_variables) if len(near[place]) <= 1):
        place: int | None = end if end not in seen else None
        while place is not None:
            walked.append(place)
            seen.add(place)
            place = next((neighbour for neighbour in near[place] if neighbour not in seen), None)
    if len(walked) < n_variables or any(len(neighbours) > 2 for neighbours in near):
        raise SpecError("factors and orders must form chains, but a variable has three neighbours or a cycle; use the exact solver")
    return tuple(walked)


def _extend(before: list[_Labels], step: np.ndarray, most: np.ndarray) -> _Labels:
    """Labels that end in one option: every earlier label one step on, within reach, not dominated."""
    costs = np.concatenate([labels.costs + step[:, option] for option, labels in enumerate(before)])
    options = np.repeat(np.arange(len(before)), [len(labels.costs) for labels in before])
    labels = np.concatenate([np.arange(len(labels.costs)) for labels in before])
    alive = np.flatnonzero(np.isfinite(costs).all(axis=1) & (costs <= most).all(axis=1))
    kept = alive[_undominated(costs[alive])]
    return _Labels(costs=costs[kept], option_before=options[kept], label_before=labels[kept])


def _undominated(costs: np.ndarray) -> np.ndarray:
    """Indices of rows that no other row equals or beats in every column (of equals, one)."""
    order = np.lexsort(costs.T[::-1])
    if costs.shape[1] == 2:
        worth = costs[order, 1]
        best_before = np.concatenate([[np.inf], np.minimum.accumulate(worth)[:-1]]) if len(worth) else worth
        return np.asarray(order[worth < best_before])
    kept = []
    while len(order):
        kept.append(order[0])
        order = order[1:][(costs[order[1:]] < costs[order[0]]).any(axis=1)]
    return np.array(kept, dtype=np.intp)


def _walk_back(problem: WidthProblem, chain: _Chain, layers: list[list[_Labels]], *, option: int, label: int) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for place, layer in zip(reversed(chain.places), reversed(layers), strict=True):
        chosen[problem.variables[place].name] = option
        labels = layer[option]
        option, label = int(labels.option_before[label]), int(labels.label_before[label])
    return {variable.name: chosen[variable.name] for variable in problem.variables}
