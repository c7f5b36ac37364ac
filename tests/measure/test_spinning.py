"""Threads that spin on after a run do not disturb who is timed next."""

import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.session import clock_s
from edgewise.measure.spinning import cpu_of_others_s, let_others_sleep, others_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which threads run")
_BLOCK = bytes(1 << 20)


def test_a_thread_that_computes_is_seen_and_waited_for() -> None:
    assert let_others_sleep()
    before_s = cpu_of_others_s()
    with computing(seconds=60.0):
        assert others_run()
        start_s = time.monotonic()
        assert not let_others_sleep()
        assert 0.03 <= time.monotonic() - start_s < 1.0
    assert let_others_sleep()
    assert cpu_of_others_s() - before_s > 0.01


def test_a_session_begins_when_the_threads_of_the_one_before_sleep() -> None:
    quiet = Quiet()
    measure_interleaved([Spinning(), quiet], Schedule(warmup=2, repeats=10, min_seconds=0.0, max_seconds=2.0))
    assert len(quiet.disturbed) >= 12
    assert sum(quiet.disturbed[2:]) <= 2, "but for its warm-up, and what else may run now and then"


class Spinning:
    """A session whose thread computes on for 5 ms after a run."""

    def run(self) -> None:
        started = threading.Event()
        threading.Thread(target=compute, args=(time.monotonic() + 0.005, started), daemon=True).start()
        started.wait()

    def time_once_s(self) -> float:
        return clock_s(self.run)

    def close(self) -> None:
        """Nothing to free."""


class Quiet(Spinning):
    """A session that notes whether others run when it begins."""

    def __init__(self) -> None:
        self.disturbed: list[bool] = []

    def run(self) -> None:
        self.disturbed.append(others_run())


def compute(until_s: float, started: threading.Event) -> None:
    started.set()
    while time.monotonic() < until_s:
        hashlib.sha256(_BLOCK).digest()  # without the interpreter's lock


@contextmanager
def computing(seconds: float) -> Iterator[None]:
    stop, started = threading.Event(), threading.Event()

    def work() -> None:
        end_s = time.monotonic() + seconds
        while not stop.is_set() and time.monotonic() < end_s:
            compute(time.monotonic() + 0.002, started)

    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    try:
        yield
    finally:
        stop.set()
        worker.join()
