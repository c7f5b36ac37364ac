"""A prober whose calls take known times, so that prices can be checked without a clock."""

import math
from collections.abc import Callable

from edgewise.cost import Workload
from edgewise.measure.sampling import Schedule

AT_ONCE = Schedule(warmup=0, repeats=1, min_seconds=0.0, max_seconds=0.0)
"""One timing is enough where times are known."""

Truth = Callable[[Workload], float]


class KnownSession:
    """Reports what its call takes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.closed = False

    def run(self) -> None:
        return None

    def time_once_s(self) -> float:
        return self._seconds

    def close(self) -> None:
        self.closed = True


class KnownProber:
    """Loads calls, and remembers which."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.loaded: list[Workload] = []
        self.footprints: list[int] = []
        self.sessions: list[KnownSession] = []

    def load(self, workload: Workload, *, footprint_bytes: int) -> KnownSession:
        assert footprint_bytes > 0
        assert not workload.one_width or workload.in_channels == workload.out_channels, workload  # as runtimes do
        self.loaded.append(workload)
        self.footprints.append(footprint_bytes)
        self.sessions.append(KnownSession(self._truth(workload)))
        return self.sessions[-1]


def tiles_s(work: Workload) -> float:
    """Tiles of 16 by 16 channels for layers with weights, whole blocks of 16 for the others; seconds."""
    positions = max(math.prod(work.out_hw), 1)
    blocks_in, blocks_out = -(-work.in_channels // 16), -(-work.out_channels // 16)
    if work.one_width:
        return 2e-4 + 1e-6 * positions * blocks_out
    return 1e-4 + 1e-6 * positions * math.prod(work.window) * blocks_in * blocks_out
