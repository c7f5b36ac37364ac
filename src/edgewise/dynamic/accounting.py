"""What pruning saves, counted as it is published and as it is executed; and what choosing the masks costs."""

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from edgewise.ir import NetSpec
from edgewise.ir.gates import Gate, GatePlan


@dataclass(frozen=True, kw_only=True, slots=True)
class MacCount:
    """Multiply-accumulates of a network's convolutions, dense and pruned.

    The tutorial counts so: convolutions alone, and each pruned on its input side only, ``(1 - c)(1 - s)``; the first
    layer and linear layers stay whole, attention and top-k are left out.

    Attributes:
        macs: Of the dense network's convolutions, as it was given.
        macs_left: Of the convolutions that are left of it without gates; fewer than ``macs`` where channels were removed for good.
        macs_counted: With the ratios as given, not rounded to whole channels and positions.
        macs_executed: With whole channels and positions, rounded up where a stride leaves a fraction.
        attention_adds: Additions for the means that channels and positions are ranked by.
        ranked: Numbers that top-k looks through.
        packed_bytes: Bytes of the lists of what is kept, 4 for each entry.
    """

    macs: int
    macs_left: int
    macs_counted: float
    macs_executed: int
    attention_adds: int
    ranked: int
    packed_bytes: int

    @property
    def reduction(self) -> float:
        """Share of the multiply-accumulates saved, as the tutorial counts; in [0, 1)."""
        return 1 - self.macs_counted / self.macs

    @property
    def reduction_executed(self) -> float:
        """Share of the multiply-accumulates saved in whole channels and positions."""
        return 1 - self.macs_executed / self.macs

    @property
    def reduction_removed(self) -> float:
        """Share of the multiply-accumulates saved by what was removed for good; the rest of what is saved gates save."""
        return 1 - self.macs_left / self.macs

    @property
    def ideal_speedup(self) -> float:
        """Dense over executed multiply-accumulates: the speed-up if time went with them."""
        return self.macs / self.macs_executed

    def realised(self, speedup: float) -> float:
        """Measured speed-up over the ideal one."""
        return speedup / self.ideal_speedup

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON values."""
        names = ("reduction", "reduction_executed", "reduction_removed")
        return {**asdict(self), **{name: getattr(self, name) for name in names}}


def count_macs(net: NetSpec, plan: GatePlan, *, given: NetSpec | None = None) -> MacCount:
    """Counts the multiply-accumulates of a network with gates.

    A convolution of stride 1 with kept positions does its taps for each kept input position (input-stationary),
    which is ``kept / all`` of the dense count; with a larger stride that is the mean over where they lie.

    Args:
        net: The network.
        plan: Gates and their ratios.
        given: The network before channels were removed for good, to compare with; none where none were.
    """
    gates = {gate.consumer: gate for gate in plan.gates}
    counted, executed, adds, ranked, packed = 0.0, 0, 0, 0, 0
    convolutions = [layer for layer in net.layers if layer.op == "conv2d"]
    for layer in convolutions:
        gate = gates.get(layer.name)
        if gate is None:
            counted, executed = counted + layer.macs, executed + layer.macs
            continue
        n_positions = math.prod(gate.hw)
        kept = Fraction(gate.kept_channels, gate.channels) * Fraction(gate.kept_positions, n_positions)
        counted += macs_of(net, gate)
        executed += math.ceil(layer.macs * kept)
        for ratio, size, n_kept in (
            (gate.channel_ratio, gate.channels, gate.kept_channels),
            (gate.spatial_ratio, n_positions, gate.kept_positions),
        ):
            if ratio:
                adds, ranked, packed = adds + gate.channels * n_positions, ranked + size, packed + 4 * n_kept
    return MacCount(
        macs=sum(layer.macs for layer in (given or net).layers if layer.op == "conv2d"),
        macs_left=sum(layer.macs for layer in convolutions),
        macs_counted=counted,
        macs_executed=executed,
        attention_adds=adds,
        ranked=ranked,
        packed_bytes=packed,
    )


def macs_of(net: NetSpec, gate: Gate) -> float:
    """Multiply-accumulates of a gated convolution as the tutorial counts them: on its input side, ratios not rounded."""
    return net.layer(gate.consumer).macs * (1 - gate.channel_ratio) * (1 - gate.spatial_ratio)


def count_static(net: NetSpec, plan: GatePlan) -> float:
    """Multiply-accumulates of the convolutions if each block's channels were removed for all inputs, ratios not rounded.

    Static filter pruning shrinks a convolution on both sides, ``(1 - c_in)(1 - c_out)``; the first on its output side alone.
    """
    read = {gate.consumer: gate.channel_ratio for gate in plan.gates}
    written = {gate.producer: gate.channel_ratio for gate in plan.gates}
    for _, producer, block in plan.heads:
        written.setdefault(producer, plan.channel_ratios[block])
    layers = [layer for layer in net.layers if layer.op == "conv2d"]
    return sum(layer.macs * (1 - read.get(layer.name, 0.0)) * (1 - written.get(layer.name, 0.0)) for layer in layers)


def macs_by_block(net: NetSpec, plan: GatePlan) -> tuple[int, ...]:
    """Dense multiply-accumulates of the convolutions that read each block's maps."""
    totals = [0] * plan.n_blocks
    for gate in plan.gates:
        totals[gate.block] += net.layer(gate.consumer).macs
    return tuple(totals)
