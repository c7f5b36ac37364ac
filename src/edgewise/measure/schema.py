"""The tables of the latency database, and how a file is recognised as one."""

import sqlite3

SCHEMA_VERSION = 1
APPLICATION_ID = 0x65646765
"""The letters "edge": tells an edgewise database from other SQLite files."""

IDENTITY_COLUMNS = ("device", "cpu", "isa", "runtime", "version", "threads", "precision", "batch")
STATISTIC_COLUMNS = ("latency_s", "min_s", "q1_s", "q3_s", "n", "noisy")
PROVENANCE_COLUMNS = ("measured_at", "load_average", "edgewise_version", "host")

_TABLES = f"""
CREATE TABLE samples (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL, cpu TEXT NOT NULL, isa TEXT NOT NULL, runtime TEXT NOT NULL, version TEXT NOT NULL,
    threads INTEGER NOT NULL, precision TEXT NOT NULL, batch INTEGER NOT NULL,
    piece TEXT NOT NULL,
    latency_s REAL NOT NULL, min_s REAL NOT NULL, q1_s REAL NOT NULL, q3_s REAL NOT NULL,
    n INTEGER NOT NULL, noisy INTEGER NOT NULL, times_s TEXT NOT NULL,
    measured_at TEXT NOT NULL, load_average REAL NOT NULL, edgewise_version TEXT NOT NULL, host TEXT NOT NULL
);
CREATE INDEX samples_key ON samples (piece, {", ".join(IDENTITY_COLUMNS)});
CREATE TABLE constants (
    device TEXT NOT NULL, cpu TEXT NOT NULL, isa TEXT NOT NULL, runtime TEXT NOT NULL, version TEXT NOT NULL,
    threads INTEGER NOT NULL, precision TEXT NOT NULL, batch INTEGER NOT NULL,
    name TEXT NOT NULL, value TEXT NOT NULL, measured_at TEXT NOT NULL,
    PRIMARY KEY (name, {", ".join(IDENTITY_COLUMNS)})
);
"""


def create_tables(connection: sqlite3.Connection) -> None:
    """Makes the tables in an empty database, whole or not at all; leaves a database that has them."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if is_empty(connection):  # another process may have been faster
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the database holds no table yet; reads the file, and so notices most damage."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return int(tables) == 0


def what_is_foreign(connection: sqlite3.Connection) -> str:
    """Why a database with tables is not one of this edgewise; empty where it is."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        return "belongs to another program"
    if version != SCHEMA_VERSION:
        return f"has the format {version} of another version of edgewise (this one reads {SCHEMA_VERSION})"
    return ""
