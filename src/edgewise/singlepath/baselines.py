"""What a search must beat: random and evolutionary search over the same space, at the same latency, with the same weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.ir.arch import ArchPlan
from edgewise.singlepath.derive import inherited
from edgewise.singlepath.supernet import Supernet
from edgewise.space.drawing import crossed, draw_in_window, moved_into, mutated
from edgewise.space.prices import Prices
from edgewise.space.solve import Window
from edgewise.train.batches import Batches
from edgewise.train.evaluate import accuracy
from edgewise.train.gate import Gate
from edgewise.train.precision import mixed_precision, uses_bf16


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A network and what is thought of it.

    Attributes:
        plan: The network.
        score: Accuracy with the supernet's weights, or what was given for it.
        predicted_s: Latency by the prices.
    """

    plan: ArchPlan
    score: float
    predicted_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Evolution:
    """How far evolutionary search goes.

    Attributes:
        generations: Rounds after the first population; not negative.
        population: Networks of each round; at least 2.
        begin: Networks of the first population, others are drawn; those outside the window are left out.
    """

    generations: int = 10
    population: int = 16
    begin: tuple[ArchPlan, ...] = ()

    def __post_init__(self) -> None:
        """Checks both."""
        if self.generations < 0 or self.population < 2:
            raise UsageError(f"evolution needs generations >= 0 and population >= 2, got {self.generations} and {self.population}")


Score = Callable[[ArchPlan], float]


def inherited_score(net: Supernet, train: Batches, validation: Batches, *, n_batches: int = 8, gate: Gate | None = None) -> Score:
    """A function that judges a network by the supernet's weights: norms recalibrated for it, then accuracy.

    The network itself is judged, with a copy of its weights: the supernet would compute all that it leaves out.
    In bf16 where the processor computes in it.

    Args:
        net: The supernet; not changed.
        train: Batches for the statistics.
        validation: Batches to be judged by.
        n_batches: Of ``train``.
        gate: Passed before every batch.
    """
    device = net.thresholds.device

    def score(plan: ArchPlan) -> float:
        with mixed_precision(device, bf16=uses_bf16("auto", device)):
            return accuracy(inherited(net, plan, train, n_batches=n_batches, gate=gate), validation, gate=gate)

    return score


def random_search(
    prices: Prices, window: Window, score: Score, *, n: int, seed: int, progress: Progress | None = None
) -> tuple[Scored, ...]:
    """Random networks at one latency, the best first.

    Args:
        prices: What choices take.
        window: Latencies allowed.
        score: Judges a network.
        n: How many.
        seed: Of the draws.
        progress: Told of every network.
    """
    rng, watcher = np.random.default_rng([seed, 1]), progress or SilentProgress()
    watcher.start("random search", n)
    found = []
    for _ in range(n):
        found.append(_scored(draw_in_window(prices, window, rng), prices, score))
        watcher.advance()
    return tuple(sorted(found, key=lambda one: -one.score))


def evolve(
    prices: Prices, window: Window, score: Score, *, course: Evolution, seed: int, progress: Progress | None = None
) -> tuple[Scored, ...]:
    """Evolutionary search at one latency: the better half has children by crossing and mutation.

    Args:
        prices: What choices take.
        window: Latencies allowed; children outside are moved into it as random networks are.
        score: Judges a network.
        course: How many networks, how often.
        seed: Of the draws.
        progress: Told of every network.

    Returns:
        All networks judged, the best first.
    """
    rng, watcher = np.random.default_rng([seed, 2]), progress or SilentProgress()
    watcher.start("evolutionary search", course.population * (course.generations + 1))
    begin = [plan for plan in course.begin if window.contains(prices.latency_s(plan))][: course.population]
    begin += [draw_in_window(prices, window, rng) for _ in range(course.population - len(begin))]
    found: dict[ArchPlan, Scored] = {}
    for plan in begin:
        if plan not in found:
            found[plan] = _scored(plan, prices, score)
        watcher.advance()
    for _ in range(course.generations):
        parents = sorted(found.values(), key=lambda one: -one.score)[: max(2, course.population // 2)]
        for _ in range(course.population):
            one, other = (parents[int(rng.integers(len(parents)))].plan for _ in range(2))
            child = moved_into(prices, window, mutated(prices.space, crossed(one, other, rng), rng, rate=0.1), rng)
            if child is not None and child not in found:
                found[child] = _scored(child, prices, score)
            watcher.advance()
    return tuple(sorted(found.values(), key=lambda one: -one.score))


def _scored(plan: ArchPlan, prices: Prices, score: Score) -> Scored:
    return Scored(plan=plan, score=score(plan), predicted_s=prices.latency_s(plan))
