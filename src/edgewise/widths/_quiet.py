"""Silence for a solver that writes to the process's output whatever it is asked."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_output() -> Iterator[None]:
    """Sends what C code writes to standard output and error nowhere, until the block ends.

    HiGHS 1.x reports some of its internal repairs on standard output even with its log off.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(handle) for handle in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for handle in (1, 2):
            os.dup2(nowhere, handle)
        yield
    finally:
        for handle, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, handle)
            os.close(saved)
        os.close(nowhere)
