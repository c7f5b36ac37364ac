"""Timing several sessions fairly, and saying how good the numbers are."""

import gc
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from edgewise._core.errors import DeviceError, UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.rng import make_rng
from edgewise.measure.lock import timing_lock
from edgewise.measure.session import Session
from edgewise.measure.spinning import cpu_of_others_s, let_others_sleep, others_run

NOISY_RATIO = 0.1
"""Distance of the quartiles, as a share of the median, from which a sample is noisy (torch.utils.benchmark warns there)."""
DRIFT_RATIO = 0.05
"""Distance of the medians of both halves from which a sample drifts. Lower, since a drift of 10 % moves the quartiles as far apart."""
_LEAST_HALF = 4
SETTLE_S, TURN = 0.015, 4
"""For whole networks: ten inferences of one that takes 1.5 ms, then four timings."""
_SHORTEST_TIMING_S = 50e-6
_LONGEST_SETTLING_S = 0.05
"""What takes longer goes through all of the caches itself; and a command that times elsewhere shares none with others here."""
_SHORTEST_SETTLING_S = 1e-6
_THREADED_SHARE = 0.05
_STEPS = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Repeated timings of one network or piece, and what they say.

    Attributes:
        times_s: Seconds of one inference, in the order measured; at least one, all positive.
        latency_s: Their median.
        min_s: Their minimum, for ratios within one interleaved run.
        q1_s: First quartile (linear interpolation).
        q3_s: Third quartile.
        noisy: The quartiles lie more than 10 % of the median apart, or (from 8 timings on)
            the medians of the first and second half more than 5 %.

    Example:
        >>> sample = Sample(times_s=(1.0, 2.0, 3.0, 4.0, 10.0))
        >>> sample.latency_s, sample.min_s, sample.q1_s, sample.q3_s, sample.noisy
        (3.0, 1.0, 2.0, 4.0, True)
    """

    times_s: tuple[float, ...]
    latency_s: float = field(init=False)
    min_s: float = field(init=False)
    q1_s: float = field(init=False)
    q3_s: float = field(init=False)
    noisy: bool = field(init=False)

    def __post_init__(self) -> None:
        """Checks the times and works out the statistics."""
        if not self.times_s or not all(math.isfinite(time_s) and time_s > 0 for time_s in self.times_s):
            raise UsageError(f"`times_s` must hold at least one time, all positive and finite, got {list(self.times_s)[:5]}")
        ordered = sorted(self.times_s)
        median, q1, q3 = (_quantile(ordered, share) for share in (0.5, 0.25, 0.75))
        for name, value in (("latency_s", median), ("min_s", ordered[0]), ("q1_s", q1), ("q3_s", q3)):
            object.__setattr__(self, name, value)
        noisy = q3 - q1 > NOISY_RATIO * median or _drift_s(self.times_s) > DRIFT_RATIO * median
        object.__setattr__(self, "noisy", noisy)

    @property
    def n(self) -> int:
        """Number of timings."""
        return len(self.times_s)

    def ratio_to(self, other: "Sample") -> float:
        """This sample's times over those of another of the same interleaved run: the median over the rounds.

        Both times of a round are moments apart, so that a machine which is now fast, now slow disturbs this less than a
        ratio of minima or of medians.

        Example:
            >>> Sample(times_s=(1.0, 2.0, 1.0)).ratio_to(Sample(times_s=(2.0, 4.0, 4.0)))
            0.5
        """
        return self.beside(other, usual_s=1.0).latency_s

    def beside(self, reference: "Sample", *, usual_s: float) -> "Sample":
        """The sample as it were if the reference, timed in the same rounds, always took its usual time.

        Each time is divided by how much slower the reference was in its round, so that a machine which is now fast, now slow
        within a second disturbs the median of the result little.

        Args:
            reference: A sample of the same interleaved run.
            usual_s: What the reference usually takes.

        Example:
            >>> Sample(times_s=(1.0, 1.0, 2.0)).beside(Sample(times_s=(4.0, 4.0, 8.0)), usual_s=2.0).times_s
            (0.5, 0.5, 0.5)
        """
        pairs = zip(self.times_s, reference.times_s, strict=True)
        return Sample(times_s=tuple(time_s * usual_s / beside_s for time_s, beside_s in pairs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How long to time.

    Attributes:
        warmup: Untimed inferences of each session before the first timed one.
        repeats: Timings of each session at least.
        min_seconds: Seconds spent timing each session at least, on average.
        max_seconds: Seconds after which no further round begins, for each session on
            average; three timings are always made.
        stable_ratio: Timing ends when every median is known to this share of itself.
        settle_s: Seconds of untimed inferences whenever a session's turn comes, one inference at least, where one takes no longer
            than 50 ms. Without, it finds in caches and branch predictors what the other sessions of the round left there. A network
            of 1 ms takes a third longer then, and ten inferences until it is as fast as one that runs again and again.
        turn: Timings of a session, one after the other, whenever its turn comes; one where a session takes longer than that.
    """

    warmup: int = 3
    repeats: int = 10
    min_seconds: float = 0.05
    max_seconds: float = 2.0
    stable_ratio: float = 0.01
    settle_s: float = 0.0
    turn: int = 1

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.warmup < 0 or min(self.repeats, self.turn) < 1:
            raise UsageError(
                f"`warmup` must not be negative, `repeats` and `turn` at least 1, got {self.warmup}, {self.repeats} and {self.turn}"
            )
        if not 0 <= self.settle_s < math.inf:
            raise UsageError(f"`settle_s` must be finite and not negative, got {self.settle_s}")
        if not 0 <= self.min_seconds <= self.max_seconds < math.inf:
            raise UsageError(f"0 <= `min_seconds` <= `max_seconds` must hold, got {self.min_seconds} and {self.max_seconds}")
        if not self.stable_ratio > 0:
            raise UsageError(f"`stable_ratio` must be positive, got {self.stable_ratio}")


DEFAULT_SCHEDULE = Schedule()
_LEAST_TIMINGS = 3


def measure_interleaved(
    sessions: Sequence[Session],
    schedule: Schedule = DEFAULT_SCHEDULE,
    *,
    beside: Sequence[Session] = (),
    progress: Progress | None = None,
    seed: int = 0,
) -> list[Sample]:
    """Times all sessions in turn, round after round, so that a slow minute hits them alike.

    Every round gives each session a turn; the round's first session is drawn at random, so
    that none always follows the same state of the caches. A session begins when the threads of
    the one before have gone to sleep, since those of some runtimes (PyTorch's) spin on for
    milliseconds. Rounds go on until every median is stable, within the schedule's limits. Runs
    shorter than 50 µs are timed several at a time. The machine's timing lock is held throughout.

    Args:
        sessions: What to time; all have the same number of timings afterwards.
        schedule: How long to time.
        beside: Timed in the same rounds, but not what a person asked for: their samples come last.
        progress: Is told how far it is.
        seed: Of the order.

    Returns:
        One sample a session, in the order given.

    Raises:
        DeviceError: A session fails, or reports no positive time.
    """
    watcher = progress or SilentProgress()
    together = [*sessions, *beside]
    if not together:
        return []
    with timing_lock(watcher), _no_garbage_collection():
        watcher.start(f"timing {len(sessions)} network{'s' if len(sessions) > 1 else ''}", _STEPS)
        warm = [_warm_up(session, schedule) for session in together]
        times_s = _timed_rounds(warm, schedule, progress=watcher, seed=seed)
    return [Sample(times_s=tuple(times)) for times in times_s]


def is_stable(times_s: Sequence[float], *, ratio: float) -> bool:
    """Whether the median is known to ``ratio`` of itself, with about 95 % confidence.

    Uses the half-width of a box plot's notch, ``1.57 * (q3 - q1) / sqrt(n)`` (McGill, Tukey and
    Larsen, Variations of box plots, The American Statistician 32, 1978), which no outlier moves.

    Example:
        >>> is_stable([1.0] * 10, ratio=0.01), is_stable([1.0, 2.0, 3.0], ratio=0.01)
        (True, False)
    """
    ordered = sorted(times_s)
    notch = 1.57 * (_quantile(ordered, 0.75) - _quantile(ordered, 0.25)) / math.sqrt(len(ordered))
    return notch <= ratio * _quantile(ordered, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Warm:
    """A session that is warm.

    Attributes:
        session: The session.
        loops: Runs that one timing takes together.
        brief: It takes no longer than what settles.
        settle: Runs before a turn.
        threaded: It has further threads.
    """

    session: Session
    loops: int
    brief: bool
    settle: int
    threaded: bool

    def turn_s(self, timings: int) -> list[float]:
        for _ in range(self.settle):
            self.session.run()
        return [_time_s(self.session, self.loops) for _ in range(timings)]


def _timed_rounds(sessions: Sequence[_Warm], schedule: Schedule, *, progress: Progress, seed: int) -> list[list[float]]:
    rng, turn = make_rng(seed, "interleave"), schedule.turn if all(session.brief for session in sessions) else 1
    times_s: list[list[float]] = [[] for _ in sessions]
    start_s, told, next_check = time.monotonic(), 0.0, schedule.repeats
    while True:
        for place in _rotation(len(sessions), rng):
            times_s[place] += sessions[place].turn_s(turn)
            if sessions[place].threaded and len(sessions) > 1:
                let_others_sleep()
        timings, spent_s = len(times_s[0]), (time.monotonic() - start_s) / len(sessions)
        told = _tell(progress, told, timings, spent_s, schedule)
        if spent_s >= schedule.max_seconds and timings >= min(_LEAST_TIMINGS, schedule.repeats):
            break
        if timings < max(schedule.repeats, next_check) or spent_s < schedule.min_seconds:
            continue
        if all(is_stable(times, ratio=schedule.stable_ratio) for times in times_s):
            break
        next_check = timings + max(1, timings // 10)  # sorting after every round would cost more than the rounds
    progress.advance(_STEPS - told)
    return times_s


def _rotation(count: int, rng: np.random.Generator) -> list[int]:
    first = int(rng.integers(count))
    return [(first + step) % count for step in range(count)]


def _time_s(session: Session, loops: int) -> float:
    seconds = session.time_once_s() if loops == 1 else math.fsum(session.time_once_s() for _ in range(loops)) / loops
    if not (math.isfinite(seconds) and seconds > 0):
        raise DeviceError(f"a timing must be a positive number of seconds, got {seconds}")
    return seconds


def _warm_up(session: Session, schedule: Schedule) -> _Warm:
    """Runs the session until it is warm."""
    give_up_s = time.monotonic() + schedule.max_seconds / 2
    times_s, took_s, others_s = [], [], cpu_of_others_s()
    for _ in range(max(1, schedule.warmup)):
        start_s = time.monotonic()
        times_s.append(session.time_once_s())
        took_s.append(time.monotonic() - start_s)
        if time.monotonic() > give_up_s:
            break
    loops = max(1, math.ceil(_SHORTEST_TIMING_S / min(times_s))) if min(times_s) > 0 else 1
    brief = min(took_s) <= _LONGEST_SETTLING_S
    settle = math.ceil(schedule.settle_s / max(min(took_s), _SHORTEST_SETTLING_S)) if brief else 0
    threaded = others_run() or cpu_of_others_s() - others_s > _THREADED_SHARE * math.fsum(took_s)
    return _Warm(session=session, loops=loops, brief=brief, settle=settle, threaded=threaded)


def _tell(progress: Progress, told: float, timings: int, spent_s: float, schedule: Schedule) -> float:
    by_time = spent_s / schedule.max_seconds if schedule.max_seconds > 0 else 1.0
    by_rounds = min(timings / schedule.repeats, spent_s / schedule.min_seconds if schedule.min_seconds > 0 else 1.0)
    done = min(_STEPS, _STEPS * max(by_time, 0.9 * min(1.0, by_rounds)))
    if done - told < 1.0:
        return told
    progress.advance(done - told)
    return done


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _drift_s(times_s: Sequence[float]) -> float:
    half = len(times_s) // 2
    return abs(statistics.median(times_s[:half]) - statistics.median(times_s[-half:])) if half >= _LEAST_HALF else 0.0


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
