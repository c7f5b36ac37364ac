"""Channels that no image is to keep, removed for good: what is then pruned for each image is the rest.

A gate saves what its reader does, on the input side alone: the layer before computes also what is dropped. Where ratios are settled,
:func:`~edgewise.dynamic.balancing.balance_channels` leaves most channels either always kept or never. What is never kept need not be
there, and without it the layer before is smaller, too. *Ours*: the tutorial tells static from dynamic redundancy (its Figure 4), and
removes neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from edgewise.cost.chip.masks import LayerMask, full_mask
from edgewise.dynamic.balancing import CHANGING, MapStatistics, by_worth, changing_places
from edgewise.ir import NetSpec, TiePlan, WidthPlan
from edgewise.ir.gates import Gate, GatePlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """What is removed for good, and what gates do of the rest.

    Attributes:
        widths: Which channels stay.
        gates: The gates on what stays: each keeps as many channels for an image as before.
        staying: Channels that stay of each gated map, ascending, by consumer; of maps that lose none, nothing.
    """

    widths: WidthPlan
    gates: GatePlan
    staying: Mapping[str, tuple[int, ...]]

    @staticmethod
    def of(net: NetSpec, plan: GatePlan, widths: WidthPlan) -> "Removal":
        """The removal that leaves these widths of a network.

        Args:
            net: The network as it is.
            plan: Its gates.
            widths: Which channels stay.
        """
        left = {tie.tie: tie.keep for tie in widths.ties}
        found = {gate.consumer: left[tie] for gate in plan.gates if (tie := removable_tie(net, gate)) in left}
        gates = tuple(_on_staying(gate, len(found.get(gate.consumer, range(gate.channels)))) for gate in plan.gates)
        return Removal(widths=widths, gates=replace(plan, gates=gates), staying=found)

    def masks_before(self, plan: GatePlan, masks: Mapping[str, LayerMask]) -> dict[str, LayerMask]:
        """What was kept of each map as it was: what is removed was kept of no image.

        Args:
            plan: The gates before.
            masks: What the gates kept of what stays, by consumer; where nothing is said of a map, all that stays was kept.
        """
        n_images = max((mask.n_images for mask in masks.values()), default=1)
        found = dict(masks)
        for gate in plan.gates:
            staying = self.staying.get(gate.consumer)
            if staying is not None:
                mask = masks.get(gate.consumer) or full_mask(len(staying), n_images)
                channels = np.zeros((mask.n_images, gate.channels), dtype=bool)
                channels[:, list(staying)] = mask.channels
                found[gate.consumer] = replace(mask, channels=channels)
        return found


def staying_count(gate: Gate, changing: Sequence[float] = (CHANGING,)) -> int:
    """How many channels of a gated map may be kept for an image: the kept ones, and as many more as may take their places.

    Example:
        >>> gate = Gate(consumer="b", producer="a", block=0, channels=64, hw=(8, 8), channel_ratio=0.5)
        >>> staying_count(gate, (0.25,)), staying_count(gate, (0.0,)), staying_count(gate, (1.0,))
        (40, 32, 64)
    """
    return min(gate.channels, gate.kept_channels + changing_places(gate, changing))


def plan_removal(
    model: nn.Module,
    net: NetSpec,
    plan: GatePlan,
    statistics: Mapping[str, MapStatistics] | None = None,
    *,
    changing: Sequence[float] = (CHANGING,),
) -> Removal:
    """Which channels of gated maps are removed for good: all but the worthiest that an image may keep.

    Args:
        model: The network that the statistics are of, before it is balanced.
        net: The same as hardware sees it.
        plan: Gates and their settled ratios, of the network as it is.
        statistics: Of the gated maps by consumer (:func:`~edgewise.dynamic.balancing.record_maps`); where there are none, a channel is
            worth the norm of the weights that read it.
        changing: Share of the kept channels that may be others for every image, in [0, 1]; one for all blocks, or one for each.

    Returns:
        The removal. Maps that others read too, or whose width is not free, lose nothing (:func:`removable_tie`).
    """
    modules, ties = dict(model.named_modules()), list[TiePlan]()
    for gate in plan.gates:
        tie, reader, n_staying = removable_tie(net, gate), modules.get(gate.consumer), staying_count(gate, changing)
        if tie is None or not isinstance(reader, nn.Conv2d) or n_staying >= gate.channels:
            continue
        known = (statistics or {}).get(gate.consumer)
        deviation = torch.ones(gate.channels) if known is None else known.deviation
        order = by_worth(reader.weight.detach(), deviation)
        ties.append(TiePlan(tie=tie, keep=tuple(sorted(int(place) for place in order[:n_staying]))))
    return Removal.of(net, plan, WidthPlan(ties=tuple(ties)))


def widths_left(net: NetSpec, plan: GatePlan, changing: Sequence[float] = (CHANGING,)) -> tuple[NetSpec, GatePlan]:
    """The network that removal leaves, as hardware sees it, and its gates; no weights are looked at.

    Args:
        net: The network as it is.
        plan: Gates and their ratios.
        changing: As :func:`plan_removal` takes it.
    """
    ties = {gate.consumer: tie for gate in plan.gates if (tie := removable_tie(net, gate))}
    left = {gate.consumer: staying_count(gate, changing) for gate in plan.gates if gate.consumer in ties}
    gates = tuple(_on_staying(gate, left.get(gate.consumer, gate.channels)) for gate in plan.gates)
    return net.with_widths({ties[name]: count for name, count in left.items()}), replace(plan, gates=gates)


def removable_tie(net: NetSpec, gate: Gate) -> str | None:
    """The tie of a gated map, if channels of it can be removed by what its consumer makes of them alone.

    None where the map's channels are of several layers' (a concatenation), where layers other than the consumer (and convolutions of
    each channel alone) read them, as those of a residual stage's sums, and where their number is not free.
    """
    terms = net.layer(gate.consumer).in_dim.terms
    if len(terms) != 1 or terms[0].times != 1 or net.layer(gate.consumer).in_dim.fixed or not net.tie(terms[0].tie).free:
        return None
    readers = {layer.name for layer in net.priced if terms[0].tie in layer.in_dim.ties and not layer.depthwise}
    return terms[0].tie if readers == {gate.consumer} else None


def _on_staying(gate: Gate, n_staying: int) -> Gate:
    """The gate on so many of its channels."""
    if n_staying == gate.channels:
        return gate
    return replace(gate, channels=n_staying, channel_ratio=1 - gate.kept_channels / n_staying)
