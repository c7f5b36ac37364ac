"""The machine's speed is read off a call that never changes, and taken out of prices."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from edgewise.cost import Workload
from edgewise.measure import pricing, speed
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.pricing import PriceBook
from edgewise.measure.sampling import Sample, Schedule
from edgewise.measure.speed import MachineSpeed, reference_call
from measure.stand_ins import AT_ONCE, KnownProber, tiles_s

REFERENCE = reference_call("openvino-cpu")
CALLS = [
    Workload(kernel="fused", op="conv2d", in_channels=16, out_channels=width, in_hw=(8, 8), out_hw=(8, 8), window=(3, 3))
    for width in range(16, 16 * 40, 16)
]


class Weather:
    """A machine whose calls all take a multiple of what they should."""

    def __init__(self) -> None:
        self.slow = 1.0

    def __call__(self, work: Workload) -> float:
        return tiles_s(work) * self.slow


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "PROBE_SCHEDULE", AT_ONCE)
    monkeypatch.setattr(speed, "_FIRST", AT_ONCE)


class LiveProber(KnownProber):
    """Its sessions ask the weather at every run, as real ones do."""

    def load(self, workload: Workload, *, footprint_bytes: int):
        session = super().load(workload, footprint_bytes=footprint_bytes)
        session.time_once_s = lambda: self._truth(workload)
        return session


def book_in(weather: Weather, identity: DeviceIdentity, folder: Path) -> PriceBook:
    return PriceBook(
        prober=LiveProber(weather), identity=identity, database=LatencyDatabase(folder / "latency.sqlite"), reference=REFERENCE
    )


def test_prices_do_not_depend_on_the_minute(identity: DeviceIdentity, tmp_path: Path) -> None:
    weather = Weather()
    book = book_in(weather, identity, tmp_path)
    first = book.prices(CALLS[:4], footprint_bytes=1 << 20)
    weather.slow = 1.3
    later = book.prices(CALLS[4:], footprint_bytes=1 << 20)
    assert first | later == pytest.approx({work: tiles_s(work) for work in CALLS})


def test_what_the_reference_took_first_is_kept_for_later_processes(identity: DeviceIdentity, tmp_path: Path) -> None:
    weather = Weather()
    book_in(weather, identity, tmp_path).speed.sessions()
    weather.slow = 1.25
    book = book_in(weather, identity, tmp_path)
    found = book.prices(CALLS[:4], footprint_bytes=1 << 20)
    assert found[CALLS[0]] == pytest.approx(tiles_s(CALLS[0]))
    other = PriceBook(
        prober=LiveProber(weather),
        identity=replace(identity, threads=identity.threads + 1),
        database=LatencyDatabase(tmp_path / "latency.sqlite"),
        reference=REFERENCE,
    )
    # Another device is met for the first time: it is as fast as it is.
    assert other.prices(CALLS[:1], footprint_bytes=1 << 20)[CALLS[0]] == pytest.approx(1.25 * tiles_s(CALLS[0]))


def test_read_notes_the_slowdown_by_medians() -> None:
    machine = MachineSpeed(lambda: (KnownProber(tiles_s).load(CALLS[0], footprint_bytes=1), 2.0))
    (_,) = machine.sessions()
    assert machine.read([Sample(times_s=(2.0, 3.0, 4.0))]) == machine.now == 1.5


def test_a_machine_that_is_now_fast_now_slow_gives_the_same_prices(
    identity: DeviceIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pricing, "PROBE_SCHEDULE", Schedule(warmup=0, repeats=40, min_seconds=0.0, max_seconds=1.0))
    book = book_in(Weather(), identity, tmp_path)
    calls = count()

    def gusty(work: Workload) -> float:
        """Slow but for one round in ten: a round has four calls and the reference."""
        return tiles_s(work) * (1.0 if next(calls) // 5 % 10 == 7 else 1.6)

    book._prober = LiveProber(gusty)
    book.speed._loaded = (book._prober.load(REFERENCE, footprint_bytes=1), tiles_s(REFERENCE))
    assert book.prices(CALLS[:4], footprint_bytes=1 << 20) == pytest.approx({work: tiles_s(work) for work in CALLS[:4]})


def test_without_a_reference_the_machine_counts_as_steady() -> None:
    machine = MachineSpeed()
    assert machine.sessions() == ()
    assert machine.read([]) == machine.now == 1.0 and not machine.watched
    assert machine.at_usual(Sample(times_s=(3.0,)), []).times_s == (3.0,)
    assert reference_call("exec:./time.sh") is None
