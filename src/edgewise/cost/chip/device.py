"""A crossbar chip as a device: what pieces of a network cost when the whole chip works on one network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgewise._core.errors import DeviceError, UnknownLayerError, UsageError
from edgewise.cost.chip.mapping import DIGITAL_OPS, MAPPED_OPS, LayerMapping, MappingRules, map_layer
from edgewise.cost.chip.pricing import mapped_layers
from edgewise.cost.chip.records import Chip
from edgewise.cost.chip.replication import replicate
from edgewise.cost.chip.settings import ChipSettings
from edgewise.cost.lowering.generic import GENERIC_RULES, PlainLowering
from edgewise.cost.protocol import Estimate, Kind, Piece
from edgewise.cost.workload import Workload
from edgewise.ir import Dim, LayerSpec, NetSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class PieceCost:
    """What one matrix costs on a chip; all zero for what runs in a tile's digital logic.

    Attributes:
        latency_s: Its share of the interval between images.
        energy_j: Energy of all its products, or none where unpublished.
        arrays: Arrays that hold it once.
        positions: Products in sequence.
        utilisation: Cells that hold a weight over all cells of those arrays.
        macs: Multiply-accumulates.
        mapping: Where its weights lie; none in digital logic.
    """

    latency_s: float
    energy_j: float | None
    arrays: int
    positions: int
    utilisation: float
    macs: int
    mapping: LayerMapping | None

    @property
    def extrapolated(self) -> bool:
        """Never: arrays are counted, not fitted to measurements."""
        return False


_IN_LOGIC = PieceCost(latency_s=0.0, energy_j=0.0, arrays=0, positions=0, utilisation=0.0, macs=0, mapping=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossbarDevice:
    """A chip that stores every layer as often as balances its pipeline.

    With as many copies as fill the chip, shared out in proportion to work, every layer takes the same time, and an
    image leaves the pipeline every ``sum(arrays * positions) * mvm_s / chip arrays`` seconds. That sum over layers
    is why pieces can be priced one by one. Copies are whole: the interval of the best whole numbers of copies, the
    pipeline's maximum, stands in the detail of :meth:`total` as ``whole_copies_s`` and is somewhat longer.

    Attributes:
        chip: The chip.
        rules: How weights are laid out.
        batch: Images; the time and the energy are for all of them.
        label: Name on the command line, where it is not the chip's.
    """

    chip: Chip
    rules: MappingRules = field(default_factory=MappingRules)
    batch: int = 1
    label: str = ""
    _known: dict[Workload, PieceCost] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Checks the batch, and that the chip's times are published.

        Raises:
            UsageError: ``batch`` is below 1.
            DeviceError: Nobody knows how long the chip takes.
        """
        if self.batch < 1:
            raise UsageError(f"`batch` must be at least 1, got {self.batch}")
        if self.chip.mvm_s is None:
            raise DeviceError(f"{self.chip.name}'s times are unpublished, so no latency can be given; use isaac, puma or a chip file")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.label or self.chip.name

    @property
    def start_s(self) -> float:
        """A pipeline needs no time to start once it is full."""
        return 0.0

    @property
    def fitted(self) -> bool:
        """Nothing is fitted: the figures are those of the chip file."""
        return False

    @property
    def about(self) -> tuple[tuple[str, str], ...]:
        """What the chip is, and where its figures come from."""
        sources = [*self.chip.sources.values(), *(part.source for part in self.chip.components)]
        assumed = sum(source.startswith("assumed") for source in sources)
        return (
            ("simulated device", f"{self.chip.title}: ReRAM crossbar chip"),
            ("chip figures", f"{len(sources)} values, {assumed} of them assumed; `edgewise crossbar` lists the sources"),
        )

    def lowering(self, net: NetSpec) -> PlainLowering:
        """The network cut into fused groups, one matrix each."""
        return PlainLowering(net, rules=GENERIC_RULES)

    def pieces(self, net: NetSpec) -> tuple[Piece, ...]:
        """The fused groups whose first layer runs on arrays.

        Raises:
            UnknownLayerError: A layer runs neither on arrays nor in a tile's digital logic; the text names it.
        """
        mapped_layers(net, ChipSettings())
        cut = self.lowering(net)
        return tuple(
            Piece(position=group.head.name, layers=tuple(layer.name for layer in group.layers), workload=call)
            for group in cut.groups
            if group.head.op in MAPPED_OPS
            for call in cut.workloads(group, net.widths)
        )

    def estimate(self, pieces: Sequence[Piece]) -> tuple[Estimate, ...]:
        """What each piece costs: its share of the chip's time, and its energy.

        A density below 1 saves the word lines of the rows that are off, and nothing else: reads, conversions and
        time stay while a row block has any row left (see the four mechanisms in :mod:`edgewise.cost.chip.activity`).

        Raises:
            UnknownLayerError: A piece does not run on arrays.
        """
        return tuple(self._estimate(piece) for piece in pieces)

    def total(self, pieces: Sequence[Piece], estimates: Sequence[Estimate]) -> Estimate:
        """The network's interval between images and its energy.

        The detail has ``arrays`` and ``tiles`` (one copy of every layer, packed), ``area_mm2`` of those tiles,
        ``serial_s`` (one copy, layer after layer) and ``whole_copies_s`` (whole copies on the whole chip; the
        slowest layer of the pipeline).

        Raises:
            DeviceError: One copy of every layer does not fit the chip; the text says how many tiles it needs.
        """
        chip, costs = self.chip, self.costs([piece.workload for piece in pieces])
        arrays = sum(cost.arrays for cost in costs)
        tiles = math.ceil(math.ceil(arrays / chip.arrays_per_ima) / chip.imas_per_tile)
        if tiles > chip.tiles:
            raise DeviceError(
                f"the network needs {tiles} tiles ({arrays:,} arrays), {chip.name} has {chip.tiles}; use narrower layers, or "
                "`edgewise crossbar` with fewer bits or --accounting reload"
            )
        mvm_s, area = chip.mvm_s or 0.0, chip.sum_of("area_mm2", per="tile")
        copied = replicate([cost.mapping for cost in costs if cost.mapping is not None], budget=chip.arrays, schedule="pipelined")
        slowest = max((math.ceil(mapping.positions / mapping.copies) for mapping in copied), default=0)
        latency_s = sum(estimate.latency_s for estimate in estimates)
        detail = {
            "arrays": float(arrays),
            "serial_s": sum(cost.positions for cost in costs) * mvm_s * self.batch,
            "tiles": float(tiles),
            "whole_copies_s": slowest * mvm_s * self.batch,
            **({} if area is None else {"area_mm2": area * tiles}),
        }
        return Estimate(
            latency_s=latency_s, energy_j=self._total_j(estimates, latency_s), kind=Kind.SIMULATED, detail=tuple(sorted(detail.items()))
        )

    def predict_s(self, net: NetSpec) -> float:
        """Interval between images of a whole network, in seconds."""
        pieces = self.pieces(net)
        return self.total(pieces, self.estimate(pieces)).latency_s

    def price_s(self, workload: Workload) -> float:
        """Seconds of one piece; 0 for what runs in the tiles' digital logic."""
        return self.costs([workload])[0].latency_s

    def costs(self, calls: Sequence[Workload]) -> tuple[PieceCost, ...]:
        """What pieces cost; those seen before are not mapped again.

        Raises:
            UnknownLayerError: One runs neither on arrays nor in digital logic.
        """
        for call in calls:
            if call not in self._known:
                self._known[call] = self._cost(call)
        return tuple(self._known[call] for call in calls)

    def step_of(self, family: Workload) -> int:
        """Output channels that one more column of arrays holds."""
        return max(1, self.chip.columns // self.chip.slices) if family.has_weight else 1

    def _total_j(self, estimates: Sequence[Estimate], latency_s: float) -> float | None:
        known = [estimate.energy_j for estimate in estimates if estimate.energy_j is not None]
        if len(known) < len(estimates) or self.chip.static_w is None:
            return None
        return sum(known) + self.chip.static_w * latency_s

    def _estimate(self, piece: Piece) -> Estimate:
        if piece.workload.op not in MAPPED_OPS:
            raise UnknownLayerError(f"{piece.position} ({piece.workload.op}) does not run on a crossbar chip")
        cost = self.costs([piece.workload])[0]
        energy_j = cost.energy_j
        if piece.density < 1 and cost.mapping is not None:
            energy_j = self._energy_j(cost.mapping, density=piece.density)
        return Estimate(
            latency_s=cost.latency_s,
            energy_j=energy_j,
            kind=Kind.SIMULATED,
            detail=(("arrays", float(cost.arrays)), ("positions", float(cost.positions)), ("utilisation", cost.utilisation)),
        )

    def _cost(self, work: Workload) -> PieceCost:
        if work.op not in MAPPED_OPS:
            if work.op not in DIGITAL_OPS and work.has_weight:
                raise UnknownLayerError(f"{work.op} runs neither on arrays nor in a tile's digital logic")
            return _IN_LOGIC
        chip, mapping = self.chip, map_layer(_as_layer(work), self.chip, self.rules)
        cells = mapping.arrays_per_copy * chip.rows * chip.columns
        return PieceCost(
            latency_s=mapping.arrays_per_copy * mapping.positions * (chip.mvm_s or 0.0) / chip.arrays * self.batch,
            energy_j=self._energy_j(mapping),
            arrays=mapping.arrays_per_copy,
            positions=mapping.positions,
            utilisation=mapping.cells_used(chip.slices) / cells,
            macs=mapping.macs,
            mapping=mapping,
        )

    def _energy_j(self, mapping: LayerMapping, *, density: float = 1.0) -> float | None:
        """Joules of all products of a matrix, all rows of a product driven but for a share that is off."""
        chip, reads = self.chip, mapping.arrays_per_copy * mapping.positions
        rows = mapping.taps * (mapping.channels // mapping.groups) * mapping.groups
        events = {
            "conversion": mapping.blocks * mapping.conversions * mapping.positions,
            "wordline": rows * mapping.column_arrays * mapping.pair * mapping.positions * density,
            "array": reads,
            "tile": reads,
            "none": 0,
        }
        joules = [chip.event_j(part) for part in chip.components]
        counts = [events[part.follows] for part in chip.components]
        if any(one is None for one in joules):
            return None
        return sum((one or 0.0) * count for one, count in zip(joules, counts, strict=True)) * chip.input_cycles * self.batch


def _as_layer(work: Workload) -> LayerSpec:
    depthwise = work.groups == 0
    return LayerSpec(
        name="piece",
        op=work.op,
        in_channels=work.in_channels,
        out_channels=work.out_channels,
        in_dim=Dim(fixed=work.in_channels),
        out_dim=Dim(fixed=work.out_channels),
        in_hw=work.in_hw,
        out_hw=work.out_hw,
        kernel=work.window,
        groups=work.in_channels if depthwise else work.groups,
        depthwise=depthwise,
        repeats=work.repeats,
    )
