"""Interruptions in the middle of training, for the tests of resumed runs."""

from edgewise._core.progress import SilentProgress


class Interrupted(SilentProgress):
    """Ctrl-C so many steps into fine-tuning."""

    def __init__(self, steps: int) -> None:
        self._left, self._counting = steps, False

    def start(self, label: str, total: float) -> None:
        self._counting = label == "fine-tuning"

    def advance(self, steps: float = 1.0) -> None:
        self._left -= self._counting
        if self._left == 0:
            self.end()

    def end(self) -> None:
        raise KeyboardInterrupt
