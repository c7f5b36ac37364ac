"""What a search found beside what chance and evolution find at the same latency, all judged with the supernet's weights."""

import statistics
from typing import Any

from edgewise._core.errors import TargetError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.singlepath.baselines import Evolution, Score, Scored, evolve, random_search
from edgewise.space.prices import Prices
from edgewise.space.solve import TOLERANCE, Window


def compared(found: Scored, prices: Prices, score: Score, *, n: int, seed: int = 0, progress: Progress | None = None) -> dict[str, Any]:
    """Judges random networks, and as many found by evolution, whose predicted latency is that of the network found.

    Args:
        found: The network found, judged as ``score`` judges.
        prices: What choices take.
        score: Judges a network.
        n: Networks of either kind; at least 4.
        seed: Of what is drawn.
        progress: Told of every network.

    Returns:
        JSON values: ``networks``, ``found``, ``random {mean, deviation, best}``, ``evolved {score, architecture}``; ``why_not``
        in place of the last two where the space has no other network at that latency.
    """
    watcher, window = progress or SilentProgress(), Window(least_s=found.predicted_s * (1 - TOLERANCE), most_s=found.predicted_s)
    head = {"networks": n, "found": found.score}
    population = max(2, n // 4)
    try:
        drawn = [one.score for one in random_search(prices, window, score, n=n, seed=seed, progress=watcher)]
        course = Evolution(population=population, generations=n // population - 1)
        best = evolve(prices, window, score, course=course, seed=seed, progress=watcher)[0]
    except TargetError as error:
        return {**head, "why_not": str(error)}
    return {
        **head,
        "random": {"mean": statistics.mean(drawn), "deviation": statistics.stdev(drawn), "best": drawn[0]},
        "evolved": {"score": best.score, "architecture": list(best.plan.labels)},
    }
