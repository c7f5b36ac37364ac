"""A network loaded on a device, ready to be timed."""

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Session(Protocol):
    """A network loaded on a device, with its inputs in place."""

    def run(self) -> None:
        """One inference with the inputs set when it was loaded; results are dropped."""
        ...

    def time_once_s(self) -> float:
        """Seconds that one inference took: by our clock, or as the device reports."""
        ...

    def close(self) -> None:
        """Frees the network; the session cannot be used afterwards. May be called twice."""
        ...


def clock_s(run: Callable[[], object]) -> float:
    """Seconds that one call took, by the steadiest clock of the machine."""
    start_ns = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start_ns) * 1e-9
