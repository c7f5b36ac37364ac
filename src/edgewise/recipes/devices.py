"""Devices by name: the runtimes found here, and those that are simulated."""

from typing import Any

from edgewise.cost.chip.names import CHIPS
from edgewise.measure.devices import list_devices as list_measured


def list_devices() -> dict[str, Any]:
    """Every device that ``--device`` takes here or would take with more installed.

    Returns:
        JSON values: ``devices[] {name, kind, available, version, note}``.
    """
    rows = [
        {"name": found.name, "kind": found.kind, "available": found.available, "version": found.version, "note": found.note}
        for found in list_measured()
    ]
    rows += [
        {"name": chip, "kind": "simulated", "available": True, "version": "", "note": "ReRAM crossbar chip: `edgewise crossbar --chip`"}
        for chip in CHIPS
    ]
    return {"devices": rows}
