"""How fast the machine is at the moment, by a kernel call that never changes.

A machine's speed drifts by several per cent within minutes: its clock, its other tenants. What
is timed in one minute and compared in another carries that drift, unless something that is the
same in both minutes is timed beside it. Here that is one small convolution. Its time over its
time when the device was first met is the *slowdown*; timings of kernel calls are divided by the
slowdown of their round, and a network's prediction is multiplied by that of the minute in which
the network is measured.
"""

from collections.abc import Callable, Sequence

from edgewise.cost import Workload
from edgewise.cost.workload import plain_conv
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.probes import Prober
from edgewise.measure.sampling import Sample, Schedule, measure_interleaved
from edgewise.measure.session import Session

_FOOTPRINT_BYTES = 1 << 18
_CONSTANTS = "speed-3"
_FIRST = Schedule(warmup=20, repeats=200, min_seconds=0.5, max_seconds=1.5)
_KERNELS = {"onnxruntime-cpu": "nchwc", "openvino-cpu": "fused"}


def reference_call(device: str) -> Workload | None:
    """The kernel call that shows the speed of a device; none where timing it beside everything would cost too much.

    Args:
        device: Name of a measured device.
    """
    kernel = _KERNELS.get(device)
    if kernel is None:
        return None
    return plain_conv(kernel, 32, 32, 32, activation="relu")


class MachineSpeed:
    """Readings of the reference call on one device.

    Attributes:
        now: How much slower the machine was when whole networks were last timed than when it was first met; 1 before.

    Args:
        load: Loads the call when it is first needed, and says what it took when the device was first met;
            with none the machine counts as steady.
    """

    def __init__(self, load: Callable[[], tuple[Session, float]] | None = None) -> None:
        self.now = 1.0
        self._load = load
        self._loaded: tuple[Session, float] | None = None

    def sessions(self) -> tuple[Session, ...]:
        """The reference call, to be timed with others in one interleaved run; nothing where the device has none."""
        if self._loaded is None and self._load is not None:
            self._loaded = self._load()
        return () if self._loaded is None else (self._loaded[0],)

    def read(self, readings: Sequence[Sample]) -> float:
        """How fast the machine is now, by the medians of one run of whole networks; kept as ``now``.

        Args:
            readings: Samples of :meth:`sessions`; empty for none.

        Returns:
            The slowdown.
        """
        if readings and self._loaded:
            self.now = readings[0].latency_s / self._loaded[1]
        return self.now

    @property
    def watched(self) -> bool:
        """Whether there is a reference call."""
        return self._load is not None

    def at_usual(self, sample: Sample, readings: Sequence[Sample]) -> Sample:
        """A sample as it were at the machine's usual speed.

        Args:
            sample: Of the same interleaved run as the readings.
            readings: Samples of :meth:`sessions`; empty for none, which leaves the sample as it is.
        """
        return sample.beside(readings[0], usual_s=self._loaded[1]) if readings and self._loaded else sample


def load_reference(reference: Workload, *, prober: Prober, identity: DeviceIdentity, database: LatencyDatabase) -> tuple[Session, float]:
    """The reference call loaded, and its seconds when the device was first met: from the database, or measured now.

    Args:
        reference: The call.
        prober: Loads it.
        identity: The device.
        database: Keeps the seconds.
    """
    session = prober.load(reference, footprint_bytes=_FOOTPRINT_BYTES)
    known = database.get_constants(identity, _CONSTANTS)
    if known is None:
        (sample,) = measure_interleaved([session], _FIRST)
        known = {"reference_s": sample.min_s}
        database.put_constants(identity, _CONSTANTS, known)
    return session, float(known["reference_s"])
