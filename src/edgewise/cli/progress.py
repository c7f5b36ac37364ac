"""How the command line shows long work: a bar on a terminal, plain lines elsewhere.

The bar is drawn on standard error. Lines go to standard output, like results: where nobody
watches, standard error holds nothing but what went wrong.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgewise._core.progress import Progress
from edgewise._core.units import format_duration

_LINE_EVERY_S = 10.0
_BAR_WIDTH = 24
_REDRAW_EVERY_S = 0.1


@runtime_checkable
class Sink(Protocol):
    """What progress is written to."""

    def write(self, text: str, /) -> int:
        """Takes text."""
        ...

    def flush(self) -> None:
        """Lets it be seen."""
        ...


@contextmanager
def watch(label: str, *, results: Path | None = None) -> Iterator[Progress]:
    """A watcher for one command; what it has drawn is closed off on the way out.

    Args:
        label: First thing said, at once, while heavy imports go on.
        results: Where JSON goes; ``-`` keeps standard output for it alone.
    """
    shown = BarProgress(sys.stderr) if sys.stderr.isatty() else LineProgress(sys.stderr if str(results) == "-" else sys.stdout)
    shown.start(label, 0)
    try:
        yield shown
    finally:
        shown.close()


@dataclass(slots=True)
class Stage:
    """How far one stage is.

    Attributes:
        label: What is being done.
        total: Steps in all; 0 where nobody knows.
        begun_s: When it began, by the clock.
        done: Steps done.
    """

    label: str
    total: float
    begun_s: float
    done: float = 0.0

    def left_s(self, now_s: float) -> float | None:
        """Seconds left at the mean pace so far; none while less than a twentieth is done, or where it takes longer than was thought.

        Example:
            >>> Stage(label="probing", total=40, begun_s=0, done=10).left_s(6.0)
            18.0
        """
        if self.total <= 0 or not self.total / 20 <= self.done <= self.total:
            return None
        return (now_s - self.begun_s) * (self.total - self.done) / self.done

    def describe(self, now_s: float) -> str:
        """The stage in words, with the time left where it can be told."""
        if self.total <= 0:
            return self.label
        left_s = self.left_s(now_s)
        estimate = "" if left_s is None else f", about {format_duration(left_s)} left"
        return f"{self.label}: {self.done:.0f} of {self.total:.0f}{estimate}"


class LineProgress:
    """Plain lines: one when a stage begins, then one every ten seconds."""

    def __init__(self, stream: Sink, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._stage = Stage(label="", total=0, begun_s=0)
        self._spoke_s = 0.0

    def start(self, label: str, total: float) -> None:
        """Says that a stage begins."""
        self._stage = Stage(label=label, total=total, begun_s=self._clock())
        self._speak(label)

    def advance(self, steps: float = 1.0) -> None:
        """Counts steps, and speaks where the last line is old."""
        self._stage.done += steps
        now_s = self._clock()
        if now_s - self._spoke_s >= _LINE_EVERY_S:
            self._speak(self._stage.describe(now_s))

    def note(self, text: str) -> None:
        """Says the line."""
        self._speak(text)

    def close(self) -> None:
        """Leaves nothing open: lines are whole."""

    def _speak(self, text: str) -> None:
        self._spoke_s = self._clock()
        self._stream.write(f"{text}\n")
        self._stream.flush()


class BarProgress:
    """One line that is drawn again in place: a bar, the count, and the time left."""

    def __init__(self, stream: Sink, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._stage = Stage(label="", total=0, begun_s=0)
        self._drawn_s = float("-inf")

    def start(self, label: str, total: float) -> None:
        """Begins a stage in the same line."""
        self._stage = Stage(label=label, total=total, begun_s=self._clock())
        self._draw()

    def advance(self, steps: float = 1.0) -> None:
        """Counts steps, and draws where the eye could see a change."""
        self._stage.done += steps
        if self._clock() - self._drawn_s >= _REDRAW_EVERY_S or self._stage.done >= self._stage.total:
            self._draw()

    def note(self, text: str) -> None:
        """Writes the line above the bar."""
        self._stream.write(f"\r\x1b[2K{text}\n")
        self._draw()

    def close(self) -> None:
        """Takes the bar away."""
        self._stream.write("\r\x1b[2K")
        self._stream.flush()

    def _draw(self) -> None:
        self._drawn_s = self._clock()
        text = self._stage.describe(self._drawn_s)
        if self._stage.total > 0:
            filled = round(_BAR_WIDTH * min(1.0, self._stage.done / self._stage.total))
            text = f"{'━' * filled}{'─' * (_BAR_WIDTH - filled)} {text}"
        self._stream.write(f"\r\x1b[2K{text}")
        self._stream.flush()
