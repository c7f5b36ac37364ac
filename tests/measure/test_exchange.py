"""Samples go from one latency database into another, once, unchanged, and only if they are what they should be."""

import datetime
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewise._core.errors import DatabaseError
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.exchange import StoredSample
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.sampling import Sample


@pytest.fixture
def there(tmp_path: Path, identity: DeviceIdentity) -> LatencyDatabase:
    """The database of another machine, with two samples."""
    database = LatencyDatabase(tmp_path / "there.sqlite")
    database.put_many(identity, {"a": Sample(times_s=(0.1, 0.30000000000000004, 0.2)), "b": Sample(times_s=(1.0,))})
    return database


@pytest.fixture
def here(tmp_path: Path) -> LatencyDatabase:
    return LatencyDatabase(tmp_path / "here.sqlite")


def travelled(samples: list[StoredSample]) -> list[StoredSample]:
    """What arrives on another machine."""
    return [StoredSample.from_json(json.loads(json.dumps(one.to_json()))) for one in samples]


def columns_of(database: LatencyDatabase) -> list[tuple[Any, ...]]:
    columns = (
        "device, cpu, threads, piece, latency_s, min_s, q1_s, q3_s, n, noisy, times_s, measured_at, load_average, edgewise_version, host"
    )
    database.close()
    with sqlite3.connect(database.path) as connection:
        rows = connection.execute(f"SELECT {columns} FROM samples ORDER BY id").fetchall()
    connection.close()
    return rows


def test_samples_arrive_with_every_figure_and_where_they_come_from(there: LatencyDatabase, here: LatencyDatabase) -> None:
    assert here.take_in(travelled(there.stored())) == 2
    assert columns_of(here) == columns_of(there)
    host = json.loads(there.stored()[0].host)
    assert {"name", "cpu", "versions"} <= host.keys()


def test_what_is_there_already_is_not_taken_in_again(there: LatencyDatabase, here: LatencyDatabase, identity: DeviceIdentity) -> None:
    samples = there.stored()
    assert [here.take_in(samples), here.take_in(samples), here.take_in([*samples, *samples])] == [2, 0, 0]
    assert there.take_in(samples) == 0
    there.put(identity, "c", Sample(times_s=(2.0,)))
    assert here.take_in(there.stored()) == 1
    assert here.count() == 3


def test_only_what_came_after_is_given(there: LatencyDatabase, identity: DeviceIdentity) -> None:
    last = there.last_id
    assert there.stored(after=last) == []
    there.put(identity, "c", Sample(times_s=(2.0,)))
    assert [one.piece for one in there.stored(after=last)] == ["c"]


def test_an_empty_database_gives_nothing_and_is_not_made(here: LatencyDatabase) -> None:
    assert (here.stored(), here.last_id) == ([], 0)
    assert not here.path.exists()


def test_an_older_sample_from_elsewhere_does_not_hide_a_newer_one(
    there: LatencyDatabase, here: LatencyDatabase, identity: DeviceIdentity
) -> None:
    here.put(identity, "a", Sample(times_s=(5.0,)))
    old = [replace(one, measured_at="2020-01-01T00:00:00+00:00") for one in there.stored()]
    assert here.take_in(old) == 2
    assert here.get(identity, "a") == Sample(times_s=(5.0,))
    assert here.get(identity, "b") == Sample(times_s=(1.0,))


def _tomorrow() -> str:
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)).isoformat(timespec="seconds")


def _with(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda sample: {**sample, name: value}


def _identity_with(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda sample: {**sample, "identity": {**sample["identity"], name: value}}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda sample: [sample], "exactly the fields"),
        (_with("id", 1), "exactly the fields"),
        (lambda sample: {name: sample[name] for name in sample if name != "host"}, "exactly the fields"),
        (_with("times_s", []), "1 to 1048576"),
        (_with("times_s", [1.0, -1.0]), "each of times_s"),
        (_with("times_s", [0]), "positive"),
        (_with("times_s", [float("inf")]), "finite"),
        (_with("times_s", [float("nan")]), "finite"),
        (_with("times_s", [True]), "finite number"),
        (_with("times_s", "1.0"), "list"),
        (_with("piece", 7), "text"),
        (_with("piece", "x" * 70_000), "at most 65536"),
        (_with("piece", "a\x00b"), "text"),
        (_with("measured_at", "yesterday"), "ISO 8601"),
        (_with("measured_at", "2026-01-01T00:00:00"), "UTC"),
        (_with("measured_at", _tomorrow()), "future"),
        (_with("load_average", "1"), "finite number"),
        (_with("host", "[]"), "JSON object"),
        (_with("host", "[" * 50_000), "JSON object"),
        (_identity_with("threads", 0), "whole number"),
        (_identity_with("batch", 1.5), "whole number"),
        (_identity_with("precision", "fp7"), "fp32, bf16"),
        (_identity_with("cpu", None), "text"),
        (_identity_with("colour", "red"), "exactly the fields"),
    ],
)
def test_what_is_no_sample_is_refused(spoil: Callable[[dict[str, Any]], object], said: str, there: LatencyDatabase) -> None:
    with pytest.raises(DatabaseError, match=said) as refused:
        StoredSample.from_json(spoil(there.stored()[0].to_json()))
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)
