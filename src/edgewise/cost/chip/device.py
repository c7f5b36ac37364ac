"""A crossbar chip as a device: what pieces of a network cost when the whole chip works on one network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgewise._core.errors import DeviceError, UnknownLayerError
from edgewise.cost.chip.mapping import MAPPED_OPS, MappingRules, map_layer
from edgewise.cost.chip.records import Chip
from edgewise.cost.lowering.generic import GENERIC_RULES, PlainLowering
from edgewise.cost.protocol import Estimate, Kind, Piece
from edgewise.cost.workload import Workload
from edgewise.ir import Dim, LayerSpec, NetSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossbarDevice:
    """A chip that stores every layer as often as balances its pipeline.

    With as many copies as fill the chip, shared out in proportion to work, every layer takes the same time, and an
    image leaves the pipeline every ``sum(arrays * positions) * mvm_s / chip arrays`` seconds. That sum over layers
    is why pieces can be priced one by one; whole copies are somewhat slower, which ``edgewise crossbar
    --schedule pipelined --replication balanced`` shows.

    Attributes:
        chip: The chip.
        rules: How weights are laid out.
        batch: Images; the time is for all of them.
    """

    chip: Chip
    rules: MappingRules = field(default_factory=MappingRules)
    batch: int = 1

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.chip.name

    def lowering(self, net: NetSpec) -> PlainLowering:
        """The network cut into fused groups, one matrix each."""
        return PlainLowering(net, rules=GENERIC_RULES)

    def pieces(self, net: NetSpec) -> tuple[Piece, ...]:
        """The fused groups whose first layer runs on arrays."""
        cut = self.lowering(net)
        return tuple(
            Piece(position=group.head.name, layers=tuple(layer.name for layer in group.layers), workload=call)
            for group in cut.groups
            if group.head.op in MAPPED_OPS
            for call in cut.workloads(group, net.widths)
        )

    def estimate(self, pieces: Sequence[Piece]) -> tuple[Estimate, ...]:
        """What each piece costs: its share of the chip's time, and its energy.

        Energy shrinks with a piece's density, time does not: skipped rows leave the array's cycle as it is.

        Raises:
            DeviceError: The chip's times or energies are unpublished.
            UnknownLayerError: A piece does not run on arrays.
        """
        return tuple(self._estimate(piece) for piece in pieces)

    def total(self, pieces: Sequence[Piece], estimates: Sequence[Estimate]) -> Estimate:
        """The network's interval between images and its energy, with arrays and tiles in the detail.

        Raises:
            DeviceError: One copy of every layer does not fit the chip.
        """
        arrays = round(sum(float(dict(estimate.detail)["arrays"]) for estimate in estimates))
        tiles = math.ceil(arrays / self.chip.arrays_per_tile)
        if tiles > self.chip.tiles:
            raise DeviceError(f"the network needs {tiles} tiles, {self.chip.name} has {self.chip.tiles}; use fewer bits or narrower layers")
        area = self.chip.sum_of("area_mm2", per="tile")
        return Estimate(
            latency_s=sum(estimate.latency_s for estimate in estimates),
            energy_j=sum(estimate.energy_j or 0.0 for estimate in estimates),
            kind=Kind.SIMULATED,
            detail=(*((("area_mm2", area * tiles),) if area is not None else ()), ("arrays", arrays), ("tiles", tiles)),
        )

    def price_s(self, workload: Workload) -> float:
        """Seconds of one piece; 0 for what runs in the tiles' digital logic."""
        if workload.op not in MAPPED_OPS:
            return 0.0
        return self._estimate(Piece(position="", layers=(), workload=workload)).latency_s

    def step_of(self, family: Workload) -> int:
        """Output channels that one more column of arrays holds."""
        return max(1, self.chip.columns // self.chip.slices) if family.has_weight else 1

    def _estimate(self, piece: Piece) -> Estimate:
        work, chip = piece.workload, self.chip
        if work.op not in MAPPED_OPS:
            raise UnknownLayerError(f"{piece.position} ({work.op}) does not run on a crossbar chip")
        if chip.mvm_s is None:
            raise DeviceError(f"{chip.name}'s times are unpublished; use isaac, puma or a chip file of your own")
        mapping = map_layer(_as_layer(work), chip, self.rules)
        reads = mapping.blocks * mapping.column_arrays * mapping.pair * mapping.positions
        rows = mapping.taps * (mapping.channels // mapping.groups) * mapping.groups
        events = {
            "conversion": mapping.blocks * mapping.conversions * mapping.positions,
            "wordline": rows * mapping.column_arrays * mapping.pair * mapping.positions,
            "array": reads,
            "tile": reads,
            "none": 0,
        }
        energies = [(chip.event_j(part), events[part.follows]) for part in chip.components]
        known = [joules * count for joules, count in energies if joules is not None]
        energy_j = None if len(known) < len(energies) else sum(known) * chip.input_cycles * piece.density * self.batch
        return Estimate(
            latency_s=mapping.arrays_per_copy * mapping.positions * chip.mvm_s / chip.arrays * self.batch,
            energy_j=energy_j,
            kind=Kind.SIMULATED,
            detail=(("arrays", float(mapping.arrays_per_copy)), ("positions", float(mapping.positions))),
        )


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
