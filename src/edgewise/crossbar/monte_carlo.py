"""Accuracy over many chips of the same kind, each with deviations of its own."""

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.crossbar.deploy import Around, Deployed
from edgewise.train.evaluate import accuracy


@dataclass(frozen=True, kw_only=True, slots=True)
class ChipAccuracy:
    """Accuracy of one network on several chips.

    Attributes:
        chips: Accuracy of each chip, in [0, 1].
    """

    chips: tuple[float, ...]

    def __post_init__(self) -> None:
        """Checks that there is a chip."""
        if not self.chips:
            raise UsageError("accuracy over chips needs at least 1 chip, got none")

    @property
    def mean(self) -> float:
        """Mean over the chips."""
        return math.fsum(self.chips) / len(self.chips)

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Interval that holds the mean over all such chips with 95 % confidence (Student's t); none for one chip.

        It covers what differs between chips, not that other images would give other accuracies.

        Example:
            >>> low, high = ChipAccuracy(chips=(0.8, 0.9)).ci95   # t(0.975, 1) = 12.706, s / sqrt(2) = 0.05
            >>> round(low, 4), round(high, 4)
            (0.2147, 1.4853)
        """
        n = len(self.chips)
        if n < 2:
            return None
        from scipy.stats import t

        deviation = math.sqrt(math.fsum((one - self.mean) ** 2 for one in self.chips) / (n - 1))
        half = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
        return self.mean - half, self.mean + half


def accuracy_over_chips(
    deployed: Deployed,
    batches: Iterable[Sequence[Any]],
    *,
    n_chips: int,
    seed: int = 0,
    around: Around | None = None,
    progress: Progress | None = None,
) -> ChipAccuracy:
    """Programs chip after chip and judges the network on each.

    Args:
        deployed: The network on a chip; it is left with ideal cells.
        batches: Images and classes, the same for every chip.
        n_chips: Chips; at least 1.
        seed: Seed of all deviations.
        around: Put around every evaluation, such as gates.
        progress: Is told of every chip.
    """
    if n_chips < 1:
        raise UsageError(f"--chips must be at least 1, got {n_chips}")
    watcher = progress or SilentProgress()
    found = []
    for chip in range(n_chips):
        found.append(accuracy_on_chip(deployed, batches, chip=chip, seed=seed, around=around))
        watcher.advance()
    deployed.erase()
    return ChipAccuracy(chips=tuple(found))


def accuracy_on_chip(
    deployed: Deployed, batches: Iterable[Sequence[Any]], *, chip: int, seed: int = 0, around: Around | None = None
) -> float:
    """Accuracy on one chip, whose deviations stay programmed."""
    deployed.program(seed, chip)
    with _entered(around, deployed.model), torch.no_grad():
        return accuracy(deployed.model, batches)


def _entered(around: Around | None, model: nn.Module) -> Any:  # noqa: ANN401 - any context manager
    return nullcontext(model) if around is None else around(model)
