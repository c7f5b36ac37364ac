"""What a network costs on a chip, as frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.cost.chip.mapping import LayerMapping


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCost:
    """What one layer costs, as the mean over the images of its masks.

    Attributes:
        mapping: Where its weights lie.
        latency_s: Time of all its products, or none where the chip's is unpublished.
        energy_by_component: Joules by part, or none where unpublished.
        ops_dense: Operations of the unpruned layer, two for each multiply-accumulate.
        ops_executed: Operations done.
        reads: Array reads per input cycle.
        drives: Word-line drives per input cycle.
        conversions: Conversions per input cycle.
        positions: Executed positions.
        cells: Cells that hold a weight, copies counted.
    """

    mapping: LayerMapping
    latency_s: float | None
    energy_by_component: Mapping[str, float] | None
    ops_dense: int
    ops_executed: float
    reads: float
    drives: float
    conversions: float
    positions: float
    cells: int

    @property
    def energy_j(self) -> float | None:
        """Energy of all parts."""
        return None if self.energy_by_component is None else sum(self.energy_by_component.values())


@dataclass(frozen=True, kw_only=True)
class ChipCost:
    """What a network costs on a chip for one input, as the mean over the images of its masks.

    Attributes:
        accounting: What pruning is taken to save; ``dense`` for none.
        layers: Layers on arrays, in running order.
        arrays: Arrays that hold weights.
        imas: IMAs in use.
        tiles: Tiles in use.
        latency_s: Time; of the slowest layer where pipelined.
        energy_by_component: Joules by part.
        area_mm2: Area of the tiles in use.
        static_w: Power of the idle chip.
        utilisation: Cells that hold a weight over all cells of the arrays.
        n_images: Images that the mean is over.
        skipped: Layers left out, with the reason.
    """

    accounting: str
    layers: tuple[LayerCost, ...]
    arrays: int
    imas: int
    tiles: int
    latency_s: float | None
    energy_by_component: Mapping[str, float] | None
    area_mm2: float | None
    static_w: float | None
    utilisation: float
    n_images: int
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def energy_j(self) -> float | None:
        """Energy of all parts."""
        return None if self.energy_by_component is None else sum(self.energy_by_component.values())

    @property
    def power_w(self) -> float | None:
        """Energy over latency; the idle chip's power where nothing runs."""
        if self.energy_j is None or self.latency_s is None:
            return None
        return self.energy_j / self.latency_s if self.latency_s > 0 else self.static_w

    @property
    def ops_dense(self) -> int:
        """Operations of the unpruned network's priced layers."""
        return sum(layer.ops_dense for layer in self.layers)

    @property
    def ops_executed(self) -> int:
        """Operations done."""
        return round(sum(layer.ops_executed for layer in self.layers))

    def gops_per_mm2(self, ops: float) -> float | None:
        """1e9 operations a second and mm2 when ``ops`` are counted."""
        if not self.latency_s or not self.area_mm2:
            return None
        return ops / self.latency_s / self.area_mm2 / 1e9

    def gops_per_w(self, ops: float) -> float | None:
        """1e9 operations a joule (a second and watt) when ``ops`` are counted."""
        return ops / self.energy_j / 1e9 if self.energy_j else None
