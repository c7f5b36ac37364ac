"""Timing and training keep apart on this machine: a lock that all processes share, a timing alone, training steps together.

Two files, both locked by ``flock``, so that the kernel gives a lock back when its process ends in any way. A timing
holds both exclusively. A training step (a batch that is scored counts as one) holds the lock's file shared. Whoever
wants in, alone or shared, first goes through the turnstile's file, and a timing stays in it: from the moment that a
timing waits, no further step begins, so it waits for at most one step of each training, however many there are.
"""

import errno
import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgewise._core.errors import StorageError
from edgewise._core.progress import Progress, SilentProgress

_FILE_NAME = "edgewise-timing.lock"
_TURNSTILE_NAME = "edgewise-timing-next.lock"
_PATIENCE_S = 1.0
_POLL_S = 0.02


class _Held(threading.local):
    """What this thread holds. A file lock knows nothing of nesting: a second one would wait for the first for ever.

    Attributes:
        timings: How many blocks of timing this thread is in.
        step: The lock's file as the step of this thread holds it; none outside a step.
    """

    timings = 0
    step: int | None = None


_HELD = _Held()


def lock_path() -> Path:
    """The file that stands for this machine's right to time; the same for every user."""
    return Path(_path(_FILE_NAME))


@contextmanager
def timing_lock(progress: Progress | None = None) -> Iterator[None]:
    """Holds the machine's right to time while the block runs; training on this machine pauses meanwhile.

    Waits for other processes and threads that time, and for training steps that have begun; may
    be nested. The kernel releases it when the process ends in any way, so that a killed process
    never blocks others. Within a training step of the same thread it is the step that gives way.

    Args:
        progress: Is told, once, when the wait takes longer than a second.

    Raises:
        StorageError: The lock's files cannot be made or opened.
    """
    with ExitStack() as held:
        if not _HELD.timings:
            held.enter_context(_step_aside())
            _acquire_alone(held, progress or SilentProgress())
        _HELD.timings += 1
        held.callback(_end_timing)
        yield


@contextmanager
def untimed() -> Iterator[None]:
    """Runs the block, one training step or one batch to score, while nothing is timed on this machine.

    Many such blocks run at once, in as many processes and threads. Waits where a timing holds the
    lock or is next. May be nested; in a block of timing of the same thread it does nothing.

    Raises:
        StorageError: The lock's files cannot be made or opened.
    """
    if _HELD.timings or _HELD.step is not None:
        yield
        return
    handle = _open(_FILE_NAME)
    try:
        _share(handle)
        _HELD.step = handle
        yield
    finally:
        _HELD.step = None
        os.close(handle)


def _end_timing() -> None:
    _HELD.timings -= 1


@contextmanager
def _step_aside() -> Iterator[None]:
    """Gives up the lock of the step that this thread is in, and takes it again afterwards: a thread does not compute while it times."""
    handle = _HELD.step
    if handle is None:
        yield
        return
    fcntl.flock(handle, fcntl.LOCK_UN)
    yield
    _share(handle)


def _share(handle: int) -> None:
    turnstile = _open(_TURNSTILE_NAME)
    try:
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        fcntl.flock(handle, fcntl.LOCK_SH)
    finally:
        os.close(turnstile)


def _acquire_alone(held: ExitStack, progress: Progress) -> None:
    told = False
    for name, awaited in ((_TURNSTILE_NAME, "another process is timing"), (_FILE_NAME, "a training step is not yet finished")):
        handle = _open(name)
        held.callback(os.close, handle)
        if _acquired_soon(handle):
            continue
        if not told:
            progress.note(f"waiting: {awaited} on this machine")
            told = True
        fcntl.flock(handle, fcntl.LOCK_EX)


def _acquired_soon(handle: int) -> bool:
    patience_ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < patience_ends:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            time.sleep(_POLL_S)
        else:
            return True
    return False


def _path(name: str) -> str:
    # As text: making a Path takes longer than taking the lock, and every step does it.
    return f"{tempfile.gettempdir()}/{name}"


def _open(name: str) -> int:
    path = _path(name)
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


def _lock_error(path: str, error: OSError) -> StorageError:
    return StorageError(error.errno or 0, f"cannot open {path}, which keeps timings apart: {error.strerror}; remove it or set TMPDIR")
