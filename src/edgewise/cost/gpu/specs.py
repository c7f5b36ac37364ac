"""Data sheets of GPUs, and what they sustain.

The figures and their sources stand in ``data/gpus.toml``.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from edgewise._core.errors import SpecError, unknown_name
from edgewise.cost.gpu.terms import Machine

PEAK_PER_WATT = {28: 28e9, 20: 40e9, 16: 56.2e9, 12: 56.2e9, 7: 110e9, 4: 160e9}
"""Peak fp32 FLOP/s for each watt of the board that a process node (in nm) keeps up. The figure for 16 and 12 nm is V100's own
(14.0 TFLOP/s at 250 W, whose traces show no throttling); the others scale it by the foundries' claims of power at equal speed."""
THROTTLE_EXPONENT = 0.4
"""Power grows faster than clock. The exponent was chosen once, so that coefficients agree between V100, P4 and T4."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSpec:
    """The data sheet of a GPU.

    Attributes:
        name: As ``--device`` takes it.
        title: As its maker calls it.
        architecture: Its generation, such as ``volta``.
        multiprocessors: SMs.
        peak_flops_per_s: fp32 peak, a fused multiply-add counted as two.
        bytes_per_s: Memory bandwidth.
        cache_bytes: Size of the second-level cache.
        watts: Power of the board.
        process_nm: Process node.
        sources: Where the figures come from.
        model: Which coefficients price it: a fitted GPU's name, or ``pooled``.
        fitted: Its coefficients were fitted to its own trace.
    """

    name: str
    title: str
    architecture: str
    multiprocessors: int
    peak_flops_per_s: float
    bytes_per_s: float
    cache_bytes: float
    watts: float
    process_nm: int
    sources: str
    model: str
    fitted: bool

    @property
    def throttle(self) -> float:
        """Factor by which sustained convolutions miss the peak, because the board's power does not hold the clock.

            throttle = max(1, (peak / watts / PEAK_PER_WATT)^0.4)

        Example:
            >>> round(gpu_spec("v100").throttle, 2), round(gpu_spec("t4").throttle, 2)
            (1.0, 1.34)
        """
        kept = PEAK_PER_WATT[self.process_nm]
        return max(1.0, float((self.peak_flops_per_s / self.watts / kept) ** THROTTLE_EXPONENT))

    @property
    def machine(self) -> Machine:
        """What the terms need of it."""
        return Machine(
            multiprocessors=self.multiprocessors,
            flops_per_s=self.peak_flops_per_s / self.throttle,
            bytes_per_s=self.bytes_per_s,
            cache_bytes=self.cache_bytes,
        )


@cache
def gpu_specs() -> Mapping[str, GpuSpec]:
    """All GPUs by name, in the order of the file."""
    text = (resources.files("edgewise.cost.gpu") / "data" / "gpus.toml").read_text(encoding="utf-8")
    return {spec.name: spec for spec in map(_spec, tomllib.loads(text)["gpu"])}


def gpu_spec(name: str) -> GpuSpec:
    """The data sheet of a GPU by name; case does not matter.

    Raises:
        UnknownNameError: There is no such GPU; the text has the nearest names.
    """
    specs = gpu_specs()
    usual = name.strip().lower()
    if usual not in specs:
        raise unknown_name("device", name, specs)
    return specs[usual]


def _spec(value: Mapping[str, Any]) -> GpuSpec:
    if value["process_nm"] not in PEAK_PER_WATT:
        raise SpecError(f"`process_nm` of {value['name']} must be one of {sorted(PEAK_PER_WATT)}, got {value['process_nm']}")
    return GpuSpec(
        name=value["name"],
        title=value["title"],
        architecture=value["architecture"],
        multiprocessors=value["multiprocessors"],
        peak_flops_per_s=value["peak_tflops"] * 1e12,
        bytes_per_s=value["bandwidth_gb_per_s"] * 1e9,
        cache_bytes=value["cache_mb"] * 1e6,
        watts=value["watts"],
        process_nm=value["process_nm"],
        sources=value["sources"],
        model=value["model"],
        fitted=value.get("fitted", False),
    )
