"""Choosing the prober of a device."""

from typing import Protocol, runtime_checkable

from edgewise.cost import Workload
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings


@runtime_checkable
class Prober(Protocol):
    """Makes sessions whose ``time_once_s`` is the time of one kernel call."""

    def load(self, workload: Workload, *, footprint_bytes: int) -> Session:
        """A session that times the call.

        Args:
            workload: The call.
            footprint_bytes: Bytes that pass between two uses of a weight in the whole network, see :mod:`edgewise.measure.probes`.

        Raises:
            DeviceError: The runtime refuses the call.
        """
        ...


def open_prober(settings: RuntimeSettings) -> Prober:
    """The prober that fits a device: by its own kernels where we know how, else by small networks."""
    if settings.device == "onnxruntime-cpu":
        from edgewise.measure.probes.onnxruntime_cpu import OnnxRuntimeProber

        return OnnxRuntimeProber(settings)
    if settings.device == "openvino-cpu":
        from edgewise.measure.probes.openvino_cpu import OpenVinoProber

        return OpenVinoProber(settings)
    from edgewise.measure.probes.module import ModuleProber

    return ModuleProber(settings)
