"""Further networks: what the sampler proposes, as points, and what the solvers proposed, as the sampler hears it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from edgewise._core.units import LatencyTarget
from edgewise.dynamic import place_gates
from edgewise.recipes.explore.asking import Params
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.study import Study

MOST_DROPPED = 40
"""Proposals in a row that were tried before, or that nothing reaches, after which nothing new is expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A network to try.

    Attributes:
        point: The network.
        params: The sampler's parameters that stand for it; none where the sampler does not hear of it.
        open: The sampler proposed it, and waits to hear whether it is taken.
    """

    point: Point
    params: Params | None
    open: bool = False


class Proposer:
    """Translates between the sampler and networks.

    Args:
        study: What it works with.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def next(self, tried: Collection[str], fits: Callable[[Point], bool]) -> Proposal | None:
        """The sampler's next network; none where it proposes nothing new, or nothing that fits into the time left.

        Args:
            tried: Keys of the points tried so far.
            fits: Whether there is time for a network.
        """
        study = self._study
        if study.asker is None or study.space.empty:
            return None
        for _ in range(MOST_DROPPED):
            params = study.asker.propose()
            point = self._point_of(params)
            new = point is not None and point.key not in tried
            if point is not None and new and fits(point):
                return Proposal(point=point, params=params, open=True)
            study.asker.drop()
            study.folder.append({"event": "dropped", "params": params, "spent_s": study.clock.spent_s})
            if new:
                return None
        return None

    def took(self, proposal: Proposal, number: int) -> None:
        """Tells the sampler that a network is tried."""
        asker = self._study.asker
        if asker is None or proposal.params is None:
            return
        if proposal.open:
            asker.take(number)
        else:
            asker.hear(number, proposal.params)

    def params_of(self, point: Point) -> Params | None:
        """The sampler's parameters that stand for a network of the solvers; none for what it could not propose."""
        study = self._study
        if study.asker is None or point.epochs != study.opened.epochs:
            return None
        share = 1.0
        if point.architecture and study.searched is not None:
            share = study.searched.predicted_s(point.architecture) / study.searched.given_s
        elif point.widths:
            share = next((one.share for one in study.ladder.known.values() if one.widths == point.widths), 1.0)
        return study.space.params(share=share, channels=point.channel_ratios, positions=point.spatial_ratios, base=point.base)

    def predicted_s(self, point: Point) -> float | None:
        """Latency that the parts of a network predict; none where nobody predicted it."""
        study = self._study
        if point.architecture:
            return None if study.searched is None else study.searched.predicted_s(point.architecture)
        if not point.widths:
            return None
        return next((one.predicted_s for one in study.ladder.known.values() if one.widths == point.widths), None)

    def _point_of(self, params: Params) -> Point | None:
        """The network that the sampler's parameters stand for; none where no widths, or no searched network, are so fast."""
        study, request = self._study, self._study.opened.request
        base, share, channels, positions = study.space.read(params)
        widths: tuple[tuple[str, int], ...] = ()
        architecture: tuple[str, ...] = ()
        if base == "searched":
            assert study.searched is not None
            chosen = study.searched.at(share)
            if chosen is None:
                return None
            architecture = chosen
            n_blocks = place_gates(study.searched.net(architecture)).n_blocks
            channels, positions = channels[:n_blocks], positions[:n_blocks]
        elif share < 1:
            solved = study.ladder.at(LatencyTarget(ratio=share))
            study.folder.keep_plan(replace(study.plan, ladder=study.ladder.known).to_json())
            if solved.why is not None:
                return None
            widths = solved.widths
        return Point(
            base=base,
            widths=widths,
            architecture=architecture,
            channel_ratios=channels,
            spatial_ratios=positions,
            epochs=study.opened.epochs,
            seed=request.seed,
            origin="sampler",
        )
