"""A device whose prices are measured: kernel calls timed alone, surfaces between them, a total from the parts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgewise._core.errors import UnknownLayerError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.rng import make_rng
from edgewise.cost import Estimate, Kind, Piece, Workload
from edgewise.cost.lowering import Lowering, lowering_for
from edgewise.cost.lowering.lower import pieces_of
from edgewise.cost.needs import Need, at, edges_between, fitting, grid_pairs, need_around, needs_of
from edgewise.cost.steps import Step, find_step
from edgewise.cost.surface import LatencySurface, Timing, fit_surface, held_out_error
from edgewise.ir import NetSpec
from edgewise.measure.footprint import FootprintCurve, footprint_around, footprint_curve
from edgewise.measure.host import native_block
from edgewise.measure.overheads import NO_OVERHEADS, Overheads
from edgewise.measure.pricing import PriceBook
from edgewise.measure.settings import RuntimeSettings

MOST_PROBES = 40
"""Kernel calls timed for one distinct fused layer, at most."""
_HELD_OUT = 3
_STEPPED_KERNELS = frozenset({"nchwc", "fused"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Learnt:
    """What is known of one kind of layer.

    Attributes:
        surface: Latency over both widths.
        in_step: Step found along the input width.
        out_step: Step found along the output width.
        probes: Calls timed for it.
        held_out_error: Median relative error on the pairs held out of the fit.
    """

    surface: LatencySurface
    in_step: int
    out_step: int
    probes: int
    held_out_error: float


@dataclass(kw_only=True)
class MeasuredDevice:
    """Prices networks on a runtime of this machine.

    Attributes:
        settings: Runtime, threads, batch, precision.
        book: Where single timings come from.
        footprint_bytes: What passes between two uses of a weight in the network that is priced, see :mod:`edgewise.measure.footprint`.
        overheads: What a network costs beyond its calls, fitted on other networks.
        slowdown: How much slower the machine is than usual, for the total; prices of single calls are at its usual speed.
        learnt: Surfaces by family; grows by :meth:`learn`.
        curve: What other footprints make of a network's sum; of the network learnt last.
    """

    settings: RuntimeSettings
    book: PriceBook
    footprint_bytes: int
    overheads: Overheads = NO_OVERHEADS
    slowdown: float = 1.0
    block: int = 16
    learnt: dict[Workload, Learnt] = field(default_factory=dict)
    curve: FootprintCurve = field(default_factory=FootprintCurve)
    _steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    _prices: dict[Workload, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.settings.device

    def lowering(self, net: NetSpec) -> Lowering:
        """The network cut for this device."""
        return lowering_for(self.settings.device, net, block=self.block)

    def pieces(self, net: NetSpec) -> tuple[Piece, ...]:
        """The network cut the way this device runs it."""
        return pieces_of(self.lowering(net), net.widths)

    def estimate(self, pieces: Sequence[Piece]) -> tuple[Estimate, ...]:
        """Predicted latency of each piece.

        Raises:
            UnknownLayerError: A piece of a kind that was never learnt.
        """
        return tuple(Estimate(latency_s=self.in_network_s(piece.workload), kind=Kind.PREDICTED) for piece in pieces)

    def total(self, pieces: Sequence[Piece], estimates: Sequence[Estimate]) -> Estimate:
        """The sum of the parts at the network's own footprint and the device's overheads, at the machine's present speed."""
        calls_s = self.curve.factor(pieces) * sum(estimate.latency_s for estimate in estimates)
        latency_s = self.slowdown * self.overheads.total_s(calls_s, calls=len(pieces))
        return Estimate(latency_s=latency_s, kind=Kind.PREDICTED)

    def predict_s(self, net: NetSpec) -> float:
        """Predicted latency of a whole network, in seconds."""
        pieces = self.pieces(net)
        return self.total(pieces, self.estimate(pieces)).latency_s

    def in_network_s(self, workload: Workload) -> float:
        """Predicted seconds of one kernel call where its maps come from other calls, before what the total adds.

        Raises:
            UnknownLayerError: Its kind was never learnt.
        """
        return self.price_s(workload) + self.overheads.spill_s(workload, batch=self.settings.batch)

    def price_s(self, workload: Workload) -> float:
        """Predicted seconds of one kernel call alone, without overheads.

        Raises:
            UnknownLayerError: Its kind was never learnt.
        """
        if workload not in self._prices:
            found = self.learnt.get(workload.family)
            if found is None and self.learnt:
                # A rare mixture of layouts that no trial brought out: timed at these widths and some around them.
                found = self.learnt[workload.family] = self._learn(need_around(workload), levels=2)
            if found is None:
                raise UnknownLayerError(
                    f"no timings of {workload.op} ({workload.kernel}) at {workload.in_hw} on {self.name}; profile the network first"
                )
            self._prices[workload] = found.surface.latency_s(workload.in_channels, workload.out_channels)
        return self._prices[workload]

    def step_of(self, family: Workload) -> int:
        """Step of the output width of a family; 1 where none was found."""
        found = self.learnt.get(family.family)
        return found.out_step if found else 1

    def learn(self, net: NetSpec, *, floor: float, progress: Progress | None = None, levels: int = 4) -> None:
        """Times what it takes to price the network at any widths between the floor and 1.25 times the present ones.

        Args:
            net: The network.
            floor: Smallest share of a tie's present width.
            progress: Is told how far it is.
            levels: Widths of each side in the coarse grid; fewer for networks of many distinct layers.
        """
        needs = [need for need in needs_of(net, self.lowering(net), floor=floor) if need.family not in self.learnt]
        watcher = progress or SilentProgress()
        watcher.start("timing layers", len(needs))
        for need in sorted(needs, key=lambda need: -at(need, need.highest).macs):
            self.learnt[need.family] = self._learn(need, levels=levels)
            watcher.advance()
        self.curve = footprint_curve(
            self.pieces(net),
            around_bytes=self.footprint_bytes,
            prices_at=lambda calls, footprint_bytes: self.book.prices(calls, footprint_bytes=footprint_bytes),
        )

    def _learn(self, need: Need, *, levels: int) -> Learnt:
        timings: dict[tuple[int, int], float] = {}
        in_step = out_step = 1
        if need.family.kernel in _STEPPED_KERNELS and need.family.has_weight and max(need.highest) > self.block:
            out_step = self._find_step(need, timings, side=1)
            in_step = out_step if need.family.one_width else self._find_step(need, timings, side=0)
        elif need.family.kernel in ("nchwc_first", "reorder_out", "reorder_in", "blocked"):
            out_step = self.block
        wanted = [pair for pair in self._pairs(need, in_step, out_step, levels=levels) if pair not in timings]
        self._time(need, wanted[: max(MOST_PROBES - _HELD_OUT - len(timings), 1)], timings)
        held_out = self._held_out(need, levels=levels)
        checks: dict[tuple[int, int], float] = {}
        self._time(need, [pair for pair in held_out if pair not in timings], checks)
        fitted, checked = _as_timings(timings), _as_timings(checks)
        one = need.family.one_width
        error = held_out_error(fitted, checked, in_step=in_step, out_step=out_step, one_width=one)
        surface = fit_surface([*fitted, *checked], in_step=in_step, out_step=out_step, one_width=one)
        return Learnt(surface=surface, in_step=in_step, out_step=out_step, probes=len(fitted) + len(checked), held_out_error=error)

    def _pairs(self, need: Need, in_step: int, out_step: int, *, levels: int) -> list[tuple[int, int]]:
        present = sorted(need.present)
        if need.off_step or not need.family.has_weight:
            return fitting(
                need, [*present, *grid_pairs(need, in_step=1, out_step=1, levels=3 if need.family.has_weight else 2)], block=self.block
            )
        pairs = [*present, *grid_pairs(need, in_step=in_step, out_step=out_step, levels=levels)]
        one = need.family.one_width
        for read, written in grid_pairs(need, in_step=in_step, out_step=out_step, levels=2):
            middle = written - out_step // 2
            pairs += [(middle if one else read, middle)] if 0 < middle < written else []
        lines = {read: [written for other, written in present if other == read] for read, _ in present}
        for read, outs in lines.items():
            edges = edges_between(
                need.lowest[1], need.highest[1], step=out_step, present=outs, most=2 * levels if len(lines) < 3 else levels
            )
            pairs += [(written if one else read, written) for written in edges]
        return fitting(need, pairs, block=self.block)

    def _held_out(self, need: Need, *, levels: int) -> list[tuple[int, int]]:
        if need.off_step or levels < 4:
            return []
        rng = make_rng(0, "held-out", need.family.key())
        pairs = []
        for _ in range(_HELD_OUT):
            read, written = (int(rng.integers(need.lowest[side], need.highest[side] + 1)) for side in (0, 1))
            pairs.append((written if need.family.one_width else read, written))
        return fitting(need, pairs, block=self.block)

    def _find_step(self, need: Need, timings: dict[tuple[int, int], float], *, side: int) -> int:
        label = (f"{need.family.kernel}:{'depthwise' if need.family.groups == 0 else need.family.op}", str(side))
        grain = 4 if need.family.kernel == "nchwc" and (side == 0 or need.family.one_width) else 1
        known = self._steps.get(label)
        other = min(max(need.highest[1 - side], need.lowest[1 - side]), 64)
        near = min(max(need.lowest[side], 64), max(need.highest[side], 16))

        def pair(width: int) -> tuple[int, int]:
            made = (width, width) if need.family.one_width else ((width, other) if side == 0 else (other, width))
            return fitting(need, [made], block=self.block)[0]

        def time_widths(widths: Sequence[int]) -> list[float]:
            self._time(need, [pair(width) for width in widths], timings)
            return [timings[pair(width)] for width in widths]

        step = find_step(time_widths, near=near, grain=grain, first=known.channels if known else None)
        if known is None or step.jump > known.jump:
            self._steps[label] = step
        # A layer too small for its own step to show takes the step of its kernel seen elsewhere.
        return max(step.channels, self._steps[label].channels)

    def _time(self, need: Need, pairs: Iterable[tuple[int, int]], into: dict[tuple[int, int], float]) -> None:
        wanted = [pair for pair in pairs if pair not in into]
        prices_s = self.book.prices([at(need, pair) for pair in wanted], footprint_bytes=self.footprint_bytes)
        for pair in wanted:
            into[pair] = prices_s[at(need, pair)]


def device_for(net: NetSpec, settings: RuntimeSettings, book: PriceBook, *, overheads: Overheads = NO_OVERHEADS) -> MeasuredDevice:
    """A device ready to learn a network: the footprint is that of the network's weights, halfway through the widths it may take."""
    footprint_bytes = footprint_around(net)
    return MeasuredDevice(settings=settings, book=book, footprint_bytes=footprint_bytes, overheads=overheads, block=native_block())


def _as_timings(timings: Mapping[tuple[int, int], float]) -> list[Timing]:
    return [Timing(in_channels=read, out_channels=written, latency_s=latency_s) for (read, written), latency_s in timings.items()]


def relative_error(predicted_s: float, measured_s: float) -> float:
    """``|predicted - measured| / measured``."""
    return math.inf if measured_s <= 0 else abs(predicted_s - measured_s) / measured_s
