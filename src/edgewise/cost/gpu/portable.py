"""The portable form: accelerators of which only the channel granularity is known (NPUs, DSPs).

    eff_d   = x_d / (ceil(x_d / step_d) * step_d)            d in {input channels, output channels, rows}
    eff     = prod_d 1 / ((1 - a_d) + a_d / eff_d)           a_d in [0, 1] softens the tread
    latency = max(macs / (peak * eff), bytes / bandwidth) + overhead

(ANNETTE, arXiv 2105.03176.) Published granularities: Intel NCS2 32 output channels (a = 0.70) and
32 input channels (0.15); Xilinx DPU 16 (0.88), 16 (1.0) and 8 rows (0.49). Peak and bandwidth
stand in a file of the user's, since no data sheet says what such a device sustains.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewise._core.errors import SpecError, UsageError
from edgewise.cost.gpu.ops import Calls, Pricing
from edgewise.cost.gpu.pricing import Costs
from edgewise.cost.gpu.shapes import FLOAT_BYTES, Many, up

_NUMBERS = ("peak_macs_per_s", "bytes_per_s")
_AXES = ("out_channels", "in_channels", "rows")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tread:
    """Granularity of one axis.

    Attributes:
        step: Values that the device works on at once; 1 for any number.
        softness: ``a`` above: 1 pays for whole steps, 0 for nothing beyond what is asked.
    """

    step: int = 1
    softness: float = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.step < 1 or not 0 <= self.softness <= 1:
            raise SpecError(f"a tread needs `step` >= 1 and `softness` in [0, 1], got {self.step} and {self.softness}")

    def efficiency(self, size: Many) -> Many:
        """Share of the device's work on this axis that is asked for.

        Example:
            >>> Tread(step=16).efficiency(np.array([16.0, 17.0])).tolist()
            [1.0, 0.53125]
        """
        used = size / (up(size, float(self.step)) * self.step)
        return np.asarray(1 / ((1 - self.softness) + self.softness / used))


@dataclass(frozen=True, kw_only=True, slots=True)
class PortablePricer:
    """Prices calls by the portable form; every figure is extrapolated.

    Attributes:
        peak_macs_per_s: Multiply-accumulates per second with all steps full.
        bytes_per_s: Memory bandwidth.
        batch: Images at once.
        overhead_s: Of each call.
        out_channels: Granularity of the output channels.
        in_channels: Of the input channels.
        rows: Of the output rows.
    """

    peak_macs_per_s: float
    bytes_per_s: float
    batch: int = 1
    overhead_s: float = 0.0
    out_channels: Tread = Tread()
    in_channels: Tread = Tread()
    rows: Tread = Tread()

    def price(self, calls: Calls, in_channels: Many, out_channels: Many) -> Costs:
        """What calls cost at these widths."""
        every = np.arange(len(calls))
        groups, dense = calls.field("groups", every), (calls.kinds == Pricing.CONV) | (calls.kinds == Pricing.LINEAR)
        depthwise = calls.kinds == Pricing.DEPTHWISE
        depth = np.where(depthwise, 1.0, in_channels / groups) * calls.field("kernel", every)
        values = self.batch * out_channels * calls.field("written_positions", every)
        linear_values = self.batch * out_channels * calls.field("repeats", every)
        produced = np.where(calls.kinds == Pricing.LINEAR, linear_values, values)
        macs = np.where(dense | depthwise, produced * depth, 0.0)
        used = self.out_channels.efficiency(out_channels) * self.rows.efficiency(calls.field("out_h", every))
        used = used * np.where(depthwise, 1.0, self.in_channels.efficiency(np.maximum(in_channels / groups, 1.0)))
        weights = np.where(dense | depthwise, out_channels * depth, 0.0) * FLOAT_BYTES
        compute = macs / (self.peak_macs_per_s * used)
        memory = (calls.moved_bytes(every, in_channels, out_channels, batch=self.batch) + weights) / self.bytes_per_s
        bound = np.array(["compute", "memory", "launch"], dtype=object)
        return Costs(
            latency_s=np.maximum(compute, memory) + self.overhead_s,
            family=np.full(len(calls), "portable", dtype=object),
            blocks=up(out_channels, float(self.out_channels.step)),
            waves=np.ones(len(calls)),
            utilisation=np.where(macs > 0, used, 1.0),
            tile_utilisation=np.where(macs > 0, used, 1.0),
            macs=macs,
            bound_by=bound[np.stack([compute, memory, np.full(len(calls), self.overhead_s)]).argmax(axis=0)],
            extrapolated=np.ones(len(calls), dtype=bool),
        )


def read_portable(path: Path, *, batch: int) -> PortablePricer:
    """The accelerator that a TOML file describes.

    Args:
        path: Holds ``peak_macs_per_s`` and ``bytes_per_s``, optionally ``overhead_s`` and the tables ``[out_channels]``,
            ``[in_channels]``, ``[rows]`` with ``step`` and ``softness``.
        batch: Images at once.

    Raises:
        SpecError: The file is missing or wrong; the text says in what.
        UsageError: The batch is below 1.
    """
    if batch < 1:
        raise UsageError(f"`batch` must be at least 1, got {batch}")
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path} is no readable TOML file: {' '.join(str(error).split())}") from error
    unknown = sorted(set(value) - {*_NUMBERS, *_AXES, "overhead_s"})
    if unknown:
        raise SpecError(f"{path} must hold {', '.join((*_NUMBERS, 'overhead_s', *_AXES))} only, got {', '.join(unknown)}")
    overhead = value.get("overhead_s", 0.0)
    if not isinstance(overhead, int | float) or overhead < 0:
        raise SpecError(f"{path}: `overhead_s` must be 0 or more, got {overhead!r}")
    return PortablePricer(
        peak_macs_per_s=_positive(value.get("peak_macs_per_s"), "peak_macs_per_s", path),
        bytes_per_s=_positive(value.get("bytes_per_s"), "bytes_per_s", path),
        batch=batch,
        overhead_s=float(overhead),
        **{name: _tread(value[name], name, path) for name in _AXES if name in value},
    )


def _positive(value: object, name: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise SpecError(f"{path}: `{name}` must be a positive number, got {value!r}")
    return float(value)


def _tread(value: Any, name: str, path: Path) -> Tread:  # noqa: ANN401 - what a TOML file holds
    try:
        return Tread(**value)
    except TypeError:
        raise SpecError(f"{path}: `[{name}]` must hold `step` and `softness`, got {value!r}") from None
