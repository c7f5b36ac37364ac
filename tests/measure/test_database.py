import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise._core.errors import DatabaseError, StorageError
from edgewise.measure.database import LatencyDatabase, default_database_path, piece_key
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.sampling import Sample

_WRITER = """
import sys
from pathlib import Path
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.sampling import Sample

identity = DeviceIdentity(device="d", cpu="c", isa="i", runtime="r", version="1", threads=1, precision="fp32", batch=1)
name, count = sys.argv[2], int(sys.argv[3])
with LatencyDatabase(Path(sys.argv[1])) as database:
    for place in range(count):
        database.put(identity, f"{name}-{place}", Sample(times_s=(1.0 + place,)))
        print(place, flush=True)
"""
_WRITERS_IDENTITY = DeviceIdentity(device="d", cpu="c", isa="i", runtime="r", version="1", threads=1, precision="fp32", batch=1)


class Notes:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, label: str, total: float) -> None: ...

    def advance(self, steps: float = 1.0) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "latency.sqlite"


def sample(*times_s: float) -> Sample:
    return Sample(times_s=times_s)


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True)


def test_what_is_put_comes_back_in_another_connection(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        database.put(identity, "a", sample(0.1, 0.3, 0.2))
    with LatencyDatabase(path) as database:
        assert database.get(identity, "a") == sample(0.1, 0.3, 0.2)
        assert database.get(identity, "b") is None


def test_reading_makes_no_file_and_writing_makes_the_folders(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        assert database.get(identity, "a") is None
        assert database.get_constants(identity, "k") is None
        assert database.count() == 0
        assert not path.parent.exists()
        database.put(identity, "a", sample(1.0))
    assert path.is_file()


@pytest.mark.parametrize(
    "change",
    [{"cpu": "x"}, {"isa": "x"}, {"runtime": "x"}, {"version": "2"}, {"threads": 2}, {"precision": "bf16"}, {"batch": 8}, {"device": "x"}],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_the_identity_is_part_of_the_key(path: Path, identity: DeviceIdentity, change: dict[str, object]) -> None:
    with LatencyDatabase(path) as database:
        database.put(identity, "a", sample(1.0))
        assert database.get(replace(identity, **change), "a") is None


def test_the_newest_sample_counts_and_older_ones_stay(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        database.put(identity, "a", sample(1.0))
        database.put(identity, "a", sample(2.0))
        assert database.get(identity, "a") == sample(2.0)
        assert database.count(identity) == 2


def test_many_pieces_at_once(path: Path, identity: DeviceIdentity) -> None:
    pieces = {f"piece {place}": sample(1.0 + place) for place in range(1200)}
    with LatencyDatabase(path) as database:
        database.put_many(identity, pieces)
        assert database.get_many(identity, [*pieces, "unknown"]) == pieces


def test_hostile_piece_names_are_only_names(path: Path, identity: DeviceIdentity) -> None:
    name = "'; DROP TABLE samples; --"
    with LatencyDatabase(path) as database:
        database.put(identity, name, sample(1.0))
        assert database.get(identity, name) == sample(1.0)


def test_piece_keys_do_not_depend_on_the_order_of_names() -> None:
    assert piece_key({"b": 1, "a": [2]}) == piece_key({"a": [2], "b": 1}) == '{"a":[2],"b":1}'


def test_constants_are_replaced_and_belong_to_a_device(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        database.put_constants(identity, "overhead", {"per_layer_s": 1e-6})
        database.put_constants(identity, "overhead", {"per_layer_s": 2e-6})
        assert database.get_constants(identity, "overhead") == {"per_layer_s": 2e-6}
        assert database.get_constants(identity, "other") is None
        assert database.get_constants(replace(identity, threads=2), "overhead") is None


def test_samples_carry_their_provenance(path: Path, identity: DeviceIdentity, tmp_path: Path) -> None:
    with LatencyDatabase(path) as database:
        database.put(identity, "a", sample(1.0, 2.0))
        database.export_csv(tmp_path / "out.csv")
    header, row = (tmp_path / "out.csv").read_text().splitlines()
    assert header.startswith("device,cpu,isa,runtime,version,threads,precision,batch,piece,latency_s,min_s")
    assert row.startswith("onnxruntime-cpu,a cpu,avx2,onnxruntime,1.0,1,fp32,1,a,1.5,1.0,")
    assert '""cores"":' in row  # of the host
    assert time.strftime("%Y") in row


def test_two_processes_write_at_once_and_both_keep_everything(path: Path) -> None:
    writers = [writer(path, name, 40) for name in ("one", "two", "three")]
    for process in writers:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with LatencyDatabase(path) as database:
        assert database.count(_WRITERS_IDENTITY) == 120
        assert database.get(_WRITERS_IDENTITY, "two-39") == sample(40.0)


def test_a_killed_process_loses_nothing_that_put_returned_for(path: Path) -> None:
    process = writer(path, "killed", 1_000_000)
    assert process.stdout is not None
    for _ in range(25):
        last = process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with LatencyDatabase(path) as database:
        names = [f"killed-{place}" for place in range(int(last) + 1)]
        assert sorted(database.get_many(_WRITERS_IDENTITY, names)) == sorted(names)
        database.put(_WRITERS_IDENTITY, "after", sample(1.0))


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 50, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_damaged_file_is_moved_aside_and_said_so(path: Path, identity: DeviceIdentity, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    notes = Notes()
    with LatencyDatabase(path, progress=notes) as database:
        assert database.get(identity, "a") is None
        database.put(identity, "a", sample(1.0))
        assert database.get(identity, "a") == sample(1.0)
    aside = path.with_name("latency.sqlite.corrupt-1")
    assert aside.read_bytes() == content
    assert len(notes.notes) == 1
    assert "damaged" in notes.notes[0]
    assert str(aside) in notes.notes[0]


def test_damage_in_the_middle_is_found_when_it_is_met(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        database.put_many(identity, {f"piece {place}": sample(*([1.0 + place] * 50)) for place in range(300)})
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xa5" * (len(content) - 8192))
    notes = Notes()
    with LatencyDatabase(path, progress=notes) as database:
        database.put_many(identity, {f"piece {place}": sample(1.0) for place in range(300)})
        assert database.get(identity, "piece 7") == sample(1.0)
    assert len(notes.notes) == 1


def test_a_second_damaged_file_does_not_overwrite_the_first(path: Path, identity: DeviceIdentity) -> None:
    path.parent.mkdir()
    for text in ("first", "second"):
        path.write_text(text * 1000)
        with LatencyDatabase(path) as database:
            database.put(identity, "a", sample(1.0))
    assert path.with_name("latency.sqlite.corrupt-1").read_text().startswith("first")
    assert path.with_name("latency.sqlite.corrupt-2").read_text().startswith("second")


def test_a_locked_file_is_an_error_after_the_timeout(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        database.put(identity, "a", sample(1.0))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        with LatencyDatabase(path, busy_timeout_s=0.1) as database, pytest.raises(DatabaseError, match=r"is locked .* over 0\.1 s; .*--db"):
            database.put(identity, "b", sample(1.0))
    finally:
        blocker.close()


def test_a_foreign_exclusive_lock_is_an_error_too(path: Path, identity: DeviceIdentity) -> None:
    path.parent.mkdir()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("PRAGMA locking_mode = EXCLUSIVE")
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        with LatencyDatabase(path, busy_timeout_s=0.1) as database, pytest.raises(DatabaseError, match="is locked"):
            database.get(identity, "b")
    finally:
        blocker.close()


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path, identity: DeviceIdentity) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE mine (x)")
    foreign.close()
    content = path.read_bytes()
    with LatencyDatabase(path) as database, pytest.raises(DatabaseError, match="belongs to another program; give --db"):
        database.put(identity, "a", sample(1.0))
    assert path.read_bytes() == content


def test_a_database_of_another_version_is_refused(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        database.put(identity, "a", sample(1.0))
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with LatencyDatabase(path) as database, pytest.raises(DatabaseError, match="format 99 of another version"):
        database.get(identity, "a")


def test_a_folder_in_place_of_the_file(path: Path, identity: DeviceIdentity) -> None:
    path.mkdir(parents=True)
    with LatencyDatabase(path) as database, pytest.raises(DatabaseError, match="must be a file, got the folder"):
        database.put(identity, "a", sample(1.0))


def test_a_file_in_place_of_the_folder(path: Path, identity: DeviceIdentity) -> None:
    path.parent.write_text("in the way")
    with LatencyDatabase(path) as database, pytest.raises(StorageError, match="cannot write"):
        database.put(identity, "a", sample(1.0))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(path: Path, identity: DeviceIdentity) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o500)
    with LatencyDatabase(path) as database, pytest.raises(DatabaseError, match="writable folder"):
        database.put(identity, "a", sample(1.0))


def test_a_full_disk_is_a_storage_error(path: Path, identity: DeviceIdentity) -> None:
    with LatencyDatabase(path) as database:
        database.put(identity, "a", sample(1.0))
        connection = database._open()
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")  # as a full disk answers
        with pytest.raises(StorageError, match="no room left"):
            database.put_many(identity, {f"piece {place}": sample(*([1.0] * 100)) for place in range(100)})
        assert database.get(identity, "a") == sample(1.0)
        assert database.count() == 1  # all of them or none


def test_where_the_file_lies() -> None:
    assert default_database_path({"EDGEWISE_HOME": "/somewhere"}) == Path("/somewhere/latency.sqlite")
    if sys.platform == "linux":
        assert default_database_path({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/edgewise/latency.sqlite")
        assert default_database_path({}) == Path.home() / ".cache" / "edgewise" / "latency.sqlite"
