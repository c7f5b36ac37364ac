"""The likeliest network bettered: others of its latency, judged with the supernet's weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgewise._core.errors import TargetError
from edgewise._core.progress import Progress
from edgewise._core.showing import judged_best
from edgewise.ir import ArchPlan
from edgewise.recipes.searching.aiming import TOLERANCE, Hit
from edgewise.singlepath.baselines import Evolution, Score, evolve
from edgewise.space.prices import Prices
from edgewise.space.solve import Window

Shoot = Callable[[Sequence[ArchPlan]], list[Hit]]
"""Networks beside the target, all measured in one run where anything can be measured."""
_GENERATIONS = 3
_MOST_MEASURED = 4
"""Better networks that are measured together; the best of those that meet the target is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refined:
    """A network, and what judging others of its latency changed.

    Attributes:
        hit: The network.
        score: Its accuracy with the supernet's weights.
        likeliest: That of the network that norms and thresholds decided on.
        judged: Networks judged.
    """

    hit: Hit
    score: float
    likeliest: float
    judged: int = 1

    def to_json(self) -> dict[str, Any]:
        """JSON values ``judged``, ``likeliest`` and ``found``."""
        return {"judged": self.judged, "likeliest": self.likeliest, "found": self.score}


@dataclass(frozen=True, kw_only=True)
class Refiner:
    """Looks for better networks at the latency of the likeliest, by evolution that begins with it.

    What norms and thresholds say of a block is learnt while all other blocks are drawn at random. Here whole networks
    are judged, each with the supernet's weights and batch norms of its own (Guo et al. 2020, "Single path one-shot
    neural architecture search with uniform sampling").

    Attributes:
        prices: What choices take.
        score: Judges a network.
        n: Networks judged beside the likeliest; 0 to keep it.
        seed: Of what evolution draws.
        progress: Is told of every network.
    """

    prices: Prices
    score: Score
    n: int
    seed: int = 0
    progress: Progress

    def refined(self, hit: Hit, shoot: Shoot) -> Refined:
        """A network that meets the target and is judged better, or the one given.

        Args:
            hit: The likeliest network, aimed at the target.
            shoot: Sets networks beside that target.
        """
        likeliest = self.score(hit.plan)
        kept = Refined(hit=hit, score=likeliest, likeliest=likeliest)
        if self.n == 0:
            return kept
        # Predicted seconds at which a network would take what was asked for, as far as the likeliest tells.
        most_s = self.prices.latency_s(hit.plan) * hit.target_s / hit.latency_s
        window = Window(least_s=most_s * (1 - TOLERANCE), most_s=most_s)
        population = max(2, self.n // (_GENERATIONS + 1))
        course = Evolution(population=population, generations=max(0, self.n // population - 1), begin=(hit.plan,))
        try:
            judged = evolve(self.prices, window, self.score, course=course, seed=self.seed, progress=self.progress)
        except TargetError:  # the space has no other network so near
            return kept
        better = {one.plan: one.score for one in judged if one.score > likeliest}
        shots = shoot([*better][:_MOST_MEASURED]) if better else []
        taken = next((shot for shot in shots if -TOLERANCE <= shot.miss <= 0), None)
        found = replace(kept, judged=len(judged))
        if taken is not None:
            found = replace(found, hit=replace(taken, tries=hit.tries + 1), score=better[taken.plan])
        self.progress.note(f"with the supernet's weights: {judged_best(found.to_json())}")
        return found
