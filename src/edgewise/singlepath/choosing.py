"""From trained decisions to the network that meets a target: the likeliest one in a window of latencies."""

from collections.abc import Mapping

import torch

from edgewise._core.errors import TargetError
from edgewise._core.units import format_seconds
from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.singlepath.block import split
from edgewise.singlepath.gates import gate_spans, layout_of
from edgewise.singlepath.superkernel import shares
from edgewise.singlepath.supernet import Supernet
from edgewise.space import BlockSpace
from edgewise.space.prices import Prices
from edgewise.space.solve import TOLERANCE, best_in_window, windows_below

_LEAST = 1e-6


def log_likelihoods(net: Supernet) -> tuple[Mapping[str, float], ...]:
    """Logarithm of the probability of every choice of every block, gates being independent.

    A gate is open with the logistic function of its norm less its threshold.

    Returns:
        For each block of the space, a value for each label of its choices.
    """
    excess = net.excess().double()
    found = []
    for block, (start, end) in zip(net.space.blocks, gate_spans(net.space), strict=True):
        how = split(torch.sigmoid(excess[start:end]), layout_of(block))
        rings, groups, ses = (shares(part).clamp(min=_LEAST).log() for part in (how.rings, how.groups, how.ses))
        there = float(how.skip.clamp(_LEAST, 1.0).log())
        gone = float((1 - how.skip).clamp(_LEAST, 1.0).log())
        found.append(
            {choice.label: gone if choice.skip else there + _worth(block, choice, (rings, groups, ses)) for choice in block.choices}
        )
    return tuple(found)


def choose(net: Supernet, prices: Prices, target_s: float, *, tolerance: float = TOLERANCE) -> ArchPlan:
    """The likeliest network whose predicted latency is at most the target, and not much less.

    Args:
        net: A searched supernet.
        prices: What choices take.
        target_s: Most seconds.
        tolerance: How much less is still near, as a share of the target; widened where no network lies so near.

    Raises:
        TargetError: No network is so fast.
    """
    worth = log_likelihoods(net)
    for window in windows_below(target_s, tolerance=tolerance):
        plan = best_in_window(prices, worth, window)
        if plan is not None:
            return plan
    least, _ = prices.range_s
    raise TargetError(
        f"no network of space {prices.space.name!r} takes at most {format_seconds(target_s)}; the fastest takes {format_seconds(least)}"
    )


def _worth(block: BlockSpace, choice: BlockChoice, logs: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> float:
    rings, groups, ses = logs
    places = (block.kernels.index(choice.kernel), block.expansions.index(choice.expansion), block.ses.index(choice.se))
    return sum(float(values[place]) for values, place in zip((rings, groups, ses), places, strict=True))
