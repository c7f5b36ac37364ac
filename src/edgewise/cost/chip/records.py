"""A crossbar chip as frozen data; every value knows its source."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgewise._core.errors import SpecError

Encoding = Literal["offset", "differential"]
Per = Literal["ima", "tile", "chip"]
Event = Literal["conversion", "wordline", "array", "tile", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A part of the chip with its power at full activity.

    Attributes:
        name: What it is.
        per: What the figures are for: all such parts of one IMA, of one tile, or of the chip.
        follows: The event that its energy follows; ``none`` where it follows none.
        power_w: Power at full activity, or none where unpublished.
        area_mm2: Area, or none where unpublished.
        source: Where the figures come from.
    """

    name: str
    per: Per
    follows: Event
    power_w: float | None
    area_mm2: float | None
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """A crossbar chip: arrays in IMAs, IMAs in tiles.

    Attributes:
        name: Name on the command line, or the file's stem.
        title: What people call it.
        rows: Word lines of an array.
        columns: Bit lines of an array.
        cell_bits: Bits that a cell holds.
        weight_bits: Bits of a weight.
        input_bits: Bits of an input.
        dac_bits: Input bits driven in one cycle.
        adc_bits: Bits of a conversion.
        encoding: ``offset``: weights biased to be positive, one array. ``differential``: positive and negative
            parts in two arrays, subtracted before the conversion.
        flipped_columns: Columns whose weights sum to over half of the range are stored flipped, which saves one ADC bit.
        on_ohm: Resistance of a fully conducting cell.
        off_ohm: Resistance of a cell that holds 0.
        cycle_s: Time in which an array is read once, or none where unpublished.
        extra_cycles: Cycles of a matrix-vector product beyond the input bits.
        write_row_s: Time to write a row of cells.
        arrays_per_ima: Arrays in an IMA.
        imas_per_tile: IMAs in a tile.
        tiles: Tiles on the chip.
        write_cell_j: Energy to write a cell.
        add_j: Energy of an addition in digital logic.
        static_w: Power of the idle chip.
        components: Parts with power and area.
        sources: Source of every value above, by its name.
        published: Published figures of the whole chip to compare with: (name, value, source).
    """

    name: str
    title: str
    rows: int
    columns: int
    cell_bits: int
    weight_bits: int
    input_bits: int
    dac_bits: int
    adc_bits: int
    encoding: Encoding
    flipped_columns: bool
    on_ohm: float | None
    off_ohm: float | None
    cycle_s: float | None
    extra_cycles: int
    write_row_s: float | None
    arrays_per_ima: int
    imas_per_tile: int
    tiles: int
    write_cell_j: float | None
    add_j: float | None
    static_w: float | None
    components: tuple[Component, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    published: tuple[tuple[str, float, str], ...] = ()

    @property
    def slices(self) -> int:
        """Columns that one weight takes: ``ceil(weight_bits / cell_bits)``."""
        return math.ceil(self.weight_bits / self.cell_bits)

    @property
    def pair(self) -> int:
        """Arrays that one matrix takes for its signs: 2 for differential cells."""
        return 2 if self.encoding == "differential" else 1

    @property
    def input_cycles(self) -> int:
        """Cycles in which an input's bits are driven."""
        return math.ceil(self.input_bits / self.dac_bits)

    @property
    def mvm_s(self) -> float | None:
        """Time of one matrix-vector product."""
        return None if self.cycle_s is None else (self.input_cycles + self.extra_cycles) * self.cycle_s

    @property
    def arrays_per_tile(self) -> int:
        """Arrays in a tile."""
        return self.arrays_per_ima * self.imas_per_tile

    @property
    def arrays(self) -> int:
        """Arrays on the chip."""
        return self.arrays_per_tile * self.tiles

    def with_bits(self, **bits: int) -> "Chip":
        """The chip at another precision; the source of each changed value says so.

        Args:
            bits: New values of ``weight_bits``, ``input_bits``, ``cell_bits``, ``dac_bits`` or ``adc_bits``.

        Raises:
            SpecError: A value is below 1.
        """
        low = {name: value for name, value in bits.items() if value < 1}
        if low:
            name, value = next(iter(low.items()))
            raise SpecError(f"`{name}` of a chip must be at least 1, got {value}")
        sources = {**self.sources, **dict.fromkeys(bits, "assumed: set by the user")}
        return replace(self, sources=sources, **bits)  # type: ignore[arg-type]

    def sum_of(self, figure: Literal["power_w", "area_mm2"], *, per: Per) -> float | None:
        """Power or area of all parts of an IMA, a tile or the chip; none where a part's is unpublished.

        A tile includes its IMAs, a chip its tiles.
        """
        own = [getattr(component, figure) for component in self.components if component.per == per]
        if any(value is None for value in own):
            return None
        total = float(sum(own))
        if per == "ima":
            return total
        below = self.sum_of(figure, per="ima" if per == "tile" else "tile")
        return None if below is None else total + below * (self.imas_per_tile if per == "tile" else self.tiles)

    @property
    def peak_gops(self) -> float | None:
        """Most operations a second in 1e9, two for each multiply-accumulate, with every array busy."""
        if self.mvm_s is None:
            return None
        macs = self.rows * (self.columns / self.slices) / self.pair
        return 2 * macs * self.arrays / self.mvm_s / 1e9

    def event_j(self, component: Component) -> float | None:
        """Energy of the component for one event in one cycle; none where unpublished.

        The power at full activity over the time of one product, shared by the events in it: an IMA makes
        ``arrays * columns`` conversions and drives ``arrays * rows`` word lines a cycle. The cycles beyond
        the input bits make no events, so that their energy is in that of the others.
        """
        if component.power_w is None or self.cycle_s is None or self.mvm_s is None:
            return None
        per_group = {
            "conversion": self.arrays_per_ima * self.columns,
            "wordline": self.arrays_per_ima * self.rows,
            "array": self.arrays_per_ima,
            "tile": self.arrays_per_tile,
            "none": 0,
        }[component.follows]
        if per_group == 0:
            return 0.0
        if component.per == "tile" and component.follows != "tile":
            per_group *= self.imas_per_tile
        return component.power_w * self.mvm_s / self.input_cycles / per_group
