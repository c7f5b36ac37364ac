"""What every choice of every block takes on one device, asked for once and frozen."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Float

from edgewise._core.errors import SpecError, TargetError
from edgewise._core.units import format_seconds
from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.space.space import BlockSpace, Space

_Operation = tuple[int, int, float]
"""Kernel, expansion and ratio of squeeze-and-excitation."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """A table of seconds by block and operation, and a constant for the rest.

    Attributes:
        space: The space that is priced.
        constant_s: Seconds of everything that is not a block with something to choose.
        tables: For each block of ``space.searchable``, seconds by place of kernel, expansion and ratio.
        kind: Where the figures come from.
    """

    space: Space
    constant_s: float
    tables: tuple[Float[np.ndarray, "_ _ _"], ...]
    kind: str = "predicted"

    def __post_init__(self) -> None:
        """Checks shapes and values."""
        shapes = [(len(block.kernels), len(block.expansions), len(block.ses)) for block in self.space.searchable]
        if [table.shape for table in self.tables] != shapes:
            raise SpecError(f"`tables` must have the shapes {shapes}, got {[table.shape for table in self.tables]}")
        if not all(np.isfinite(table).all() and (table >= 0).all() for table in self.tables) or not self.constant_s >= 0:
            raise SpecError("prices must be finite and not negative")

    def choice_s(self, block: BlockSpace, choice: BlockChoice) -> float:
        """Seconds of one choice; 0 where it is skipped, and for blocks with nothing to choose, which the constant contains."""
        return _seconds_of(choice, self._by_block[block.position])

    def latency_s(self, plan: ArchPlan) -> float:
        """Seconds of a network: the constant and the sum of its blocks."""
        return self.constant_s + math.fsum(
            _seconds_of(choice, seconds) for choice, seconds in zip(plan.blocks, self._by_block, strict=True)
        )

    @cached_property
    def _by_block(self) -> tuple[Mapping[_Operation, float], ...]:
        """The tables by what a choice says, as searches ask for thousands of networks; zeros for blocks with nothing to choose."""
        tables = {block.position: table for block, table in zip(self.space.searchable, self.tables, strict=True)}
        found = []
        for block in self.space.blocks:
            operations = list(product(block.kernels, block.expansions, block.ses))
            seconds = tables[block.position].ravel().tolist() if block.position in tables else [0.0] * len(operations)
            found.append(dict(zip(operations, seconds, strict=True)))
        return tuple(found)

    @property
    def range_s(self) -> tuple[float, float]:
        """The least and the most that a network of the space takes."""
        least = [0.0 if block.skippable else float(table.min()) for block, table in zip(self.space.searchable, self.tables, strict=True)]
        return self.constant_s + math.fsum(least), self.constant_s + math.fsum(float(table.max()) for table in self.tables)

    def scaled(self, factor: float) -> "Prices":
        """All prices times a factor, such as what a measurement showed beside the prediction."""
        tables = tuple(table * factor for table in self.tables)
        return Prices(space=self.space, constant_s=self.constant_s * factor, tables=tables, kind=self.kind)

    def check_target(self, target_s: float, *, asked: str) -> None:
        """Makes sure that the space can reach a latency.

        Args:
            target_s: Seconds wanted.
            asked: The target as a person wrote it.

        Raises:
            TargetError: It cannot; the text says the range.
        """
        least, most = self.range_s
        if not least <= target_s <= most:
            raise TargetError(
                f"--latency {asked} ({format_seconds(target_s)}) lies outside what space {self.space.name!r} reaches here: "
                f"{format_seconds(least)} to {format_seconds(most)} ({self.kind}); ask for a latency between, or use another space"
            )


def _seconds_of(choice: BlockChoice, seconds: Mapping[_Operation, float]) -> float:
    return 0.0 if choice.skip else seconds[choice.kernel, choice.expansion, choice.se]


def price_space(space: Space, *, constant_s: float, price_s: Callable[[BlockChoice], float], kind: str = "predicted") -> Prices:
    """Asks for every choice once.

    Args:
        space: The space.
        constant_s: Seconds of everything else.
        price_s: Seconds of a choice at its position.
        kind: Where the figures come from.

    Raises:
        EdgewiseError: What ``price_s`` raises where it has no price.
    """
    tables = []
    for block in space.searchable:
        shape = (len(block.kernels), len(block.expansions), len(block.ses))
        tables.append(np.array([price_s(choice) for choice in block.choices if not choice.skip], float).reshape(shape))
    return Prices(space=space, constant_s=constant_s, tables=tuple(tables), kind=kind)
