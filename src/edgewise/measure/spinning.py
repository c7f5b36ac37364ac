"""Threads that go on after a run: those of some runtimes spin for milliseconds, and take the processors from who is timed next."""

import threading
import time
from pathlib import Path

_TASKS = Path("/proc/self/task")
_LONGEST_WAIT_S = 0.03
_LOOK_S = 0.0002


def cpu_of_others_s() -> float:
    """Seconds that the other threads of this process have computed; of those that still run, some milliseconds may be missing."""
    return time.process_time() - time.thread_time()


def others_run() -> bool:
    """Whether another thread of this process has a processor, or waits for one. Never where the system does not say (not Linux)."""
    mine = str(threading.get_native_id())
    try:
        return any(_runs(task) for task in _TASKS.iterdir() if task.name != mine)
    except OSError:
        return False


def let_others_sleep() -> bool:
    """Waits until no other thread runs, for 30 ms at most (those of GNU OpenMP spin for 7 to 8 ms on a Zen 5).

    Returns:
        Whether none runs.
    """
    give_up_s = time.monotonic() + _LONGEST_WAIT_S
    while others_run():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(_LOOK_S)
    return True


def _runs(task: Path) -> bool:
    try:
        line = (task / "stat").read_bytes()
    except OSError:  # it has ended meanwhile
        return False
    return line.rpartition(b")")[2].split()[0] == b"R"
