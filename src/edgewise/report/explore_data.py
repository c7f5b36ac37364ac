"""What ``explore`` found, as frozen data: every point tried, the front, and which point a target gets.

The fields carry the names of ``result.json``, so that :func:`study_from_json` can check a file
against these classes as they stand. What a file may lack is null there and ``None`` here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgewise._core.errors import RunError
from edgewise._core.units import LatencyTarget
from edgewise.report.data import Count, Finite, Seconds, Share
from edgewise.report.reading import checked, flatten

Kind = Literal["measured", "predicted", "simulated", "quoted"]
State = Literal["complete", "stopped", "failed"]
Ratio = Seconds
"""A finite number that is not negative."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """The network as it was given; ratios compare with it.

    Attributes:
        latency_s: Median latency in seconds.
        min_s: Fastest repeat in seconds.
        macs: Multiply-accumulates for one input.
        params: Learnt parameters.
        accuracy: Share of the test part classified correctly.
        accuracy_validation: The same of the validation part.
        energy_j: Energy of one input in joules, where the device has it.
    """

    latency_s: Seconds | None = None
    min_s: Seconds | None = None
    macs: Count | None = None
    params: Count | None = None
    accuracy: Share | None = None
    accuracy_validation: Share | None = None
    energy_j: Seconds | None = None

    @property
    def time_s(self) -> float | None:
        """The latency that ratios are shares of on a drawing: the median, else the fastest repeat."""
        return self.latency_s if self.latency_s is not None else self.min_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One network that was tried.

    Attributes:
        key: Short hash of all that decides its outcome.
        number: Its place in the order of trials.
        method: ``given``, ``widths``, ``dynamic``, ``widths+dynamic``, ``searched`` or ``searched+dynamic``.
        origin: Who proposed it: ``solver``, ``sampler`` or ``given``.
        state: Trained in full, stopped early, or failed.
        why: Why it was stopped or failed, in words.
        rung: The last rung of training that it finished; -1 for none.
        epochs: Epochs trained.
        accuracy: Share of the test part classified correctly; of networks on the front only.
        accuracy_validation: The same of the validation part.
        latency_s: Median latency in seconds.
        min_s: Fastest repeat in seconds.
        ratio: Latency over the given network's, from one interleaved run: the median over its rounds.
        kind: How the latency came about; none where it was neither measured nor simulated.
        noisy: Its timings scatter.
        runtime: The runtime that ran it.
        predicted_s: Latency predicted before it was tried.
        macs: Multiply-accumulates of the network run densely.
        macs_executed: Those that are executed on average.
        params: Learnt parameters.
        energy_j: Energy of one input in joules.
        channel_ratios: Share of channels pruned for each input, by block.
        spatial_ratios: Share of positions pruned, by block.
        widths: Width of each tie that was changed.
        architecture: Operation of every block, of a searched network.
        run: Its run folder, relative to the study's; none where it has none.
        host: Where it was trained.
        seconds: How long it took.
    """

    key: str
    number: Count
    method: str
    state: State
    origin: str = ""
    why: str = ""
    rung: int | None = None
    epochs: Finite | None = None
    accuracy: Share | None = None
    accuracy_validation: Share | None = None
    latency_s: Seconds | None = None
    min_s: Seconds | None = None
    ratio: Ratio | None = None
    kind: Kind | None = None
    noisy: bool = False
    runtime: str = ""
    predicted_s: Seconds | None = None
    macs: Count | None = None
    macs_executed: Seconds | None = None
    params: Count | None = None
    energy_j: Seconds | None = None
    channel_ratios: tuple[Share, ...] = ()
    spatial_ratios: tuple[Share, ...] = ()
    widths: Mapping[str, Count] = field(default_factory=dict)
    architecture: tuple[str, ...] = ()
    run: str = ""
    host: str = ""
    seconds: Seconds | None = None

    @property
    def shown_kind(self) -> str:
        """How the latency that is shown came about; empty where there is none.

        Example:
            >>> Trial(key="a", number=1, method="widths", state="failed", predicted_s=2e-3).shown_kind
            'predicted'
        """
        return self.kind or ("predicted" if self.predicted_s is not None else "")

    def meets(self, target: LatencyTarget) -> bool:
        """Whether it is fast enough: a share is judged by the ratio, a time by the median.

        Example:
            >>> trial = Trial(key="a", number=1, method="widths", state="complete", ratio=0.7, latency_s=2.1e-3)
            >>> trial.meets(LatencyTarget(ratio=0.7)), trial.meets(LatencyTarget(absolute_s=2e-3))
            (True, False)
        """
        found, limit = (self.ratio, target.ratio) if target.ratio is not None else (self.latency_s, target.absolute_s)
        return found is not None and limit is not None and found <= limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """What one method brought.

    Attributes:
        tried: Points of this method, the stopped and failed ones too.
        complete: Those trained in full.
        on_front: Those that no other beats.
        hypervolume: Of its points alone.
        hypervolume_without: Of the points of all other methods.
    """

    tried: Count = 0
    complete: Count = 0
    on_front: Count = 0
    hypervolume: Ratio | None = None
    hypervolume_without: Ratio | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The corner from which the hypervolume counts: a latency ratio and an accuracy."""

    ratio: Ratio | None = None
    accuracy: Share | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommended:
    """The point to take when nothing else is asked for, and why."""

    key: str
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Everything a report on ``explore`` shows.

    Attributes:
        run: The study's folder, as commands name it; empty where they are typed in it.
        model: The network, as the user named it.
        device: Where latency counts.
        threads: Threads of the runtime.
        batch: Images per run.
        precision: ``fp32``, ``bf16``...
        kind: How the latencies came about.
        budget_s: The wall clock that was allowed.
        seconds: What it took.
        training_s: Of these, in training.
        measuring_s: In measuring.
        planning_s: In profiling and solving before the first trial.
        engine_share: The share that went neither into training nor into measuring.
        method_seconds: Time spent on each method.
        baseline: The network as given.
        trials: Every point tried, each with a key and a number of its own.
        front: Keys of the points that no other beats, by latency.
        contributions: What each method brought.
        hypervolume: Of the front.
        reference: The corner from which it counts.
        recommended: The point to take by default.
        warnings: What the run warned of.
        settings: What was asked for.
        provenance: Pairs of what and value.
    """

    run: str = ""
    model: str = ""
    device: str = ""
    threads: Count | None = None
    batch: Count | None = None
    precision: str = ""
    kind: Kind = "measured"
    budget_s: Seconds | None = None
    seconds: Seconds | None = None
    training_s: Seconds | None = None
    measuring_s: Seconds | None = None
    planning_s: Seconds | None = None
    engine_share: Finite | None = None
    method_seconds: Mapping[str, Seconds] = field(default_factory=dict)
    baseline: Given = field(default_factory=Given)
    trials: tuple[Trial, ...] = ()
    front: tuple[str, ...] = ()
    contributions: Mapping[str, Contribution] = field(default_factory=dict)
    hypervolume: Ratio | None = None
    reference: Reference = field(default_factory=Reference)
    recommended: Recommended | None = None
    warnings: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Checks that keys are distinct and that the front and the recommendation name trials."""
        keys = {trial.key for trial in self.trials}
        twice = [key for key, times in Counter(trial.key for trial in self.trials).items() if times > 1]
        if twice:
            raise RunError(f"every trial needs a `key` of its own, got {twice[0]!r} twice; run the command again")
        named = [("front", key) for key in self.front] + ([("recommended", self.recommended.key)] if self.recommended else [])
        for where, key in named:
            if key not in keys:
                raise RunError(f"`{where}` must name one of the {len(keys)} trials, got {key!r}; run the command again")

    def trial(self, key: str) -> Trial:
        """The trial of that key, which must be there."""
        return next(trial for trial in self.trials if trial.key == key)

    @property
    def on_front(self) -> tuple[Trial, ...]:
        """The points that no other beats, by latency."""
        return tuple(self.trial(key) for key in self.front)

    def best(self, target: LatencyTarget) -> Trial | None:
        """The most accurate point of the front that is fast enough; ``None`` where none is.

        Args:
            target: A share of the given network's latency, or a time.
        """
        fit = [trial for trial in self.on_front if trial.accuracy_validation is not None and trial.meets(target)]
        return max(fit, key=lambda trial: (trial.accuracy_validation or 0.0, -(trial.ratio or 0.0)), default=None)

    def drawn_s(self, trial: Trial) -> float | None:
        """Where a trial stands on a drawing, in seconds: its ratio of the given network's median.

        Ratios come from interleaved runs and so compare across the hours of a study; plain times do not.
        Without a ratio the time itself, measured or predicted.
        """
        base = self.baseline.time_s
        if trial.ratio is not None and base is not None:
            return trial.ratio * base
        return next((value for value in (trial.latency_s, trial.min_s, trial.predicted_s) if value is not None), None)


def study_from_json(value: Any) -> Study:  # noqa: ANN401 - any JSON value
    """The checked study from what ``explore`` wrote.

    Args:
        value: The content of its ``result.json``. Unknown keys are ignored.

    Returns:
        The study.

    Raises:
        RunError: A part is not what its name promises; the message names it.

    Example:
        >>> study_from_json({"trials": [{"key": "a", "number": 1, "method": "widths", "state": "failed"}]}).trials[0].state
        'failed'
    """
    if not isinstance(value, Mapping):
        raise RunError(f"a study's result must be a JSON object, got {type(value).__name__}; run the command again")
    pairs = {key: flatten(value.get(key)) for key in ("settings", "provenance")}
    return checked(Study, {**value, **pairs})
