"""Which devices are simulated, and opening one."""

from pathlib import Path
from typing import TypeAlias

from edgewise._core.errors import UsageError, unknown_name
from edgewise.cost.blocks import is_lut
from edgewise.cost.chip import CrossbarDevice, load_chip
from edgewise.cost.chip.names import CHIPS
from edgewise.cost.gpu.device import GpuDevice
from edgewise.cost.gpu.library import known_gpu, open_gpu
from edgewise.cost.gpu.specs import gpu_specs
from edgewise.measure.settings import MEASURED_DEVICES, is_measured_device
from edgewise.recipes.requests import DeviceRequest

CHIP_PREFIX = "chip:"
"""``chip:FILE.toml`` names a crossbar chip by its file."""

SimulatedDevice: TypeAlias = GpuDevice | CrossbarDevice
"""A device that is not here: what both kinds have is all that profiles and solvers ask for."""


def is_chip(name: str) -> bool:
    """Whether a device is a crossbar chip: one of the package's, ``chip:FILE``, or a TOML file.

    Example:
        >>> [is_chip(name) for name in ("ISAAC", "chip:mine.toml", "chips/mine.toml", "portable:npu.toml", "v100")]
        [True, True, True, False, False]
    """
    usual = name.strip().lower()
    return usual in CHIPS or usual.startswith(CHIP_PREFIX) or (usual.endswith(".toml") and ":" not in usual)


def is_simulated(name: str) -> bool:
    """Whether a device is simulated; otherwise it is measured.

    Raises:
        UsageError: It is a table of blocks.
        UnknownNameError: It is neither; the text has the nearest names.
    """
    if known_gpu(name) or is_chip(name):
        return True
    if is_lut(name):
        raise UsageError(f"a table of blocks prices whole blocks, not widths, got {name!r}; use `edgewise simulate` or `edgewise search`")
    if is_measured_device(name):
        return False
    raise unknown_name("device", name, (*MEASURED_DEVICES, "exec:CMD", *gpu_specs(), "gpu:FILE", "portable:FILE", *CHIPS, "chip:FILE"))


def open_simulated(request: DeviceRequest, *, residual: bool = False) -> SimulatedDevice:
    """The simulated device that a command asked for.

    Args:
        request: The device, its batch and precision.
        residual: Correct what the traces cover by the learned residual (GPUs).

    Raises:
        UsageError: It is not simulated, or the precision or the threads are not those that it knows.
        UnknownNameError: No such device.
        SpecError: A file is damaged.
    """
    if not is_simulated(request.device):
        raise UsageError(f"--device {request.device} is measured here, not simulated; use `edgewise bench`, or a device of {_listed()}")
    if request.threads != 1:
        raise UsageError(f"--threads means nothing on a simulated device, got {request.threads}; leave it out")
    if is_chip(request.device):
        return _open_chip(request)
    if request.precision != "fp32":
        raise UsageError(f"--precision {request.precision} is not simulated: the traces are fp32; use fp32")
    return open_gpu(request.device, batch=request.batch, residual=residual)


def precision_of(device: SimulatedDevice) -> str:
    """In what numbers the device computes."""
    if isinstance(device, GpuDevice):
        return "fp32"
    weight, read = device.chip.weight_bits, device.chip.input_bits
    return f"{weight}-bit" if weight == read else f"{weight}-bit weights, {read}-bit inputs"


def _open_chip(request: DeviceRequest) -> CrossbarDevice:
    if request.precision != "fp32":
        raise UsageError(f"--precision {request.precision} means nothing on a crossbar chip, whose file gives the bits; leave it out")
    text = request.device.strip()
    place = text[len(CHIP_PREFIX) :] if text.lower().startswith(CHIP_PREFIX) else text
    chip = load_chip(place)
    return CrossbarDevice(chip=chip, batch=request.batch, label="" if place.lower() in CHIPS else f"{CHIP_PREFIX}{Path(place)}")


def _listed() -> str:
    return ", ".join((*gpu_specs(), *CHIPS))
