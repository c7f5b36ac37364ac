"""Threads that spin on after a run do not disturb who is timed next."""

import hashlib
import sys
import threading
from pathlib import Path

import pytest

from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.session import clock_s
from edgewise.measure.spinning import _runs, cpu_of_others_s, let_others_sleep, others_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which threads run")


def test_a_thread_that_computes_is_seen_and_waited_for() -> None:
    assert let_others_sleep()
    before_s = cpu_of_others_s()
    started = threading.Event()
    worker = threading.Thread(target=compute, args=(1_000_000, started))
    worker.start()
    started.wait()
    assert others_run()
    assert not let_others_sleep()
    worker.join()
    assert let_others_sleep()
    assert cpu_of_others_s() - before_s > 0.01


def test_a_session_begins_when_the_threads_of_the_one_before_sleep() -> None:
    spinning = Spinning()
    quiet = Quiet(spinning)
    measure_interleaved([spinning, quiet], Schedule(warmup=2, repeats=10, min_seconds=0.0, max_seconds=2.0))
    timed = quiet.disturbed[2:]
    assert len(timed) >= 10
    assert sum(timed) < len(timed) / 2, "a machine that is held up may take longer than is waited for, now and then"


class Spinning:
    """A session whose thread computes on for 5 ms after a run."""

    def __init__(self) -> None:
        self.thread = threading.Thread()

    def run(self) -> None:
        started = threading.Event()
        self.thread = threading.Thread(target=compute, args=(15_000, started), daemon=True)
        self.thread.start()
        started.wait()

    def time_once_s(self) -> float:
        return clock_s(self.run)

    def close(self) -> None:
        """Nothing to free."""


class Quiet(Spinning):
    """A session that notes whether the thread of another computes when it begins."""

    def __init__(self, other: Spinning) -> None:
        super().__init__()
        self._other = other
        self.disturbed: list[bool] = []

    def run(self) -> None:
        native_id = self._other.thread.native_id
        self.disturbed.append(native_id is not None and _runs(Path(f"/proc/self/task/{native_id}")))


def compute(rounds: int, started: threading.Event) -> None:
    """Computes in one call, without the interpreter's lock."""
    started.set()
    hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)
