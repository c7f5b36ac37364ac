"""A way of training that changes the network from step to step, such as pruning that grows."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Regime(Protocol):
    """Is asked before every step, and for the loss of a batch.

    What it does to the network must follow from the step's number and torch's generator alone, so that a resumed
    run ends with the same weights as one that was never interrupted.
    """

    @property
    def identity(self) -> str:
        """Everything that makes it what it is; a checkpoint of another regime is refused."""
        ...

    def begin_step(self, model: nn.Module, *, step: int, n_steps: int) -> None:
        """Prepares the network for a step, of those in [0, n_steps)."""
        ...

    def begin_scoring(self, model: nn.Module) -> None:
        """Prepares the network for being scored: as it will be used in the end."""
        ...

    def loss(self, model: nn.Module, run: Callable[[], Any], plain: Callable[[Any], Tensor]) -> Tensor:
        """The loss of a batch.

        Args:
            model: The network that is trained.
            run: Runs it on the batch, as often as called.
            plain: The loss of its outputs as it would be without a regime.
        """
        ...
