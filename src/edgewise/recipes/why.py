"""``bench --why``: per fused layer, MACs saved against time saved, and why the one did not follow the other.

Each fused layer of both networks is timed alone, by the same probes that profiles use. Where
time did not follow, the causes are tried one by one, the surest first; a step is not
guessed but timed: the layer is probed again at the next whole block of channels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import format_seconds
from edgewise.cost import Piece, Workload
from edgewise.cost.lowering import lowering_for
from edgewise.cost.lowering.lower import pieces_of
from edgewise.ir import NetSpec
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.footprint import footprint_around
from edgewise.measure.host import native_block
from edgewise.measure.pricing import PriceBook, open_price_book
from edgewise.measure.runtimes import Runtime

BLOCKS = (16, 8)
"""Blocks of channels that processors' kernels work in, the commonest first."""
_FOLLOWED_SHARE = 0.5
_NOISE = 0.03
_NEAR_SMALLEST = 2.0
_FEW_MACS_PER_BYTE = 4.0
_SLOW_KERNELS = frozenset({"im2col", "plain"})

TimeCalls = Callable[[Sequence[Workload]], Mapping[Workload, float]]
"""Seconds of kernel calls timed alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCost:
    """One fused layer of one network.

    Attributes:
        layers: Layers that run as one.
        calls: Its kernel calls: the layer itself, then changes of layout.
        latency_s: Seconds of all of them, timed alone (minimum).
    """

    layers: tuple[str, ...]
    calls: tuple[Workload, ...]
    latency_s: float

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input."""
        return sum(call.macs for call in self.calls)

    @property
    def moved_bytes(self) -> int:
        """Bytes of weights and feature maps that it reads and writes."""
        return sum(call.weight_bytes + call.activation_bytes for call in self.calls)


@dataclass(frozen=True, kw_only=True, slots=True)
class WhyRow:
    """One fused layer before and after.

    Attributes:
        layer: First convolution of the fused group.
        macs_before: Multiply-accumulates before; none where the layer is new.
        macs_after: Multiply-accumulates after; none where the layer is gone.
        latency_before_s: Seconds before, timed alone.
        latency_after_s: Seconds after, timed alone.
        reason: Why time did not follow; empty where it did.
    """

    layer: str
    macs_before: int | None = None
    macs_after: int | None = None
    latency_before_s: float | None = None
    latency_after_s: float | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "layer": self.layer,
            "macs_before": self.macs_before,
            "macs_after": self.macs_after,
            "latency_before_s": self.latency_before_s,
            "latency_after_s": self.latency_after_s,
            "reason": self.reason,
            "kind": "measured",
        }


def explain(
    before: NetSpec, after: NetSpec, *, runtime: Runtime, database: LatencyDatabase, progress: Progress | None = None
) -> tuple[WhyRow, ...]:
    """Compares two networks layer by layer on one device.

    Args:
        before: The network compared with.
        after: The other; layers of the same name are compared.
        runtime: Where both are to run.
        database: Where timings come from and go.
        progress: Is told how far it is.

    Returns:
        One row for each fused layer, in running order; layers of one network alone have figures for that one.

    Raises:
        DeviceError: The runtime refuses a kernel call.
    """
    watcher = progress or SilentProgress()
    book = open_price_book(runtime.settings, runtime.identity(), database, progress=watcher)
    time_calls = _timer(book, footprint_around(before))
    sides = []
    for net in (before, after):
        pieces = pieces_of(lowering_for(runtime.settings.device, net, block=native_block()), net.widths)
        watcher.start(f"timing the layers of {net.name}", len({piece.workload for piece in pieces}))
        sides.append(costs(pieces, time_calls))
    watcher.start("asking why", 0)
    return compare(sides[0], sides[1], time_calls=time_calls)


def costs(pieces: Sequence[Piece], time_calls: TimeCalls) -> dict[str, LayerCost]:
    """What each fused layer costs, by the name of its first convolution."""
    seconds = time_calls([piece.workload for piece in pieces])
    found: dict[str, LayerCost] = {}
    for piece in pieces:
        known = found.get(piece.position)
        found[piece.position] = LayerCost(
            layers=piece.layers,
            calls=(*(known.calls if known else ()), piece.workload),
            latency_s=(known.latency_s if known else 0.0) + seconds[piece.workload],
        )
    return found


def compare(before: Mapping[str, LayerCost], after: Mapping[str, LayerCost], *, time_calls: TimeCalls) -> tuple[WhyRow, ...]:
    """One row for each fused layer of either network, with the reason where time did not follow."""
    smallest_s = min((cost.latency_s for cost in (*before.values(), *after.values()) if cost.macs), default=0.0)
    names = [*before, *(name for name in after if name not in before)]
    rows = []
    for name in names:
        old, new = before.get(name), after.get(name)
        reason = ""
        if old is not None and new is not None and not time_followed(old, new):
            reason = find_reason(old, new, smallest_s=smallest_s, time_calls=time_calls)
        rows.append(
            WhyRow(
                layer=name,
                macs_before=old.macs if old else None,
                macs_after=new.macs if new else None,
                latency_before_s=old.latency_s if old else None,
                latency_after_s=new.latency_s if new else None,
                reason=reason,
            )
        )
    return tuple(rows)


def time_followed(before: LayerCost, after: LayerCost) -> bool:
    """Whether at least half of the share of MACs saved was saved in time, within noise.

    A layer that grew is judged too: its time followed if it rose by no larger a share than its MACs.
    """
    saved_s = (before.latency_s - after.latency_s) / before.latency_s
    if before.macs == 0:
        return saved_s >= -_NOISE
    saved_macs = (before.macs - after.macs) / before.macs
    return saved_s >= saved_macs * (_FOLLOWED_SHARE if saved_macs > 0 else 1.0) - _NOISE


def find_reason(before: LayerCost, after: LayerCost, *, smallest_s: float, time_calls: TimeCalls) -> str:
    """The first cause that holds, in words.

    Args:
        before: The layer as it was.
        after: The layer as it is.
        smallest_s: Seconds of the smallest layer with weights seen: about what starting one takes.
        time_calls: Times kernel calls alone.
    """
    old, new = before.calls[0], after.calls[0]
    if new.kernel in _SLOW_KERNELS and old.kernel not in _SLOW_KERNELS:
        return f"left the fast path: {_channels(new)} channels do not fit the blocked kernel ({old.kernel} before, {new.kernel} now)"
    if len(after.layers) < len(before.layers):
        return f"not fused: {', '.join(name for name in before.layers if name not in after.layers)} runs on its own now"
    if len(after.calls) > len(before.calls):
        extra_s = sum(time_calls(after.calls[1:]).values())
        return f"a change of layout is needed behind it now, {format_seconds(extra_s)}"
    step = _off_step(new, time_calls)
    if step:
        return step
    if after.latency_s <= _NEAR_SMALLEST * smallest_s:
        return f"overhead: {format_seconds(after.latency_s)} is near the smallest layer's {format_seconds(smallest_s)}"
    if after.macs / max(after.moved_bytes, 1) < _FEW_MACS_PER_BYTE:
        saved = 1 - after.moved_bytes / max(before.moved_bytes, 1)
        return f"memory-bound: {after.macs / after.moved_bytes:.1f} MACs a byte, and only {saved:.0%} fewer bytes are moved"
    return "no cause found; smaller layers use the processor less well"


def _off_step(call: Workload, time_calls: TimeCalls) -> str:
    """Says so if the next whole block of channels takes no longer."""
    if not call.has_weight or call.groups not in (0, 1):
        return ""
    for block in BLOCKS:
        read, written = _up(call.in_channels, block), _up(call.out_channels, block)
        if call.one_width:
            read = written
        if (read, written) == (call.in_channels, call.out_channels):
            continue
        wider = call.with_widths(read, written)
        seconds = time_calls([call, wider])
        if seconds[wider] <= seconds[call] * (1 + _NOISE):
            return f"off its step: {_channels(call)} channels take as long as {_channels(wider)} ({format_seconds(seconds[wider])})"
    return ""


def _up(width: int, block: int) -> int:
    # The first layer of a network reads colours, which no block pads.
    return width if width < BLOCKS[-1] else -(-width // block) * block


def _channels(call: Workload) -> str:
    return str(call.out_channels) if call.one_width else f"{call.in_channels}→{call.out_channels}"


def _timer(book: PriceBook, footprint: int) -> TimeCalls:
    def time_calls(calls: Sequence[Workload]) -> Mapping[Workload, float]:
        return book.prices(calls, footprint_bytes=footprint)

    return time_calls
