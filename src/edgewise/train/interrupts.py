"""Ctrl-C that waits for the end of a step, so that what is saved then is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StepShield:
    """Holds back the first Ctrl-C during a step; a second one comes through."""

    def __init__(self) -> None:
        self._in_step = False
        self._pending = False

    @property
    def in_step(self) -> bool:
        """Whether a step has begun and not ended: the model's state is not to be saved."""
        return self._in_step

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Takes over Ctrl-C for the time being; outside the main thread, which gets no signals, does nothing."""
        if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        previous = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step.

        Raises:
            KeyboardInterrupt: After the step, where Ctrl-C came during it.
        """
        self._in_step = True
        yield  # an error inside leaves in_step set: the state is not whole then
        self._in_step = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._in_step or self._pending:
            raise KeyboardInterrupt
        self._pending = True
