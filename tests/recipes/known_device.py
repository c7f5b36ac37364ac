"""A device whose latencies are known, in place of one that is timed: fits come out the same every time."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from edgewise.cost import Workload
from edgewise.cost.lowering import lowering_for
from edgewise.cost.lowering.lower import pieces_of
from edgewise.measure.overheads import NO_OVERHEADS
from edgewise.measure.pricing import PriceBook
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import Sample
from edgewise.measure.settings import RuntimeSettings
from edgewise.measure.speed import MachineSpeed
from edgewise.recipes.timing import TimingJob
from edgewise.trace import trace

STEP = 16
SPREAD = (1.0, 1.25, 1.5)
"""Repeats of every timing, as shares of its minimum: the median is 1.25 times that."""


def call_s(call: Workload) -> float:
    """A step every 16 channels on both sides, and something for the start."""
    blocks = math.ceil(call.in_channels / STEP) * math.ceil(call.out_channels / STEP)
    return 2e-7 + 1e-9 * blocks * math.prod(call.out_hw) * math.prod(call.window or (1,))


class KnownBook(PriceBook):
    """Prices of calls without timing them."""

    def __init__(self) -> None:
        self.speed = MachineSpeed()
        self.needed = self.cached = 0

    def samples(self, workloads: Iterable[Workload], *, footprint_bytes: int) -> dict[Workload, Sample]:
        calls = list(dict.fromkeys(workloads))
        self.needed += len(calls)
        return {call: Sample(times_s=(call_s(call),)) for call in calls}


Skew = Callable[[float, float, int], float]
"""Minimum measured of a changed network, from what its parts take, what the original takes, and how many were measured before."""


@dataclass
class KnownDevice:
    """What is measured: the sum of the parts, changed for fitted networks by ``skew``."""

    skew: Skew = lambda parts_s, original_s, number: parts_s
    measured: list[float] = field(default_factory=list)

    def time_together(self, jobs: Sequence[TimingJob], **_: object) -> list[Sample]:
        seconds = [self._parts_s(job) for job in jobs]
        original_s, *others = seconds
        found = [original_s]
        for parts_s in others:
            found.append(self.skew(parts_s, original_s, len(self.measured)))
            self.measured.append(found[-1])
        return [Sample(times_s=tuple(share * each for share in SPREAD)) for each in found]

    def _parts_s(self, job: TimingJob) -> float:
        net = trace(job.loaded.model, job.loaded.inputs(), verify=False).net
        pieces = pieces_of(lowering_for(job.runtime.settings.device, net), net.widths)
        return sum(call_s(piece.workload) for piece in pieces)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Puts this device in the place of all that times."""

        def open_device(request, *, database):
            return open_runtime(RuntimeSettings(device=request.device)), KnownBook()

        patch.setattr("edgewise.recipes.profile.open_device", open_device)
        patch.setattr("edgewise.recipes.profile.overheads_of", lambda *_, **__: NO_OVERHEADS)
        patch.setattr("edgewise.recipes.profile.time_together", self.time_together)
        patch.setattr("edgewise.recipes.fitting.time_together", self.time_together)
        patch.setattr("edgewise.recipes.fit.explain", lambda *_, **__: ())
