"""How the decisions of a step come about."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.singlepath.indicators import imposed, indicator
from edgewise.space import BlockSpace, Space

Mode = Literal["hard", "given", "fixed", "drawn", "dropped"]
KEEP = 0.6
"""Share of indicators that the authors' exploration keeps; the kept ones are divided by it."""


@dataclass(frozen=True, kw_only=True)
class Steering:
    """How decisions come about in one forward pass.

    Attributes:
        mode: ``hard``: by norm and threshold. ``given``: as in ``values``, 0 and 1. ``fixed``: the same, and norms and thresholds
            learn nothing from them. ``drawn``: 1 with the probability
            that the logistic function of norm less threshold gives, by the uniform numbers in ``values``. ``dropped``: by
            norm and threshold, times ``values``: 0 or 1 / keep.
        values: One number for each gate of the network; none for ``hard``.
    """

    mode: Mode = "hard"
    values: Float[Tensor, " g"] | None = None

    def part(self, start: int, end: int) -> "Steering":
        """The same for some of the gates."""
        return self if self.values is None else Steering(mode=self.mode, values=self.values[start:end])

    def decide(self, excess: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
        """Decisions from norm less threshold, with gradients."""
        if self.values is None:
            return indicator(excess)
        values = self.values.to(excess)
        if self.mode == "fixed":
            return values + 0 * excess  # of no effect, but several processes wait for gradients of every parameter
        if self.mode == "dropped":
            return indicator(excess) * values
        if self.mode == "drawn":
            values = (values < torch.sigmoid(excess)).to(excess.dtype)
        return imposed(values, excess)

    def priced(self, excess: Float[Tensor, " g"], decided: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
        """What the runtime is worked out from: probabilities where decisions are drawn, else the decisions."""
        return torch.sigmoid(excess) if self.mode == "drawn" else decided


HARD = Steering()


@dataclass(frozen=True, kw_only=True, slots=True)
class GateLayout:
    """Which of a block's gates decides what; in this order.

    Attributes:
        rings: Gates for kernel sizes after the first.
        skip: 1 where the block may be left out, else 0.
        groups: Gates for expansions after the first.
        ses: Gates for ratios of squeeze-and-excitation after the first.
    """

    rings: int
    skip: int
    groups: int
    ses: int

    @property
    def total(self) -> int:
        """All gates of the block."""
        return self.rings + self.skip + self.groups + self.ses

    def parted(self, values: Float[Tensor, " g"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A block's values by what they decide."""
        ends = [self.rings, self.rings + self.skip, self.rings + self.skip + self.groups]
        return values[: ends[0]], values[ends[0] : ends[1]], values[ends[1] : ends[2]], values[ends[2] :]


def layout_of(block: BlockSpace) -> GateLayout:
    """The gates that a block's choices need."""
    return GateLayout(rings=len(block.kernels) - 1, skip=int(block.skippable), groups=len(block.expansions) - 1, ses=len(block.ses) - 1)


def gate_spans(space: Space) -> tuple[tuple[int, int], ...]:
    """Where each block's gates lie in the network's vector of gates."""
    spans, start = [], 0
    for block in space.blocks:
        end = start + layout_of(block).total
        spans.append((start, end))
        start = end
    return tuple(spans)


def values_of(space: Space, plan: ArchPlan) -> Float[Tensor, " g"]:
    """The decisions, 0 and 1, that make the network of a plan; gates behind a closed one are closed.

    Example:
        >>> from edgewise.space import SPACES
        >>> values_of(SPACES["digits"], SPACES["digits"].smallest).tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    values: list[float] = []
    for block, choice in zip(space.blocks, plan.blocks, strict=True):
        values += _first(block.kernels.index(choice.kernel), len(block.kernels) - 1)
        values += [float(not choice.skip)] if block.skippable else []
        values += _first(block.expansions.index(choice.expansion), len(block.expansions) - 1)
        values += _first(block.ses.index(choice.se), len(block.ses) - 1)
    return torch.tensor(values)


def choice_of(block: BlockSpace, values: Float[Tensor, " g"]) -> BlockChoice:
    """The operation that a block's decisions mean; positive is yes. Nested: a later yes behind a no does not count."""
    layout = layout_of(block)
    rings, skip, groups, ses = layout.parted(values.detach())
    return BlockChoice(
        block=block.position,
        kernel=block.kernels[_run(rings)],
        expansion=block.expansions[_run(groups)],
        se=block.ses[_run(ses)],
        skip=bool(layout.skip) and not bool(skip[0] > 0),
    )


def plan_of(space: Space, values: Float[Tensor, " g"]) -> ArchPlan:
    """The network that decisions mean.

    Example:
        >>> from edgewise.space import SPACES
        >>> plan_of(SPACES["digits"], torch.ones(10)) == SPACES["digits"].largest
        True
    """
    spans = gate_spans(space)
    return ArchPlan(blocks=tuple(choice_of(block, values[start:end]) for block, (start, end) in zip(space.blocks, spans, strict=True)))


def _first(index: int, count: int) -> list[float]:
    return [1.0] * index + [0.0] * (count - index)


def _run(values: Tensor) -> int:
    """How many gates are open before the first closed one."""
    return int(torch.cumprod((values > 0).long(), 0).sum()) if len(values) else 0
