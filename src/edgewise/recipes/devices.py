"""Devices by name: the runtimes found here, and those that are simulated."""

from typing import Any

from edgewise.cost.chip import load_chip
from edgewise.cost.chip.names import CHIPS
from edgewise.cost.gpu.library import packaged_fit
from edgewise.cost.gpu.specs import GpuSpec, gpu_specs
from edgewise.measure.devices import list_devices as list_measured


def list_devices() -> dict[str, Any]:
    """Every device that ``--device`` takes here or would take with more installed, and every simulated one.

    Returns:
        JSON values: ``devices[] {name, kind, available, version, note}``; simulated ones have ``coefficients``
        (``fitted`` or ``transferred``), ``coefficients_of``, ``error`` and the data sheet with its sources beside.
    """
    rows: list[dict[str, Any]] = [
        {"name": found.name, "kind": found.kind, "available": found.available, "version": found.version, "note": found.note}
        for found in list_measured()
    ]
    rows += [_chip(name) for name in CHIPS]
    rows += [_simulated(spec) for spec in gpu_specs().values()]
    rows.append(
        {
            "name": "portable:FILE",
            "kind": "simulated",
            "available": True,
            "version": "",
            "note": "an NPU or DSP known by its channel granularity, described in a TOML file",
        }
    )
    rows.append(
        {"name": "gpu:FILE", "kind": "simulated", "available": True, "version": "", "note": "a GPU that `edgewise calibrate` wrote to FILE"}
    )
    rows.append(
        {
            "name": "lut:FILE",
            "kind": "predicted",
            "available": True,
            "version": "",
            "note": "a table of what every block takes, in a CSV file: `edgewise simulate` and `edgewise search`",
        }
    )
    rows.append(
        {"name": "chip:FILE", "kind": "simulated", "available": True, "version": "", "note": "a crossbar chip described in a TOML file"}
    )
    return {"devices": rows}


def _chip(name: str) -> dict[str, Any]:
    chip = load_chip(name)
    sources = {**chip.sources, **{f"component {part.name}": part.source for part in chip.components}}
    assumed = sum(source.startswith("assumed") for source in sources.values())
    times = "" if chip.mvm_s is not None else "; times and energies unpublished, so `edgewise crossbar` only"
    return {
        "name": name,
        "kind": "simulated",
        "available": True,
        "version": "",
        "note": f"ReRAM crossbar chip, {chip.title}: {len(sources)} values, {assumed} of them assumed{times}",
        "timed": chip.mvm_s is not None,
        "arrays": chip.arrays,
        "sources": sources,
    }


def _simulated(spec: GpuSpec) -> dict[str, Any]:
    errors = packaged_fit(spec.model).errors
    if spec.fitted:
        mean = errors["analytic"]["mean"]
        note = f"{spec.title}: fitted to its trace, {mean:.1%} mean error held out"
    else:
        left_out = [one["errors"]["mean"] for one in packaged_fit("pooled").errors["left_out"]]
        mean = None
        whose = f"{spec.model}'s (same die)" if spec.model != "pooled" else "all fitted GPUs'"
        note = (
            f"{spec.title}: transferred, {whose} coefficients; GPUs left out of a fit so err by {min(left_out):.0%} to {max(left_out):.0%}"
        )
    return {
        "name": spec.name,
        "kind": "simulated",
        "available": True,
        "version": "",
        "note": note,
        "coefficients": "fitted" if spec.fitted else "transferred",
        "coefficients_of": spec.model,
        "error": mean,
        "architecture": spec.architecture,
        "multiprocessors": spec.multiprocessors,
        "peak_flops_per_s": spec.peak_flops_per_s,
        "bytes_per_s": spec.bytes_per_s,
        "throttle": spec.throttle,
        "sources": spec.sources,
    }
