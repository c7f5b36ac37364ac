"""How a layer computes on a chip."""

import math
from dataclasses import dataclass, field

from edgewise._core.errors import UsageError, unknown_name
from edgewise.cost.chip.converters import lossless_bits
from edgewise.cost.chip.mapping import MappingRules
from edgewise.cost.chip.records import Chip
from edgewise.crossbar.noise import CellNoise

MODES = ("folded", "bitwise")
"""``folded``: one effective weight and one quantisation for each row block. ``bitwise``: every input bit, slice and row block."""
ADC_RANGES = ("max", "granular", "calibrated")
"""What the ADC's codes cover: every sum possible, sums from 0 in steps of one level, or the sums seen in calibration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalogSettings:
    """The chip's converters and cells as a layer computes with them. 0 bits are ideal, not converted at all.

    Attributes:
        rows: Word lines of an array.
        columns: Bit lines of an array.
        cell_bits: Bits of a cell; at least 1.
        weight_bits: Bits of a weight, its sign included; 0 for real weights.
        input_bits: Bits of an input, its sign included; 0 for real inputs.
        adc_bits: Bits of a conversion; 0 for real sums.
        dac_bits: Input bits driven at once; at least 1.
        encoding: ``offset`` or ``differential``.
        flipped_columns: See :class:`edgewise.cost.chip.records.Chip`.
        on_ohm: Resistance of a fully conducting cell.
        off_share: Conductance of level 0 over that of the highest.
        mode: See :data:`MODES`.
        adc_range: See :data:`ADC_RANGES`.
        noise: What is wrong with the cells.
        rules: How weights are laid out.
    """

    rows: int
    columns: int
    cell_bits: int
    weight_bits: int
    input_bits: int
    adc_bits: int
    dac_bits: int = 1
    encoding: str = "offset"
    flipped_columns: bool = True
    on_ohm: float = 2e3
    off_share: float = 0.0
    mode: str = "folded"
    adc_range: str = "max"
    noise: CellNoise = field(default_factory=CellNoise)
    rules: MappingRules = field(default_factory=MappingRules)

    def __post_init__(self) -> None:
        """Checks names and ranges, and what needs what."""
        for kind, name, known in (("mode", self.mode, MODES), ("ADC range", self.adc_range, ADC_RANGES)):
            if name not in known:
                raise unknown_name(kind, name, known)
        for name, least in (("rows", 1), ("cell_bits", 1), ("dac_bits", 1), ("weight_bits", 0), ("input_bits", 0), ("adc_bits", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"`{name}` must be at least {least}, got {getattr(self, name)}")
        if self.weight_bits == 1 or self.input_bits == 1:
            raise UsageError("`weight_bits` and `input_bits` include the sign and must be 0 or at least 2, got 1")
        if self.mode == "bitwise" and not (self.weight_bits and self.input_bits):
            raise UsageError("mode bitwise needs weight_bits and input_bits, got 0; use folded for ideal converters")
        if not self.weight_bits and self.noise.moves_levels:
            raise UsageError("noise of cells needs weight_bits: weights that are not coded have no cells")
        if self.adc_bits and not (self.weight_bits and self.input_bits):
            raise UsageError("adc_bits needs weight_bits and input_bits: sums of real numbers have no levels to convert")

    @staticmethod
    def of_chip(
        chip: Chip, *, mode: str = "folded", adc_range: str = "max", noise: CellNoise | None = None, rules: MappingRules | None = None
    ) -> "AnalogSettings":
        """The settings of a chip at its own precision."""
        off_share = chip.on_ohm / chip.off_ohm if chip.on_ohm and chip.off_ohm else 0.0
        return AnalogSettings(
            rows=chip.rows,
            columns=chip.columns,
            cell_bits=chip.cell_bits,
            weight_bits=chip.weight_bits,
            input_bits=chip.input_bits,
            adc_bits=chip.adc_bits,
            dac_bits=chip.dac_bits,
            encoding=chip.encoding,
            flipped_columns=chip.flipped_columns,
            on_ohm=chip.on_ohm or 0.0,
            off_share=off_share,
            mode=mode,
            adc_range=adc_range,
            noise=noise or CellNoise(),
            rules=rules or MappingRules(),
        )

    @property
    def top_level(self) -> int:
        """The highest level of a cell."""
        return int(2**self.cell_bits - 1)

    @property
    def slices(self) -> int:
        """Cells that one weight (of one sign) takes."""
        return max(1, math.ceil(self.weight_bits / self.cell_bits))

    @property
    def input_steps(self) -> int:
        """Cycles in which the bits of an input are driven."""
        return max(1, math.ceil(self.input_bits / self.dac_bits))

    @property
    def largest_sum(self) -> int:
        """The largest sum of a column, in levels times driven inputs."""
        most = int(self.rows * self.top_level * (2**self.dac_bits - 1))
        return most // 2 if self.flipped_columns and self.encoding == "offset" else most

    def adc_step(self, seen: float = 0.0) -> float:
        """Levels between neighbouring codes of the ADC; 1 where it tells all sums apart, 0 without an ADC.

        Args:
            seen: The largest sum seen in calibration (``calibrated`` only).
        """
        if self.adc_bits == 0:
            return 0.0
        if self.adc_range == "granular":
            return 1.0
        covered = self.largest_sum if self.adc_range == "max" or seen <= 0 else seen
        # A differential column's sums have both signs, and one bit tells which.
        codes: int = 2 ** (self.adc_bits - 1) - 1 if self.encoding == "differential" else 2**self.adc_bits - 1
        return max(1.0, covered / max(1, codes))

    @property
    def lossless(self) -> bool:
        """Whether the ADC tells apart all sums that ideal cells can make."""
        needed = lossless_bits(
            self.rows, self.cell_bits, dac_bits=self.dac_bits, flipped=self.flipped_columns and self.encoding == "offset"
        )
        return self.adc_bits >= needed + (1 if self.encoding == "differential" else 0)
