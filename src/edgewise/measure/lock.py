"""One timing at a time on this machine: a lock that all processes share."""

import errno
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgewise._core.errors import StorageError
from edgewise._core.progress import Progress, SilentProgress

_FILE_NAME = "edgewise-timing.lock"
_PATIENCE_S = 1.0
_POLL_S = 0.02


class _Holder(threading.local):
    """How deep this thread holds the lock. A file lock knows nothing of nesting, and a second one would wait for the first for ever."""

    depth = 0


_HOLDER = _Holder()


def lock_path() -> Path:
    """The file that stands for this machine's right to time; the same for every user."""
    return Path(tempfile.gettempdir()) / _FILE_NAME


@contextmanager
def timing_lock(progress: Progress | None = None) -> Iterator[None]:
    """Holds the machine's right to time while the block runs.

    Waits for other processes and threads; may be nested. The kernel releases it when the
    process ends in any way, so that a killed process never blocks others.

    Args:
        progress: Is told, once, when the wait takes longer than a second.

    Raises:
        StorageError: The lock's file cannot be made or opened.
    """
    if _HOLDER.depth:
        handle = None
    else:
        handle = _open(lock_path())
        try:
            _acquire(handle, progress or SilentProgress())
        except BaseException:
            os.close(handle)
            raise
    _HOLDER.depth += 1
    try:
        yield
    finally:
        _HOLDER.depth -= 1
        if handle is not None:
            os.close(handle)


def _open(path: Path) -> int:
    # Without O_CREAT first: in a sticky folder, Linux refuses O_CREAT on another user's file.
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _lock_error(path, error) from error
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _lock_error(path, error) from error
    with suppress(PermissionError):  # another user made it in this very moment, and gave the rights
        os.fchmod(handle, 0o666)  # the umask took the rights of others away
    return handle


def _acquire(handle: int, progress: Progress) -> None:
    patience_ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < patience_ends:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            time.sleep(_POLL_S)
        else:
            return
    progress.note("waiting: another process is timing on this machine")
    fcntl.flock(handle, fcntl.LOCK_EX)


def _lock_error(path: Path, error: OSError) -> StorageError:
    return StorageError(error.errno or 0, f"cannot open {path}, which keeps timings apart: {error.strerror}; remove it or set TMPDIR")
