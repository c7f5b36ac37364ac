"""What ``edgewise explore`` is asked for, as frozen data. Nothing heavy is imported here."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from edgewise._core.errors import UsageError, unknown_name
from edgewise._core.units import LatencyTarget
from edgewise.recipes.requests import LEARNING_RATE, DataRequest, DeviceRequest, ModelRequest, check_rate

SAMPLERS = ("nsga2", "tpe", "random")
"""What proposes networks once the solver's own are tried."""
LATENCIES = tuple(LatencyTarget(ratio=share) for share in (0.9, 0.8, 0.7, 0.6, 0.5))
"""Latencies that the solver finds widths for by default, as shares of the given network's."""
STRENGTHS = (0.85, 0.7, 0.55)
"""Shares of the convolutions' multiply-accumulates that dynamic sparsity leaves by default."""
EPOCHS = 3.0
"""Passes over the training data that a network gets by default."""
_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"^\s*([0-9]*\.?[0-9]+)\s*(s|min|m|h)\s*$")


def parse_duration(text: str, *, flag: str = "--budget") -> float:
    """The seconds of a duration that a person typed: ``2h``, ``40min`` (or ``40m``) or ``90s``.

    Args:
        text: What was typed.
        flag: Name of the argument, for the error.

    Returns:
        Positive finite seconds.

    Raises:
        UsageError: No unit, not a number, or zero.

    Example:
        >>> parse_duration("2h"), parse_duration("40min"), parse_duration("1.5 s")
        (7200.0, 2400.0, 1.5)
    """
    match = _DURATION.match(text)
    seconds = float(match.group(1)) * _SECONDS[match.group(2)] if match else 0.0
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{flag} must be a positive time with a unit such as 2h, 40min or 90s, got {text!r}")
    return seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class ExploreRequest:
    """A network whose trade-off between accuracy and latency is to be explored.

    Attributes:
        model: The network, with trained weights.
        device: Where the latency counts, measured or simulated.
        data: What networks are trained and judged with; its ``epochs`` are those of one network in full.
        budget_s: Seconds that the whole study may take; none for no such limit.
        trials: Networks tried at most, the given one included; none for no such limit.
        points: A JSON file with the networks to try, in place of the solver's and the sampler's; none to choose them.
        space: Name of a space to search too, or a TOML file; none to search nothing.
        search_epochs: Passes of that search over the training data.
        latencies: Latencies that widths are solved for.
        strengths: Shares of the multiply-accumulates that dynamic sparsity leaves, each in (0, 1).
        sampler: ``nsga2``, ``tpe`` or ``random``: what proposes networks after the solver's.
        lr: Largest learning rate.
        distill: Networks learn from the given one's outputs too.
        trial_threads: Threads that train a network; none for all cores.
        ray: ``auto`` or the address of a Ray cluster to run on; none for this process alone.
        seed: Seed of everything drawn.
        out: Study folder to write; none for ``runs/explore-MODEL``.
        resume: Go on with the study in the folder.
    """

    model: ModelRequest
    device: DeviceRequest = field(default_factory=DeviceRequest)
    data: DataRequest | None = None
    budget_s: float | None = None
    trials: int | None = None
    points: Path | None = None
    space: str | None = None
    search_epochs: float = 8.0
    latencies: tuple[LatencyTarget, ...] = LATENCIES
    strengths: tuple[float, ...] = STRENGTHS
    sampler: str = "nsga2"
    lr: float = LEARNING_RATE
    distill: bool = True
    trial_threads: int | None = None
    ray: str | None = None
    seed: int = 0
    out: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        """Checks the numbers, and that there is data and an end."""
        if self.data is None:
            raise UsageError("explore trains and judges networks, and so needs --data, got none; add --data digits or imagefolder:PATH")
        if self.budget_s is None and self.trials is None and self.points is None:
            raise UsageError("explore needs an end: --budget 2h, --trials N or --points FILE, got none of them")
        if self.budget_s is not None and not (math.isfinite(self.budget_s) and self.budget_s > 0):
            raise UsageError(f"--budget must be a positive time, got {self.budget_s:g} s")
        for flag, value in (("--trials", self.trials), ("--trial-threads", self.trial_threads)):
            if value is not None and value < 1:
                raise UsageError(f"{flag} must be at least 1, got {value}")
        if self.sampler.strip().lower() not in SAMPLERS:
            raise unknown_name("sampler", self.sampler, SAMPLERS)
        object.__setattr__(self, "sampler", self.sampler.strip().lower())
        self._check_lists()
        check_rate(self.lr)
        if not (math.isfinite(self.search_epochs) and self.search_epochs > 0):
            raise UsageError(f"--search-epochs must be positive, got {self.search_epochs:g}")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")

    @property
    def folder(self) -> Path:
        """The study folder: the one given, or one named after the model."""
        if self.out is not None:
            return self.out
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.model.model).strip("-.") or "model"
        return Path("runs") / f"explore-{name}"

    def _check_lists(self) -> None:
        wrong = [target for target in self.latencies if target.ratio is not None and target.ratio >= 1]
        if wrong:
            raise UsageError(f"--latencies must be shorter than the given network's, so below 1x, got {wrong[0]}")
        outside = [share for share in self.strengths if not 0 < share < 1]
        if outside:
            raise UsageError(f"--strengths must lie between 0x and 1x, got {outside[0]:g}x")
