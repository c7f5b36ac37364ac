"""Everything that a study works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise.recipes.explore.asking import Asker, SearchSpace
from edgewise.recipes.explore.budget import Clock, Pace
from edgewise.recipes.explore.executor import Executor, Measurement
from edgewise.recipes.explore.folder import StudyFolder
from edgewise.recipes.explore.ladder import Ladder
from edgewise.recipes.explore.networks import Networks
from edgewise.recipes.explore.opening import Opened
from edgewise.recipes.explore.planning import Plan
from edgewise.recipes.explore.searching import Searched
from edgewise.recipes.explore.watching import StudyProgress

Bench = Callable[[Path, Sequence[Path]], list[Measurement]]
"""Measures or prices run folders beside the given network's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Everything that a study works with.

    Attributes:
        opened: The given network, the data, the device.
        folder: Where it writes.
        plan: What the solvers proposed.
        ladder: Widths for latencies.
        searched: Gives searched networks; none where no space is searched.
        networks: Makes the networks of points.
        executor: Trains and measures.
        bench: Measures by the executor, or prices where the device is simulated.
        asker: Proposes further networks; none where a person listed them.
        space: What may be proposed.
        pace: How long trials take.
        clock: The wall clock.
        progress: Is told how far it is.
    """

    opened: Opened
    folder: StudyFolder
    plan: Plan
    ladder: Ladder
    searched: Searched | None
    networks: Networks
    executor: Executor
    bench: Bench
    asker: Asker | None
    space: SearchSpace
    pace: Pace
    clock: Clock
    progress: StudyProgress
