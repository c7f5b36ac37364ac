"""What each block's pruning costs in accuracy, one block at a time and without training."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from torch import nn

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.dynamic.attention import GateRules
from edgewise.dynamic.gating import gated
from edgewise.ir.gates import GatePlan
from edgewise.train.batches import Batches
from edgewise.train.evaluate import accuracy

Side = Literal["channels", "positions", "static"]
"""What is pruned: channels by attention, positions by attention, or channels whatever the input (L1 of their filters)."""

SIDES: tuple[Side, ...] = ("channels", "positions")
SWEEP = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Ratios tried by default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPoint:
    """Accuracy with one block pruned, all others dense.

    Attributes:
        block: The block.
        side: What is pruned of it.
        ratio: How much, in [0, 1).
        accuracy: Share of images classified correctly.
    """

    block: int
    side: Side
    ratio: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """A whole sweep.

    Attributes:
        points: All points, the ratio 0 left out.
        dense: Accuracy with nothing pruned.
        n_images: Images judged by.
        n_blocks: Blocks of the network.
    """

    points: tuple[SweepPoint, ...]
    dense: float
    n_images: int
    n_blocks: int

    def loss(self, block: int, side: Side, ratio: float) -> float:
        """Accuracy lost by pruning a block by a ratio: 0 at 0, linear between swept ratios, never falling with the ratio.

        Raises:
            UsageError: The ratio lies beyond the swept ones, or this side was not swept.
        """
        known = [(0.0, 0.0)]
        for point in sorted(self._of(block, side), key=lambda point: point.ratio):
            known.append((point.ratio, max(known[-1][1], self.dense - point.accuracy)))
        for (low, loss_low), (high, loss_high) in pairwise(known):
            if low <= ratio <= high:
                return loss_low + (loss_high - loss_low) * (ratio - low) / (high - low)
        if ratio == 0:
            return 0.0
        raise UsageError(f"`ratio` must lie within those swept for {side} of block {block}, up to {known[-1][0]:g}, got {ratio:g}")

    def largest_ratio(self, block: int, side: Side, *, tolerance: float) -> float:
        """The largest ratio swept that loses at most ``tolerance`` of accuracy, all smaller ones included; 0 where none does."""
        best = 0.0
        for point in sorted(self._of(block, side), key=lambda point: point.ratio):
            if self.dense - point.accuracy > tolerance:
                break
            best = point.ratio
        return best

    def to_json(self) -> dict[str, Any]:
        """The sweep as JSON values."""
        return {
            "dense": self.dense,
            "images": self.n_images,
            "n_blocks": self.n_blocks,
            "points": [asdict(point) for point in self.points],
        }

    def _of(self, block: int, side: Side) -> list[SweepPoint]:
        return [point for point in self.points if (point.block, point.side) == (block, side)]


def sweep_blocks(
    model: nn.Module,
    plan: GatePlan,
    batches: Batches,
    *,
    ratios: Sequence[float] = SWEEP,
    sides: Iterable[Side] = SIDES,
    progress: Progress | None = None,
) -> Sensitivity:
    """Prunes one block at a time by every ratio, and judges the network each time.

    Args:
        model: The dense network; not changed.
        plan: Its gates; their ratios are not read.
        batches: Images and classes; a list, as it is gone through many times.
        ratios: Ratios to try, in (0, 1).
        sides: What to prune.
        progress: Is told of every point.
    """
    watcher = progress or SilentProgress()
    wanted = [(side, block, ratio) for side in sides for block in range(plan.n_blocks) for ratio in ratios]
    watcher.start("sensitivity of the blocks", len(wanted) + 1)
    dense = accuracy(model, batches)
    watcher.advance()
    points = []
    for side, block, ratio in wanted:
        only = [ratio if place == block else 0.0 for place in range(plan.n_blocks)]
        none = [0.0] * plan.n_blocks
        pruned = plan.with_ratios(none, only) if side == "positions" else plan.with_ratios(only, none)
        with gated(model, pruned, GateRules(ranking="static" if side == "static" else "attention")):
            points.append(SweepPoint(block=block, side=side, ratio=ratio, accuracy=accuracy(model, batches)))
        watcher.advance()
    return Sensitivity(points=tuple(points), dense=dense, n_images=sum(len(batch[1]) for batch in batches), n_blocks=plan.n_blocks)
