"""What ``edgewise search`` is asked for, as frozen data. Nothing heavy is imported here."""

from dataclasses import dataclass, field
from pathlib import Path

from edgewise._core.errors import UsageError
from edgewise._core.units import LatencyTarget
from edgewise.recipes.requests import DataRequest, DeviceRequest

REFINED = 64
"""Networks judged before one is taken."""
LEAST_COMPARED = 4
"""Networks that chance and evolution are judged by: fewer have no spread, and no second generation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchCourse:
    """How the search goes; see :class:`edgewise.singlepath.settings.SearchSettings` for ranges.

    Attributes:
        epochs: Passes of the search over the training part.
        explore: Share of them in which all choices are drawn equally often.
        whole: Share of those, the first ones, in which every block does the most it can.
        even: Share of the passes, the last ones, in which networks of the target's latency are drawn at random.
        loss: ``lagrangian``, ``hinge`` or ``log``.
        strength: Weight of the runtime term.
        form: ``exact`` or ``published``.
        runtime: ``table`` or ``ratio``.
        lr: Largest learning rate of the weights.
        threshold_lr: Learning rate of the thresholds.
    """

    epochs: float = 8.0
    explore: float = 0.5
    whole: float = 0.5
    even: float = 0.25
    loss: str = "lagrangian"
    strength: float = 1.0
    form: str = "exact"
    runtime: str = "table"
    lr: float = 0.1
    threshold_lr: float = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRequest:
    """A space to search.

    Attributes:
        space: Name of a space, or a TOML file.
        latency: The target; a share is one of the reference's latency.
        device: Where the latency counts: measured, simulated, or a table of blocks.
        data: What to learn from.
        reference: The network that shares are of; none for the space's largest.
        widths_from: A file that ``profile --json`` wrote for ``space:NAME``; stage widths move to its candidates.
        course: How the search goes.
        front: Further targets, for networks of the same supernet that are measured and not trained.
        refine: So many networks of the target's latency are judged with the supernet's weights, beginning with the likeliest, and the
            best is taken; 0 to take the likeliest.
        compare: So many random networks of the same latency, and as many found by evolution, are judged beside the one found,
            with the supernet's weights; 0 for none.
        inherit: Training begins with the supernet's weights; else from the start.
        batch_size: Images of a training batch.
        seed: Seed of everything drawn.
        out: Run folder to write; none to write none.
        resume: Go on with the unfinished run in ``out``.
    """

    space: str
    latency: LatencyTarget
    data: DataRequest | None
    device: DeviceRequest = field(default_factory=DeviceRequest)
    reference: str | None = None
    widths_from: Path | None = None
    course: SearchCourse = field(default_factory=SearchCourse)
    front: tuple[LatencyTarget, ...] = ()
    refine: int = REFINED
    compare: int = 0
    inherit: bool = True
    batch_size: int = 128
    seed: int = 0
    out: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        """Checks that there is data, the numbers, and what needs what."""
        if self.data is None:
            raise UsageError("a search trains a network, and so needs --data, got none; add --data digits or imagefolder:PATH")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")
        if self.refine != 0 and self.refine < LEAST_COMPARED:
            raise UsageError(f"--refine must be 0 or at least {LEAST_COMPARED}, got {self.refine}")
        if self.compare != 0 and self.compare < LEAST_COMPARED:
            raise UsageError(f"--compare must be 0 or at least {LEAST_COMPARED}, got {self.compare}; fewer networks have no spread")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size must be at least 1, got {self.batch_size}")
        if self.resume and self.out is None:
            raise UsageError("--resume needs --out RUN, the folder of the run to go on with, got none")
