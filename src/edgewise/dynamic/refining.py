"""Ratios of all blocks improved together: pruning moves from where it hurts to where it does not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from edgewise._core.progress import Progress, SilentProgress
from edgewise.dynamic.sensitivity import SIDES, Side
from edgewise.ir.gates import GatePlan

Judge = Callable[[GatePlan], float]
"""What a plan loses with all its gates at work; lower is better."""
PlanCost = Callable[[GatePlan], float]
"""Cost of a whole plan, in any unit."""

STEPS = (0.1, 0.05)
"""Sizes of the steps, one pass each."""
LARGEST = 0.9
"""Largest ratio."""
MOST_TRIALS = 40
"""Plans judged by default."""
_MOST_FAILURES = 4
_FINEST = 0.01

_Place = tuple[int, Side]


@dataclass(frozen=True, kw_only=True, slots=True)
class Refined:
    """Ratios before and after they were improved together.

    Attributes:
        plan: The gates with the better ratios.
        loss_before: What the judge said of the ratios at the start.
        loss: What it says of ``plan``; not above ``loss_before``.
        trials: Plans judged.
    """

    plan: GatePlan
    loss_before: float
    loss: float
    trials: int

    def to_json(self) -> dict[str, Any]:
        """All but the plan as JSON values."""
        return {"loss_before": self.loss_before, "loss": self.loss, "trials": self.trials}


def refine_ratios(
    plan: GatePlan,
    judge: Judge,
    cost: PlanCost,
    *,
    limit: float,
    most_trials: int = MOST_TRIALS,
    progress: Progress | None = None,
) -> Refined:
    """Better ratios at no more cost, found by judging whole plans.

    Losses of blocks pruned alone do not add up. So every ratio is raised by one step first, the others being at
    their values, which tells what a saving costs in each place. Then the dearest place prunes one step less and the
    cheapest as much more as the limit asks for; where that is better it is kept and done again. A local search:
    nothing says that the end is the best there is.

    Args:
        plan: Ratios to start from, within the limit.
        judge: Loss of a plan.
        cost: What a plan costs.
        limit: Largest cost.
        most_trials: Plans to judge at most; at least 1.
        progress: Is told of every plan judged.

    Returns:
        The best plan judged; the one given where nothing is better.
    """
    search = _Search(plan, judge, cost, limit=limit, most_trials=most_trials, progress=progress or SilentProgress())
    places: list[_Place] = [(block, side) for block in range(plan.n_blocks) for side in SIDES]
    for step in STEPS:
        search.run_pass(places, step)
    search.end()
    return Refined(plan=search.plan, loss_before=search.loss_before, loss=search.loss, trials=search.trials)


class _Search:
    """The best plan so far, and what may still be judged."""

    def __init__(self, plan: GatePlan, judge: Judge, cost: PlanCost, *, limit: float, most_trials: int, progress: Progress) -> None:
        self._judge, self._cost, self._limit = judge, cost, limit
        self._most_trials, self._progress = most_trials, progress
        progress.start("ratios of all blocks together", most_trials)
        self.plan, self.trials = plan, 0
        self.loss = self.loss_before = self._judged(plan)

    def run_pass(self, places: Sequence[_Place], step: float) -> None:
        """Exchanges between all pairs of places, the most promising ones first."""
        harms = self._harms(places, step)
        pairs = [(giver, taker) for giver, taker in permutations(harms, 2) if harms[giver] > harms[taker] and _ratio(self.plan, giver) > 0]
        failures = 0
        for giver, taker in sorted(pairs, key=lambda pair: harms[pair[1]] - harms[pair[0]]):
            if failures >= _MOST_FAILURES:
                return
            failures = 0 if self._exchange(giver, taker, step) else failures + 1

    def end(self) -> None:
        """Trials that were not needed count as done."""
        self._progress.advance(self._most_trials - self.trials)

    @property
    def _spent(self) -> bool:
        return self.trials >= self._most_trials

    def _judged(self, plan: GatePlan) -> float:
        self.trials += 1
        found = self._judge(plan)
        self._progress.advance()
        return found

    def _harms(self, places: Sequence[_Place], step: float) -> dict[_Place, float]:
        """What a unit of cost, saved in each place, adds to the loss."""
        found: dict[_Place, float] = {}
        for place in places:
            ratio = _ratio(self.plan, place) + step
            if self._spent or ratio > LARGEST + 1e-9:
                continue
            more = _with(self.plan, place, ratio)
            saved = self._cost(self.plan) - self._cost(more)
            if saved > 0:
                found[place] = (self._judged(more) - self.loss) / saved
        return found

    def _exchange(self, giver: _Place, taker: _Place, step: float) -> bool:
        """Moves pruning from one place to the other as long as that helps; whether it did."""
        helped = False
        while not self._spent:
            moved = self._moved(giver, taker, step)
            if moved is None:
                break
            loss = self._judged(moved)
            if loss >= self.loss:
                break
            self.plan, self.loss, helped = moved, loss, True
        return helped

    def _moved(self, giver: _Place, taker: _Place, step: float) -> GatePlan | None:
        """One step less in one place, paid for in the other; none where that cannot be."""
        before = _ratio(self.plan, giver)
        if before <= 0:
            return None
        plan = _with(self.plan, giver, max(0.0, before - step))
        while self._cost(plan) > self._limit * (1 + 1e-9):
            ratio = _ratio(plan, taker) + _FINEST
            if ratio > LARGEST + 1e-9:
                return None
            plan = _with(plan, taker, ratio)
        return plan


def _ratio(plan: GatePlan, place: _Place) -> float:
    block, side = place
    return (plan.channel_ratios if side == "channels" else plan.spatial_ratios)[block]


def _with(plan: GatePlan, place: _Place, ratio: float) -> GatePlan:
    """The plan with another ratio in one place, rounded to hundredths."""
    block, side = place
    ratios = {"channels": list(plan.channel_ratios), "positions": list(plan.spatial_ratios)}
    ratios[side][block] = round(ratio, 2)
    return plan.with_ratios(ratios["channels"], ratios["positions"])
