import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgewise._core.errors import StorageError
from edgewise.measure.lock import lock_path, timing_lock

_HOLD = """
import sys
from edgewise.measure.lock import timing_lock
with timing_lock():
    print("held", flush=True)
    sys.stdin.read()
"""
_TRY = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except BlockingIOError:
    print("taken")
"""


class Notes:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.first = threading.Event()

    def start(self, label: str, total: float) -> None: ...

    def advance(self, steps: float = 1.0) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.first.set()


def holder() -> subprocess.Popen[str]:
    """Another process that holds the lock until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def seen_by_another_process() -> str:
    return subprocess.run([sys.executable, "-c", _TRY, str(lock_path())], capture_output=True, text=True, check=True).stdout.strip()


def test_others_are_kept_out_while_the_block_runs() -> None:
    with timing_lock():
        assert seen_by_another_process() == "taken"
    assert seen_by_another_process() == "free"


def test_nesting_does_not_block_and_the_outer_block_keeps_it() -> None:
    with timing_lock():
        with timing_lock():
            pass
        assert seen_by_another_process() == "taken"
    assert seen_by_another_process() == "free"


def test_it_is_given_back_after_an_error() -> None:
    with pytest.raises(KeyError), timing_lock():
        raise KeyError
    assert seen_by_another_process() == "free"


def test_waiting_is_told_once_and_ends_when_the_other_process_is_killed() -> None:
    process = holder()
    notes, held = Notes(), threading.Event()

    def wait() -> None:
        with timing_lock(notes):
            held.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert notes.first.wait(timeout=30)
    assert not held.is_set()
    process.kill()
    process.communicate()
    assert held.wait(timeout=30)
    waiting.join()
    assert len(notes.notes) == 1
    assert "waiting" in notes.notes[0]


def test_threads_of_one_process_exclude_each_other() -> None:
    entered = threading.Event()

    def enter() -> None:
        with timing_lock():
            entered.set()

    with timing_lock():
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(timeout=0.2)
    assert entered.wait(timeout=30)
    other.join()


def test_every_user_may_use_the_file() -> None:
    before = os.umask(0o077)
    try:
        with timing_lock():
            assert stat.S_IMODE(lock_path().stat().st_mode) == 0o666
    finally:
        os.umask(before)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    lock_path().mkdir()
    with pytest.raises(StorageError, match=r"edgewise-timing\.lock"), timing_lock():
        pass
