"""Which devices are simulated, and opening one."""

from edgewise._core.errors import UsageError, unknown_name
from edgewise.cost.blocks import is_lut
from edgewise.cost.gpu.device import GpuDevice
from edgewise.cost.gpu.library import known_gpu, open_gpu
from edgewise.cost.gpu.specs import gpu_specs
from edgewise.measure.settings import MEASURED_DEVICES, is_measured_device
from edgewise.recipes.requests import DeviceRequest


def is_simulated(name: str) -> bool:
    """Whether a device is simulated; otherwise it is measured.

    Raises:
        UsageError: It is a table of blocks.
        UnknownNameError: It is neither; the text has the nearest names.
    """
    if known_gpu(name):
        return True
    if is_lut(name):
        raise UsageError(f"a table of blocks prices whole blocks, not widths, got {name!r}; use `edgewise simulate` or `edgewise search`")
    if is_measured_device(name):
        return False
    raise unknown_name("device", name, (*MEASURED_DEVICES, "exec:CMD", *gpu_specs(), "gpu:FILE", "portable:FILE"))


def open_simulated(request: DeviceRequest, *, residual: bool = False) -> GpuDevice:
    """The simulated device that a command asked for.

    Args:
        request: The device, its batch and precision.
        residual: Correct what the traces cover by the learned residual.

    Raises:
        UsageError: It is not simulated, or the precision or the threads are not those of the traces.
        UnknownNameError: No such device.
    """
    if not is_simulated(request.device):
        raise UsageError(f"--device {request.device} is measured here, not simulated; use `edgewise bench`, or a device of {_listed()}")
    if request.precision != "fp32":
        raise UsageError(f"--precision {request.precision} is not simulated: the traces are fp32; use fp32")
    if request.threads != 1:
        raise UsageError(f"--threads means nothing on a simulated GPU, got {request.threads}; leave it out")
    return open_gpu(request.device, batch=request.batch, residual=residual)


def _listed() -> str:
    return ", ".join(gpu_specs())
