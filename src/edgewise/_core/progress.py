"""How long work tells how far it is, without knowing who watches."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives news of long work. The command line draws it; a library caller may ignore it."""

    def start(self, label: str, total: float) -> None:
        """A stage of ``total`` equal steps begins; it replaces the stage before."""
        ...

    def advance(self, steps: float = 1.0) -> None:
        """That many steps of the present stage are done."""
        ...

    def note(self, text: str) -> None:
        """A line worth reading: a decision, a figure, a warning."""
        ...


class SilentProgress:
    """A watcher that looks away."""

    def start(self, label: str, total: float) -> None:
        """Ignores the stage."""

    def advance(self, steps: float = 1.0) -> None:
        """Ignores the steps."""

    def note(self, text: str) -> None:
        """Ignores the line."""
