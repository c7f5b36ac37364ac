import fcntl
import gc
import math
import os
import statistics
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise._core.errors import DeviceError, UsageError
from edgewise.measure.lock import lock_path
from edgewise.measure.sampling import Sample, Schedule, is_stable, measure_interleaved


class LockedSession:
    """Notes whether another holder could have the machine's timing lock while it runs."""

    def __init__(self) -> None:
        self.was_free: list[bool] = []

    def run(self) -> None:
        self.time_once_s()

    def time_once_s(self) -> float:
        handle = os.open(lock_path(), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.was_free.append(False)
        else:
            self.was_free.append(True)
        finally:
            os.close(handle)
        return 1e-3

    def close(self) -> None:
        pass


class FakeSession:
    """Reports times from a list, over and over, and writes its name down when it runs."""

    def __init__(self, name: str, times_s: list[float], diary: list[str]) -> None:
        self._name, self._times_s, self._diary, self._calls = name, times_s, diary, 0
        self.collected = True

    def run(self) -> None:
        self.time_once_s()

    def time_once_s(self) -> float:
        self._diary.append(self._name)
        self.collected = gc.isenabled()
        self._calls += 1
        return self._times_s[(self._calls - 1) % len(self._times_s)]

    def close(self) -> None:
        pass


class SleepingSession(FakeSession):
    """Takes a while, whatever it reports."""

    def __init__(self, name: str, times_s: list[float], diary: list[str], *, sleep_s: float) -> None:
        super().__init__(name, times_s, diary)
        self._sleep_s = sleep_s

    def time_once_s(self) -> float:
        time.sleep(self._sleep_s)
        return super().time_once_s()


class Watcher:
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total, self.done, self.notes = 0.0, 0.0, []
        self.title = ""

    def start(self, label: str, total: float) -> None:
        self.title, self.total = label, total

    def advance(self, steps: float = 1.0) -> None:
        self.done += steps

    def note(self, text: str) -> None:
        self.notes.append(text)


QUICK = Schedule(warmup=2, repeats=8, min_seconds=0.0, max_seconds=0.5)


def test_statistics_by_hand() -> None:
    sample = Sample(times_s=(4.0, 1.0, 3.0, 2.0))
    # sorted 1 2 3 4: median 2.5; quartiles at places 0.75 and 2.25
    assert (sample.latency_s, sample.min_s, sample.q1_s, sample.q3_s, sample.n) == (2.5, 1.0, 1.75, 3.25, 4)


def test_one_timing_is_its_own_statistics() -> None:
    sample = Sample(times_s=(0.5,))
    assert (sample.latency_s, sample.min_s, sample.q1_s, sample.q3_s, sample.noisy) == (0.5, 0.5, 0.5, 0.5, False)


@given(st.lists(st.floats(min_value=1e-6, max_value=10.0), min_size=1, max_size=40))
def test_statistics_agree_with_numpy(times_s: list[float]) -> None:
    sample = Sample(times_s=tuple(times_s))
    assert sample.latency_s == pytest.approx(statistics.median(times_s))
    assert (sample.q1_s, sample.q3_s) == pytest.approx(tuple(np.quantile(times_s, [0.25, 0.75])))
    assert sample.min_s == min(times_s)


def test_wide_quartiles_are_noisy() -> None:
    assert not Sample(times_s=(1.0, 1.04, 0.96, 1.05, 1.0, 0.95)).noisy
    assert Sample(times_s=(1.0, 1.2, 0.8, 1.2, 1.0, 0.8)).noisy


def test_drift_is_noisy_although_the_quartiles_are_near() -> None:
    drifting = Sample(times_s=(1.0,) * 12 + (1.07,) * 12)
    assert drifting.q3_s - drifting.q1_s < 0.1 * drifting.latency_s
    assert drifting.noisy
    assert not Sample(times_s=(1.0,) * 12 + (1.03,) * 12).noisy
    assert not Sample(times_s=(1.0, 1.07) * 12).noisy  # the same times in turns
    assert not Sample(times_s=(1.0, 1.0, 1.07, 1.07)).noisy  # too few to tell


def test_a_few_outliers_are_not_noise() -> None:
    assert not Sample(times_s=(1.0,) * 20 + (9.0,) + (1.0,) * 20).noisy


@pytest.mark.parametrize("times_s", [(), (0.0,), (1.0, -1.0), (math.nan,), (math.inf,)])
def test_times_must_be_positive_numbers(times_s: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="times_s"):
        Sample(times_s=times_s)


def test_median_of_equal_times_is_stable_and_of_scattered_is_not() -> None:
    assert is_stable([2.0] * 5, ratio=1e-6)
    assert not is_stable([1.0, 2.0, 3.0, 4.0], ratio=0.1)


def test_sessions_take_turns_in_every_round() -> None:
    diary: list[str] = []
    sessions = [FakeSession(name, [1e-3], diary) for name in "ABC"]
    samples = measure_interleaved(sessions, QUICK)
    assert diary[:6] == ["A", "A", "B", "B", "C", "C"]  # warm-up
    rounds = ["".join(diary[start : start + 3]) for start in range(6, len(diary), 3)]
    assert set(rounds) == {"ABC", "BCA", "CAB"}
    assert [sample.n for sample in samples] == [len(rounds)] * 3


def test_sessions_settle_when_their_turn_comes_and_are_timed_several_times() -> None:
    diary: list[str] = []
    sessions = [SleepingSession(name, [5e-3, 2e-3, 3e-3], diary, sleep_s=1e-3) for name in "AB"]
    samples = measure_interleaved(sessions, Schedule(warmup=3, repeats=4, min_seconds=0.0, stable_ratio=9.0, settle_s=0.5e-3, turn=2))
    assert diary[:6] == ["A"] * 3 + ["B"] * 3  # warm-up
    rounds = ["".join(diary[start : start + 6]) for start in range(6, len(diary), 6)]
    assert len(rounds) == 2 and set(rounds) <= {"AAABBB", "BBBAAA"}
    assert [sample.times_s for sample in samples] == [(2e-3, 3e-3) * 2] * 2


def test_a_session_settles_for_as_long_as_asked() -> None:
    diary: list[str] = []
    measure_interleaved([SleepingSession("A", [1e-3], diary, sleep_s=2e-3)], Schedule(warmup=2, repeats=1, min_seconds=0.0, settle_s=0.01))
    assert 2 + 3 + 1 <= len(diary) <= 2 + 5 + 1  # sleeping takes two milliseconds or more


def test_what_takes_long_is_not_run_once_more_before_each_timing() -> None:
    diary: list[str] = []
    measure_interleaved([SleepingSession("A", [1e-3], diary, sleep_s=0.06)], Schedule(warmup=1, repeats=3, min_seconds=0.0, settle_s=1e-3))
    assert diary == ["A"] * 4


def test_beside_what_takes_long_every_turn_has_one_timing() -> None:
    diary: list[str] = []
    sessions = [SleepingSession("A", [1e-3], diary, sleep_s=0.06), FakeSession("B", [1e-3], diary)]
    samples = measure_interleaved(sessions, Schedule(warmup=1, repeats=3, min_seconds=0.0, turn=4))
    assert [sample.n for sample in samples] == [3, 3]
    assert {"".join(diary[start : start + 2]) for start in range(2, len(diary), 2)} <= {"AB", "BA"}


def test_order_follows_the_seed() -> None:
    diaries: list[list[str]] = [[], [], []]
    for diary, seed in zip(diaries, (0, 0, 1), strict=True):
        measure_interleaved([FakeSession(name, [1e-3], diary) for name in "ABCD"], QUICK, seed=seed)
    assert diaries[0] == diaries[1]
    assert diaries[0] != diaries[2]


def test_samples_come_in_the_order_of_the_sessions() -> None:
    samples = measure_interleaved([FakeSession("A", [1e-3], []), FakeSession("B", [2e-3], [])], QUICK)
    assert [sample.latency_s for sample in samples] == [1e-3, 2e-3]


def test_what_is_timed_beside_comes_last_and_is_not_counted() -> None:
    watcher, diary = Watcher(), []
    asked, beside = FakeSession("A", [2e-3], diary), FakeSession("R", [1e-3], diary)
    samples = measure_interleaved([asked], QUICK, beside=[beside], progress=watcher)
    assert [sample.latency_s for sample in samples] == [2e-3, 1e-3]
    assert diary.count("A") == diary.count("R")
    assert watcher.title == "timing 1 network"


def test_stable_sessions_end_after_the_repeats_and_scattered_go_on() -> None:
    steady = measure_interleaved([FakeSession("A", [1e-3], [])], QUICK)[0]
    scattered = measure_interleaved([FakeSession("A", [1e-3, 3e-3], [])], QUICK)[0]
    assert steady.n == 8
    assert scattered.n > 8


def test_runs_under_50_us_are_timed_several_at_once() -> None:
    diary: list[str] = []
    sample = measure_interleaved([FakeSession("A", [10e-6], diary)], QUICK)[0]
    assert len(diary) == 2 + 5 * sample.n
    assert sample.latency_s == pytest.approx(10e-6)


def test_time_limit_beats_the_repeats_but_leaves_three_rounds() -> None:
    schedule = Schedule(warmup=0, repeats=1000, min_seconds=0.0, max_seconds=0.0)
    assert measure_interleaved([FakeSession("A", [1e-3], [])], schedule)[0].n == 3


def test_nothing_to_time() -> None:
    assert measure_interleaved([]) == []


def test_garbage_is_not_collected_while_timing() -> None:
    session = FakeSession("A", [1e-3], [])
    assert gc.isenabled()
    measure_interleaved([session], QUICK)
    assert not session.collected
    assert gc.isenabled()


def test_the_machine_is_locked_while_timing() -> None:
    session = LockedSession()
    measure_interleaved([session], QUICK)
    assert len(session.was_free) >= 8
    assert not any(session.was_free)


def test_progress_reaches_its_total() -> None:
    watcher = Watcher()
    measure_interleaved([FakeSession("A", [1e-3, 2e-3, 3e-3], [])], QUICK, progress=watcher)
    assert watcher.done == pytest.approx(watcher.total)


def test_a_time_of_zero_is_refused() -> None:
    with pytest.raises(DeviceError, match="positive number of seconds, got 0"):
        measure_interleaved([FakeSession("A", [0.0], [])], QUICK)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Schedule(warmup=-1),
        lambda: Schedule(settle_s=-1.0),
        lambda: Schedule(settle_s=math.inf),
        lambda: Schedule(turn=0),
        lambda: Schedule(repeats=0),
        lambda: Schedule(min_seconds=3.0, max_seconds=2.0),
        lambda: Schedule(max_seconds=math.inf),
        lambda: Schedule(stable_ratio=0.0),
    ],
)
def test_schedules_that_cannot_be(make: object) -> None:
    assert callable(make)
    with pytest.raises(UsageError):
        make()
