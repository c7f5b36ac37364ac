"""How a study tells where it is: one bar over the budget, and a line for every trial."""

import time

from edgewise._core.progress import Progress

_KEPT = ("waiting",)
"""Notes of the work inside a trial that are passed on; the others would drown the study's own lines, or stand in its warnings."""


class StudyProgress:
    """Draws the study's time in place of the stages of the work inside.

    Args:
        outer: Whoever watches the study.
    """

    def __init__(self, outer: Progress) -> None:
        self._outer, self._told_s, self._quiet = outer, time.monotonic(), False

    def begin(self, label: str, seconds: float) -> None:
        """The study's own stage begins: from now on the bar counts seconds.

        Args:
            label: What is done.
            seconds: How long it may take, or is expected to.
        """
        self._quiet, self._told_s = True, time.monotonic()
        self._outer.start(label, round(seconds))

    def start(self, label: str, total: float) -> None:
        """A stage of the work inside."""
        if self._quiet:
            self._tick()
        else:
            self._outer.start(label, total)

    def advance(self, steps: float = 1.0) -> None:
        """Steps of the work inside."""
        if self._quiet:
            self._tick()
        else:
            self._outer.advance(steps)

    def note(self, text: str) -> None:
        """A line of the work inside."""
        if not self._quiet or text.startswith(_KEPT):
            self._outer.note(text)

    def say(self, text: str) -> None:
        """A line of the study itself."""
        if self._quiet:
            self._tick()
        self._outer.note(text)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._outer.advance(now_s - self._told_s)
        self._told_s = now_s
