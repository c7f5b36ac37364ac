"""Memory that training gives back to itself and not to the system."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""What ``mallopt`` of glibc calls them (``malloc.h``)."""
_LARGEST_DYNAMIC = 32 << 20
"""Where glibc's own threshold ends up in a process that frees large blocks; it trims at twice that."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keeps freed memory for the process for the time being, where the C library is glibc; elsewhere does nothing.

    A step of training allocates and frees maps of tens of megabytes. glibc maps and unmaps each of them anew, and the
    system clears every page. Without that, a step takes 2 to 11 % less time alone, and 6 to 22 % less where two trainings
    run side by side (medians; ``benchmarks/results/training-speed.json``). At the end all is given back. May be nested.
    Threads with a heap of their own, and processes whose heap is in pieces, gain nothing by it.

    Example:
        >>> with kept_memory():
        ...     bytes(64 << 20)[-1]
        0
    """
    _STATE.enter()
    try:
        yield
    finally:
        _STATE.leave()


class _State:
    """Who keeps memory now."""

    def __init__(self) -> None:
        self._lock, self._depth = Lock(), 0

    def enter(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                _set((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                usual = ((_MMAP_MAX, 1 << 16), (_MMAP_THRESHOLD, _LARGEST_DYNAMIC), (_TRIM_THRESHOLD, 2 * _LARGEST_DYNAMIC))
                _set(*usual, give_back=True)


_STATE = _State()


def _set(*options: tuple[int, int], give_back: bool = False) -> None:
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in options:
        library.mallopt(option, value)
    if give_back:
        library.malloc_trim(0)
