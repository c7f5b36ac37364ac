"""Prices of kernel calls: from the database where they are known, timed where they are not."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost import Workload
from edgewise.measure.database import LatencyDatabase, piece_key
from edgewise.measure.footprint import NEAR_BYTES
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.probes import Prober, open_prober
from edgewise.measure.sampling import SETTLE_S, Sample, Schedule, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.measure.speed import MachineSpeed, load_reference, reference_call

PROBE_SCHEDULE = Schedule(warmup=2, repeats=6, min_seconds=0.012, max_seconds=0.05, stable_ratio=0.02, settle_s=SETTLE_S, turn=3)
"""How long one kernel call is timed; calls are timed in chunks, interleaved."""
_NEAR_REPEATS, _NEAR_TURN = 24, 8
"""For calls whose weights lie near: they are short, and little is read beside them."""
_CHUNK = 6
_PROBE_VERSION = 6
"""Raised when a call is timed otherwise than before, so that old timings are not used again."""


class PriceBook:
    """Times kernel calls once, and remembers them for good, as they are at the machine's usual speed.

    Attributes:
        speed: How fast the machine is at the moment.
        needed: Distinct calls asked for so far.
        cached: How many of them were known from before.
    """

    def __init__(
        self,
        *,
        prober: Prober,
        identity: DeviceIdentity,
        database: LatencyDatabase,
        reference: Workload | None = None,
        progress: Progress | None = None,
    ) -> None:
        load = partial(load_reference, reference, prober=prober, identity=identity, database=database) if reference else None
        self.speed = MachineSpeed(load)
        self._prober = prober
        self._identity = identity
        self._database = database
        self._progress = progress or SilentProgress()
        self._known: dict[tuple[Workload, int], Sample] = {}
        self.needed = 0
        self.cached = 0

    def samples(self, workloads: Iterable[Workload], *, footprint_bytes: int) -> dict[Workload, Sample]:
        """Samples of the calls, timing those that neither this object nor the database knows.

        Args:
            workloads: The calls; repeated ones are timed once.
            footprint_bytes: What passes between two uses of a weight, see :mod:`edgewise.measure.footprint`.

        Raises:
            DeviceError: The runtime refuses a call.
        """
        asked = list(dict.fromkeys(workloads))
        new = [work for work in asked if (work, footprint_bytes) not in self._known]
        keys = {work: _key(work, footprint_bytes) for work in new}
        found = self._database.get_many(self._identity, list(keys.values()))
        for work in new:
            if keys[work] in found:
                self._known[work, footprint_bytes] = found[keys[work]]
        missing = [work for work in new if (work, footprint_bytes) not in self._known]
        self.needed += len(new)
        self.cached += len(new) - len(missing)
        for start in range(0, len(missing), _CHUNK):
            self._time(missing[start : start + _CHUNK], footprint_bytes)
        self._progress.advance(len(asked))
        return {work: self._known[work, footprint_bytes] for work in asked}

    def prices(self, workloads: Iterable[Workload], *, footprint_bytes: int) -> dict[Workload, float]:
        """Seconds of the calls of :meth:`samples`: medians where the reference call is timed beside them, minima where nothing is."""
        samples = self.samples(workloads, footprint_bytes=footprint_bytes)
        return {work: sample.latency_s if self.speed.watched else sample.min_s for work, sample in samples.items()}

    def _time(self, workloads: Sequence[Workload], footprint_bytes: int) -> None:
        sessions: list[Session] = []
        try:
            for work in workloads:
                sessions.append(self._prober.load(work, footprint_bytes=footprint_bytes))  # noqa: PERF401
            schedule = replace(PROBE_SCHEDULE, repeats=_NEAR_REPEATS, turn=_NEAR_TURN) if footprint_bytes <= NEAR_BYTES else PROBE_SCHEDULE
            timed = measure_interleaved(sessions, schedule, beside=self.speed.sessions())
        finally:
            for session in sessions:
                session.close()
        samples, readings = timed[: len(sessions)], timed[len(sessions) :]
        found = {work: self.speed.at_usual(sample, readings) for work, sample in zip(workloads, samples, strict=True)}
        self._known.update({(work, footprint_bytes): sample for work, sample in found.items()})
        self._database.put_many(self._identity, {_key(work, footprint_bytes): sample for work, sample in found.items()})


def open_price_book(
    settings: RuntimeSettings, identity: DeviceIdentity, database: LatencyDatabase, *, progress: Progress | None = None
) -> PriceBook:
    """The prices of a device's kernel calls, with the machine's speed watched beside them.

    Args:
        settings: The device.
        identity: The same as the database knows it.
        database: Where timings come from and go.
        progress: Is told of every call.
    """
    prober, reference = open_prober(settings), reference_call(settings.device)
    return PriceBook(prober=prober, identity=identity, database=database, reference=reference, progress=progress)


def _key(workload: Workload, footprint_bytes: int) -> str:
    return piece_key({"probe": _PROBE_VERSION, "kernel_call": json.loads(workload.key()), "footprint_bytes": footprint_bytes})
