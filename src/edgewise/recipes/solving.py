"""What ``fit`` asks of the solvers, whatever prices the network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from edgewise._core.progress import Progress
from edgewise.ir import NetSpec
from edgewise.recipes.refitting import Refitter
from edgewise.recipes.requests import FitRequest
from edgewise.recipes.tie_losses import Given, measure_tie_losses
from edgewise.recipes.training import Lessons
from edgewise.recipes.worth import importance_worth
from edgewise.trace import Traced, score_channels
from edgewise.widths.algorithm2 import solve_algorithm2
from edgewise.widths.exact import solve_exact
from edgewise.widths.problem import WidthProblem
from edgewise.widths.rounding import solve_rounding
from edgewise.widths.solution import Limits, Solution
from edgewise.widths.tables import Structure, Worth

SOLVE_SECONDS = 20.0
"""Time limit of one exact search."""
_NEIGHBOURS = 2


def limits_of(request: FitRequest, net: NetSpec, *, latency_s: float) -> Limits:
    """What a solution must keep: a latency, and the request's rules on parameters and MACs of the network as it came."""
    return Limits(
        latency_s=latency_s,
        params_at_least=_share(request.params_at_least, net.params),
        macs_at_most=_share(request.macs_at_most, net.macs),
    )


def keeps_limits(request: FitRequest, before: NetSpec, after: NetSpec) -> bool:
    """Whether the request's rules on parameters and MACs hold; of the solvers, only ``exact`` promises it."""
    enough = request.params_at_least is None or after.params >= request.params_at_least * before.params
    return enough and (request.macs_at_most is None or after.macs <= request.macs_at_most * before.macs)


def edges_around(edges: tuple[int, ...], width: int, *, present: int) -> tuple[int, ...]:
    """The two edges on each side of a width, that width, and the present one; of a width of 0 the present one and those below.

    Example:
        >>> edges_around((16, 32, 48, 64, 80, 96), 64, present=70)
        (32, 48, 64, 70, 80, 96)
    """
    middle = width or present
    place = min(range(len(edges)), key=lambda index: abs(edges[index] - middle))
    near = edges[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1]
    return tuple(sorted({*near, middle, present}))


def solve_in_two(
    problem: WidthProblem, limits: Limits, *, solver: str, nearer: Callable[[Mapping[str, int]], WidthProblem], progress: Progress
) -> Solution:
    """Solves over few candidates and, if exactly, once more over ``nearer``: all edges around the solution.

    Raises:
        UnreachableError: No widths keep the limits.
    """
    progress.start("solving", 2)
    if solver != "exact":
        return (solve_algorithm2 if solver == "algorithm2" else solve_rounding)(problem, limits)
    coarse = solve_exact(problem, limits, time_limit_s=SOLVE_SECONDS)
    progress.advance()
    fine = solve_exact(nearer(coarse.widths), limits, time_limit_s=SOLVE_SECONDS)
    progress.advance()
    return fine if fine.totals.value >= coarse.totals.value else coarse


def offered(structure: Structure, request: FitRequest) -> Structure:
    """The variables, with the blocks that a request allows to be left out; only ``exact`` weighs a block against widths."""
    return structure if request.solver == "exact" and not request.keep_blocks else replace(structure, blocks=())


def _share(share: float | None, whole: int) -> float | None:
    return None if share is None else share * whole


def channel_scores(
    request: FitRequest, model: nn.Module, traced: Traced, *, trained: bool, lessons: Lessons | None
) -> dict[str, np.ndarray]:
    """Importance of every channel by the measure asked for, or the best there is.

    Args:
        request: What to fit.
        model: The network as it came.
        traced: Its trace.
        trained: Whether its weights are more than initial draws.
        lessons: Batches for ``obs`` and ``taylor``; none without data.
    """
    best = "l2" if lessons is None else "obs" if trained else "taylor"
    kind = request.importance or best
    if lessons is None or kind in ("l2", "batch_norm"):
        return dict(score_channels(model, traced, kind="batch_norm" if kind == "batch_norm" else "l2"))
    found = Refitter(model, traced, lessons).scores() if kind == "obs" else {}
    if all(tie.name in found for tie in traced.net.ties if tie.free):
        return found
    batches = [(inputs, target) for inputs, target in lessons.batches]
    return {**score_channels(model, traced, kind="taylor", batches=batches, loss=lessons.loss), **found}


def objective_of(request: FitRequest, *, trained: bool, lessons: Lessons | None) -> str:
    """What to keep as much as possible of: as asked, else by what is known of the network.

    Args:
        request: May name it.
        trained: Whether the network's weights are more than initial draws.
        lessons: Batches to judge it by; none without data.
    """
    if request.objective is not None:
        return request.objective
    if trained and lessons is not None:
        return "loss"
    return "importance" if trained or lessons is not None else "params"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What widths are worth.

    Attributes:
        objective: ``loss``, ``importance`` or ``params``.
        worth: Worth of a tie at a width; none for the number of parameters.
        at_zero: Ties that may have a width of 0: those of the blocks that may be left out.
    """

    objective: str
    worth: Worth | None = None
    at_zero: frozenset[str] = frozenset()

    def with_zero(self, candidates: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """The candidates, and 0 for the ties that may have it."""
        return {name: (0, *widths) if name in self.at_zero else widths for name, widths in candidates.items()}


def judged_worth(objective: str, given: Given, structure: Structure, *, lessons: Lessons | None, progress: Progress) -> Judged:
    """What widths are worth by an objective.

    Args:
        objective: ``loss``, ``importance`` or ``params``.
        given: The network as it came.
        structure: Its ties as variables, and the blocks that may be left out, where what that costs can be measured.
        lessons: Batches that the loss is measured on; none without data.
        progress: Is told how far it is.

    Returns:
        The worth; by ``importance`` where measuring the loss would take too long.
    """
    if objective == "params":
        return Judged(objective=objective)
    if objective == "loss" and lessons is not None:
        losses = measure_tie_losses(given, lessons, structure.variables, blocks=structure.blocks, progress=progress)
        if losses is not None:
            return Judged(objective=objective, worth=losses.worth(), at_zero=frozenset(losses.at_zero))
    return Judged(objective="importance", worth=importance_worth(given.traced.net, given.scores))
