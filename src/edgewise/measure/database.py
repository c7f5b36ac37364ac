"""Every sample ever measured, in one SQLite file that outlives the process.

The file is made on the first write. Each write is committed before the call returns, so a
killed process loses nothing measured. Processes may share it. A damaged file is moved
aside (``latency.sqlite.corrupt-1``) and a new one begun; a file of another program or of
another version of edgewise is refused, never changed.
"""

import csv
import dataclasses
import datetime
import fcntl
import io
import json
import os
import platform
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from edgewise._core.errors import DatabaseError, EdgewiseError, StorageError
from edgewise._core.files import storage_error, write_text
from edgewise._core.folders import cache_folder
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.version import VERSION
from edgewise.measure import schema
from edgewise.measure.exchange import StoredSample
from edgewise.measure.host import DeviceIdentity, describe_host, load_average
from edgewise.measure.sampling import Sample

FILE_NAME = "latency.sqlite"
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SAME_IDENTITY = " AND ".join(f"{column} = ?" for column in schema.IDENTITY_COLUMNS)
_SAMPLE_COLUMNS = (*schema.IDENTITY_COLUMNS, "piece", *schema.STATISTIC_COLUMNS, "times_s", *schema.PROVENANCE_COLUMNS)
_MOST_PIECES_A_QUERY = 500
_Result = TypeVar("_Result")


def default_database_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where the database lies unless ``--db`` says otherwise.

    Args:
        environment: Environment variables; this process's by default.

    Returns:
        ``latency.sqlite`` in ``$EDGEWISE_HOME``, or else in edgewise's folder within the
        platform's cache folder.

    Example:
        >>> default_database_path({"EDGEWISE_HOME": "there"}).as_posix()
        'there/latency.sqlite'
    """
    return cache_folder(environment) / FILE_NAME


def piece_key(piece: Mapping[str, Any]) -> str:
    """A piece as the database knows it: JSON text with sorted names and no blanks.

    Example:
        >>> piece_key({"op": "conv2d", "kernel": [3, 3]})
        '{"kernel":[3,3],"op":"conv2d"}'
    """
    return json.dumps(piece, sort_keys=True, separators=(",", ":"), allow_nan=False)


class LatencyDatabase:
    """Samples by device identity and piece, with the constants fitted for devices.

    Args:
        path: The file; `default_database_path` by default.
        progress: Is told when a damaged file was moved aside.
        busy_timeout_s: How long to wait for another process that writes.
    """

    def __init__(self, path: Path | None = None, *, progress: Progress | None = None, busy_timeout_s: float = 10.0) -> None:
        self._path = default_database_path() if path is None else path
        self._progress = progress or SilentProgress()
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> "LatencyDatabase":
        """The database itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the file."""
        self.close()

    @property
    def path(self) -> Path:
        """The file, whether it exists or not yet."""
        return self._path

    def close(self) -> None:
        """Closes the file; a later call opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, identity: DeviceIdentity, piece: str) -> Sample | None:
        """The newest sample of a piece on a device, or none.

        Args:
            identity: The device with its settings.
            piece: Canonical text of the piece, as `piece_key` writes it.

        Raises:
            DatabaseError: The file is locked, not readable, or not ours.
        """
        return self.get_many(identity, [piece]).get(piece)

    def get_many(self, identity: DeviceIdentity, pieces: Sequence[str]) -> dict[str, Sample]:
        """The newest samples of those of the pieces that were measured on a device."""
        found: dict[str, Sample] = {}
        for start in range(0, len(pieces), _MOST_PIECES_A_QUERY):
            some = pieces[start : start + _MOST_PIECES_A_QUERY]
            marks = ", ".join("?" * len(some))
            query = f"SELECT piece, times_s FROM samples WHERE piece IN ({marks}) AND {_SAME_IDENTITY} ORDER BY measured_at, id"
            for piece, times_s in self._read(query, (*some, *_identity_values(identity))):
                found[piece] = Sample(times_s=tuple(json.loads(times_s)))
        return found

    def put(self, identity: DeviceIdentity, piece: str, sample: Sample) -> None:
        """Stores a sample with its provenance; on the disk when this returns.

        Raises:
            DatabaseError: The file is locked, not writable, or not ours.
            StorageError: The disk is full.
        """
        self.put_many(identity, {piece: sample})

    def put_many(self, identity: DeviceIdentity, samples: Mapping[str, Sample]) -> None:
        """Stores samples by piece, all of them or none."""
        provenance = (_now(), load_average(), VERSION, self._host)
        rows = [(*_identity_values(identity), piece, *_sample_values(sample), *provenance) for piece, sample in samples.items()]
        columns, marks = ", ".join(_SAMPLE_COLUMNS), ", ".join("?" * len(_SAMPLE_COLUMNS))
        self._write(f"INSERT INTO samples ({columns}) VALUES ({marks})", rows)

    def get_constants(self, identity: DeviceIdentity, name: str) -> dict[str, Any] | None:
        """The constants of that name fitted for a device, or none."""
        rows = self._read(f"SELECT value FROM constants WHERE name = ? AND {_SAME_IDENTITY}", (name, *_identity_values(identity)))
        if not rows:
            return None
        constants: dict[str, Any] = json.loads(rows[0][0])
        return constants

    def put_constants(self, identity: DeviceIdentity, name: str, constants: Mapping[str, Any]) -> None:
        """Stores constants fitted for a device, in place of those of the same name."""
        columns = ("name", *schema.IDENTITY_COLUMNS, "value", "measured_at")
        row = (name, *_identity_values(identity), piece_key(constants), _now())
        self._write(f"INSERT OR REPLACE INTO constants ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", [row])

    def count(self, identity: DeviceIdentity | None = None) -> int:
        """Number of samples of a device, or of all."""
        condition, values = ("", ()) if identity is None else (f" WHERE {_SAME_IDENTITY}", _identity_values(identity))
        rows = self._read(f"SELECT count(*) FROM samples{condition}", values)
        return int(rows[0][0]) if rows else 0

    def export_csv(self, path: Path) -> None:
        """Writes all samples with their provenance to a CSV file, oldest first."""
        columns = [column for column in _SAMPLE_COLUMNS if column != "times_s"]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(self._read(f"SELECT {', '.join(columns)} FROM samples ORDER BY id", ()))
        write_text(path, text.getvalue())

    @property
    def last_id(self) -> int:
        """Number of the sample stored last, for :meth:`stored`; 0 where there is none."""
        rows = self._read("SELECT max(id) FROM samples", ())
        return int(rows[0][0] or 0) if rows else 0

    def stored(self, *, after: int = 0) -> list[StoredSample]:
        """Samples with where they come from, oldest first, to be taken into another database.

        Args:
            after: Only those stored after the sample of that number.
        """
        columns = ("piece", "times_s", *schema.PROVENANCE_COLUMNS, *schema.IDENTITY_COLUMNS)
        rows = self._read(f"SELECT {', '.join(columns)} FROM samples WHERE id > ? ORDER BY id", (after,))
        return [_stored(dict(zip(columns, row, strict=True))) for row in rows]

    def take_in(self, samples: Sequence[StoredSample]) -> int:
        """Stores samples of other machines with where they come from, all of them or none.

        A sample that is there already is not stored twice. Where a device and a piece have samples of
        several machines or days, the one measured last counts.

        Args:
            samples: What :meth:`stored` gave there, checked by ``StoredSample.from_json``.

        Returns:
            Number of samples that were new.
        """
        before = self.count()
        rows = []
        for one in samples:
            provenance = tuple(getattr(one, column) for column in schema.PROVENANCE_COLUMNS)
            row = (*_identity_values(one.identity), one.piece, *_sample_values(one.sample), *provenance)
            rows.append((*row, one.piece, *_identity_values(one.identity), json.dumps(one.sample.times_s), one.measured_at, one.host))
        same = f"SELECT 1 FROM samples WHERE piece = ? AND {_SAME_IDENTITY} AND times_s = ? AND measured_at = ? AND host = ?"
        columns, marks = ", ".join(_SAMPLE_COLUMNS), ", ".join("?" * len(_SAMPLE_COLUMNS))
        self._write(f"INSERT INTO samples ({columns}) SELECT {marks} WHERE NOT EXISTS ({same})", rows)
        return self.count() - before

    @cached_property
    def _host(self) -> str:
        return piece_key({"name": platform.node(), **dataclasses.asdict(describe_host())})

    def _read(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        def read() -> list[tuple[Any, ...]]:
            if self._connection is None and not self._path.exists():
                return []  # reading makes no file
            return self._open().execute(query, values).fetchall()

        return self._guarded(read)

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        def write() -> None:
            connection = self._open()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(statement, rows)

        self._guarded(write)

    def _guarded(self, use: Callable[[], _Result]) -> _Result:
        """Runs the use; where the file proves damaged, begins a new one and runs it once more."""
        try:
            return use()
        except sqlite3.Error as error:
            if _primary_code(error) not in _DAMAGED:
                raise self._teaching(error) from error
        self.close()
        self._move_aside()
        try:
            return use()
        except sqlite3.Error as error:
            raise self._teaching(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self._path, error) from error
        if self._path.is_dir():
            raise DatabaseError(f"the latency database must be a file, got the folder {self._path}; give --db a file")
        connection = _connect(self._path, busy_timeout_s=self._busy_timeout_s)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if schema.is_empty(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            schema.create_tables(connection)
        foreign = schema.what_is_foreign(connection)
        if foreign:
            raise DatabaseError(f"the file {self._path} {foreign}; give --db another file")
        # With a write-ahead log this survives a killed process; only a power cut may take the last samples.
        connection.execute("PRAGMA synchronous = NORMAL")

    def _move_aside(self) -> None:
        """Renames a damaged file, unless another process has already put a sound one in its place."""
        with _exclusive(self._path):
            if not _is_damaged(self._path, busy_timeout_s=self._busy_timeout_s):
                return
            taken = 1
            while (aside := self._path.with_name(f"{self._path.name}.corrupt-{taken}")).exists():
                taken += 1
            try:
                self._path.rename(aside)
                for ending in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(aside, error) from error
        self._progress.note(f"the latency database was damaged: moved to {aside}, a new one is begun")

    def _teaching(self, error: sqlite3.Error) -> EdgewiseError:
        code = _primary_code(error)
        if code in _BUSY:
            return DatabaseError(
                f"the latency database {self._path} is locked by another program for over {self._busy_timeout_s:g} s; "
                "end that program, or give --db another file"
            )
        if code == sqlite3.SQLITE_FULL:
            return StorageError(28, f"no room left on the disk for the latency database {self._path}; free some space, then run again")
        return DatabaseError(f"the latency database {self._path} cannot be used: {error}; give --db a file in a writable folder")


def _connect(path: Path, *, busy_timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)


def _is_damaged(path: Path, *, busy_timeout_s: float) -> bool:
    if not path.exists():
        return False
    connection = _connect(path, busy_timeout_s=busy_timeout_s)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        return str(verdict) != "ok"
    except sqlite3.Error as error:
        return _primary_code(error) in _DAMAGED
    finally:
        connection.close()


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Keeps other processes from moving the file at the same time. SQLite's own locks are of another kind, and not touched."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # another process has moved it already
        yield
        return
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _primary_code(error: sqlite3.Error) -> int:
    # An error of Python's own (a closed connection) carries no code; extended codes keep the primary one below.
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else int(code) & 0xFF


def _identity_values(identity: DeviceIdentity) -> tuple[Any, ...]:
    return tuple(getattr(identity, column) for column in schema.IDENTITY_COLUMNS)


def _sample_values(sample: Sample) -> tuple[Any, ...]:
    statistics = tuple(getattr(sample, column) for column in schema.STATISTIC_COLUMNS)
    return (*statistics, json.dumps(sample.times_s))


def _stored(row: Mapping[str, Any]) -> StoredSample:
    return StoredSample(
        identity=DeviceIdentity(**{column: row[column] for column in schema.IDENTITY_COLUMNS}),
        sample=Sample(times_s=tuple(json.loads(row["times_s"]))),
        piece=row["piece"],
        **{column: row[column] for column in schema.PROVENANCE_COLUMNS},
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
