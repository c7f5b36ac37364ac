"""Prices are timed once, kept for good, and kept even when the process dies."""

from pathlib import Path

import pytest

from edgewise._core.errors import DeviceError
from edgewise.cost import Workload
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.pricing import PriceBook
from measure.stand_ins import KnownProber, tiles_s

CALLS = [
    Workload(kernel="fused", op="conv2d", in_channels=16, out_channels=width, in_hw=(8, 8), out_hw=(8, 8), window=(3, 3))
    for width in range(16, 16 * 9, 16)
]


@pytest.fixture
def database(tmp_path: Path) -> LatencyDatabase:
    return LatencyDatabase(tmp_path / "latency.sqlite")


def book_of(prober: KnownProber, identity: DeviceIdentity, database: LatencyDatabase) -> PriceBook:
    return PriceBook(prober=prober, identity=identity, database=database)


def test_calls_are_timed_once_and_sessions_closed(identity: DeviceIdentity, database: LatencyDatabase) -> None:
    prober = KnownProber(tiles_s)
    book = book_of(prober, identity, database)
    samples = book.samples([*CALLS, *CALLS], footprint_bytes=1 << 20)
    again = book.samples(CALLS, footprint_bytes=1 << 20)
    assert {work: sample.min_s for work, sample in samples.items()} == pytest.approx({work: tiles_s(work) for work in CALLS})
    assert again == samples
    assert prober.loaded == CALLS
    assert all(session.closed for session in prober.sessions)
    assert (book.needed, book.cached) == (len(CALLS), 0)


def test_a_later_process_finds_them_in_the_database(identity: DeviceIdentity, database: LatencyDatabase) -> None:
    book_of(KnownProber(tiles_s), identity, database).samples(CALLS[:5], footprint_bytes=1 << 20)
    prober = KnownProber(tiles_s)
    book = book_of(prober, identity, database)
    book.samples(CALLS, footprint_bytes=1 << 20)
    assert prober.loaded == CALLS[5:]
    assert (book.needed, book.cached) == (len(CALLS), 5)


def test_calls_of_a_family_with_and_without_a_shortcut_do_not_stand_for_each_other(
    identity: DeviceIdentity, database: LatencyDatabase
) -> None:
    plain = CALLS[0]
    adding = Workload(**{**{name: getattr(plain, name) for name in plain.__slots__}, "adds": True})
    book_of(KnownProber(tiles_s), identity, database).samples([plain], footprint_bytes=1 << 20)
    prober = KnownProber(tiles_s)
    book_of(prober, identity, database).samples([adding], footprint_bytes=1 << 20)
    assert prober.loaded == [adding]


def test_another_footprint_is_another_price(identity: DeviceIdentity, database: LatencyDatabase) -> None:
    prober = KnownProber(tiles_s)
    book = book_of(prober, identity, database)
    for footprint_bytes in (1 << 20, 1 << 22):
        book.samples(CALLS[:1], footprint_bytes=footprint_bytes)
    assert len(prober.loaded) == 2


def test_killed_halfway_keeps_what_was_timed(identity: DeviceIdentity, database: LatencyDatabase) -> None:
    def fails_late(work: Workload) -> float:
        if work == CALLS[-1]:
            raise DeviceError("the runtime gave up")
        return tiles_s(work)

    prober = KnownProber(fails_late)
    with pytest.raises(DeviceError, match="gave up"):
        book_of(prober, identity, database).samples(CALLS, footprint_bytes=1 << 20)
    after = KnownProber(tiles_s)
    book = book_of(after, identity, database)
    book.samples(CALLS, footprint_bytes=1 << 20)
    assert after.loaded == CALLS[6:]
    assert all(session.closed for session in prober.sessions)
