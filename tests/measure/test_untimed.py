"""Training steps and timings keep apart: in two processes, in two threads, in one thread."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise.measure.lock import timing_lock, untimed
from edgewise.train.loop import Checkpoint, FineTune, Goal, Loaders, fine_tune
from train.networks import random_batches, random_loaders, same_weights, small_cnn

TESTS = Path(__file__).resolve().parents[1]
TRAIN = """
import sys
from edgewise.measure.lock import untimed
from edgewise.train.loop import FineTune, Goal, Loaders, fine_tune
from train.networks import random_batches, small_cnn

class Counter:
    def start(self, label, total): pass
    def note(self, text): pass
    def advance(self, steps=1.0):
        with open(sys.argv[1], "a") as counted:
            counted.write(".")

data = Loaders(train=random_batches(100_000), validation=None)
fine_tune(small_cnn(), data, config=FineTune(epochs=1, lr=0.01, bf16=False), goal=Goal(gate=untimed), progress=Counter())
"""
STEPS = """
import sys, time
from edgewise.measure.lock import untimed
print("ready", flush=True)
while True:
    with untimed():
        time.sleep(float(sys.argv[1]))
"""
HELD_STEP = """
import sys
from edgewise.measure.lock import untimed
with untimed():
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ended when the test is over."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}", "OMP_NUM_THREADS": "1"}


def until(holds: object, *, seconds: float = 60.0) -> None:
    assert callable(holds)
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.01)


def test_a_training_stands_still_while_another_process_times_and_then_goes_on(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    counter = tmp_path / "steps"
    counter.touch()
    started.append(start(TRAIN, counter))
    n_steps = lambda: counter.stat().st_size  # noqa: E731
    until(lambda: n_steps() > 5)
    with timing_lock():
        # Counted after a step is over, so that one more may come.
        time.sleep(0.05)
        before = n_steps()
        time.sleep(0.5)
        assert n_steps() == before
    until(lambda: n_steps() > before + 5)


def test_many_trainings_do_not_starve_a_timing(started: list[subprocess.Popen[str]]) -> None:
    started.extend(start(STEPS, step_s) for step_s in (0.031, 0.037, 0.041, 0.047))  # never all at an end at once
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    done = threading.Event()

    def time_five_times() -> None:
        for _ in range(5):
            with timing_lock():
                pass
        done.set()

    timing = threading.Thread(target=time_five_times, daemon=True)  # starved, it would wait for ever
    timing.start()
    # Each waits for the longest of four steps; their shared locks overlap at all times.
    assert done.wait(timeout=10)
    timing.join()


def test_a_timing_goes_on_when_the_training_that_it_waits_for_is_killed(started: list[subprocess.Popen[str]]) -> None:
    started.append(start(HELD_STEP))
    assert started[0].stdout is not None
    assert started[0].stdout.readline() == "ready\n"
    held = threading.Event()

    def wait() -> None:
        with timing_lock():
            held.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not held.wait(timeout=0.2)
    started[0].kill()
    assert held.wait(timeout=30)
    waiting.join()


def test_a_step_waits_for_a_timing_of_another_thread_and_steps_go_side_by_side() -> None:
    entered = threading.Event()

    def enter() -> None:
        with untimed():
            entered.set()

    def run(expected: bool) -> threading.Thread:
        entered.clear()
        other = threading.Thread(target=enter)
        other.start()
        assert entered.wait(timeout=30 if expected else 0.2) is expected
        return other

    with untimed():
        run(True).join()
    with timing_lock():
        other = run(False)
    other.join(timeout=30)
    assert entered.is_set()


def test_in_one_thread_a_timing_within_a_step_and_a_step_within_a_timing_do_not_wait() -> None:
    passed = threading.Event()

    def nest() -> None:
        with untimed(), untimed(), timing_lock(), untimed(), timing_lock():
            pass
        with timing_lock(), untimed():
            pass
        with untimed():
            passed.set()

    threading.Thread(target=nest, daemon=True).start()  # a thread that waits for itself never ends
    assert passed.wait(timeout=30)


def test_a_step_gives_way_to_the_timing_within_it_and_takes_the_lock_again(started: list[subprocess.Popen[str]]) -> None:
    with untimed():
        with timing_lock():
            started.append(start(HELD_STEP))
            assert started[0].stdout is not None
            time.sleep(0.3)
        assert started[0].stdout.readline() == "ready\n"  # the timing is over; both steps share the lock
        started[0].kill()
        alone = threading.Event()

        def wait() -> None:
            with timing_lock():
                alone.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not alone.wait(timeout=0.2)
    assert alone.wait(timeout=30)
    waiting.join()


def test_the_gate_changes_no_result_and_no_checkpoint(tmp_path: Path) -> None:
    config = FineTune(epochs=2, lr=0.1, bf16=False)
    free = fine_tune(small_cnn(dropout=0.3), random_loaders(), config=config)
    kept = Checkpoint(path=tmp_path / "checkpoint.safetensors")
    gated = fine_tune(small_cnn(dropout=0.3), random_loaders(), config=config, goal=Goal(gate=untimed), checkpoint=kept)
    assert same_weights(free.model, gated.model)
    assert [(one.loss, one.score) for one in free.history] == [(one.loss, one.score) for one in gated.history]
    resumed = fine_tune(small_cnn(dropout=0.3), random_loaders(), config=config, checkpoint=Checkpoint(path=kept.path, resume=True))
    assert resumed.resumed
    assert same_weights(free.model, resumed.model)


def test_a_gate_is_passed_by_every_step_and_every_scored_batch() -> None:
    passed: list[str] = []

    class Gate:
        def __enter__(self) -> None:
            passed.append("in")

        def __exit__(self, *error: object) -> None:
            passed.append("out")

    data = Loaders(train=random_batches(3), validation=random_batches(2, seed=1))
    fine_tune(small_cnn(), data, config=FineTune(epochs=2, lr=0.1, bf16=False), goal=Goal(gate=Gate))
    assert passed == ["in", "out"] * (2 + 2 * (3 + 2))  # scored before, then two epochs of steps and a score
