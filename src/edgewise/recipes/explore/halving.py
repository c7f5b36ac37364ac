"""Successive halving: which candidates are worth training on."""

from collections.abc import Sequence

from edgewise.recipes.explore.fronts import Value, crowding_of, ranks_of

MIDDLE = 0.25
"""Share of a network's epochs after which it is judged again."""
LEAST_EPOCHS = 1.0
"""With fewer epochs there is no judging in between: a quarter of so short a training, its rate falling to nothing, teaches little."""
LEAST_SEEN = 4
"""With fewer networks seen at a rung nobody is stopped: half of two is chance."""


def rungs_of(epochs: float, *, halved: bool) -> tuple[float, ...]:
    """Epochs of each rung; they sum up to all of them. The first rung is the network before any training.

    Args:
        epochs: Of a network in full.
        halved: Whether candidates may be stopped; otherwise there is one rung.

    Example:
        >>> rungs_of(4.0, halved=True), rungs_of(0.5, halved=True), rungs_of(4.0, halved=False)
        ((0.0, 1.0, 3.0), (0.0, 0.5), (4.0,))
    """
    if not halved or epochs == 0:
        return (epochs,)
    middle = (MIDDLE * epochs,) if epochs >= LEAST_EPOCHS else ()
    return (0.0, *middle, epochs - sum(middle))


def why_stopped(candidate: Value, others: Sequence[Value]) -> str | None:
    """Why a candidate is not worth training on, in words; none where it is.

    It goes on where nothing seen at its rung is better in both accuracy and latency, or where it stands in the better
    half by that rank; of equal ranks, those with more room around them on their front come first.

    Args:
        candidate: Accuracy at the rung, and latency.
        others: All others that were judged at the same rung.
    """
    seen = [*others, candidate]
    if len(seen) < LEAST_SEEN:
        return None
    ranks = ranks_of(seen)
    own = ranks[-1]
    if own == 0:
        return None
    peers = [place for place, rank in enumerate(ranks) if rank == own]
    room = dict(zip(peers, crowding_of([seen[place] for place in peers]), strict=True))
    ahead = sum(rank < own for rank in ranks) + sum(room[place] > room[len(seen) - 1] for place in peers)
    if ahead < (len(seen) + 1) // 2:
        return None
    better = sum(other.dominates(candidate) for other in others)
    return f"{better} of {len(others)} networks at the same rung {'is' if better == 1 else 'are'} as fast and more accurate, or faster"
