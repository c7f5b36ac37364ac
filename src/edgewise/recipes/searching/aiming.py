"""Measuring networks of a space beside the reference, and aiming so that the measurement meets the target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from edgewise._core.errors import TargetError
from edgewise._core.progress import Progress
from edgewise._core.units import LatencyTarget, format_seconds
from edgewise.ir import ArchPlan
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import Runtime
from edgewise.measure.sampling import Sample
from edgewise.models.sources import ModelSource, build
from edgewise.recipes.records import LoadedModel, ModelRecord
from edgewise.recipes.timing import TimingJob, time_together
from edgewise.space import Space
from edgewise.space.prices import Prices

TOLERANCE = 0.03
"""A network has hit its target within this share of it."""
Measure = Callable[[Sequence[ArchPlan]], tuple[Sample, list[Sample]]]
"""Timings of the reference, and of networks, of one interleaved run."""
_CLOSE = 0.01
_MOST_TRIES = 4


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A network and its latency beside the reference's.

    Attributes:
        plan: The network.
        predicted_s: By the prices as they were before the network was measured.
        sample: Its timings; none where nothing can be measured.
        reference: Those of the reference, of the same interleaved run.
        target_s: The target in seconds of that run.
        tries: Networks measured for it.
    """

    plan: ArchPlan
    predicted_s: float
    target_s: float
    sample: Sample | None = None
    reference: Sample | None = None
    tries: int = 0

    @property
    def latency_s(self) -> float:
        """The minimum measured; the prediction where nothing is."""
        return self.predicted_s if self.sample is None else self.sample.min_s

    @property
    def miss(self) -> float:
        """How far it is from the target, as a share of it; positive is slower."""
        return self.latency_s / self.target_s - 1

    @property
    def met(self) -> bool:
        """Whether the target is hit within 3 %."""
        return abs(self.miss) <= TOLERANCE


class Bench:
    """Times networks of a space beside the reference.

    Args:
        space: The space.
        reference: The network that targets are shares of.
        runtime: Where.
        database: Keeps all samples.
        progress: Is told how far it is.
    """

    def __init__(self, space: Space, reference: LoadedModel, *, runtime: Runtime, database: LatencyDatabase, progress: Progress) -> None:
        self._space, self._reference, self._runtime = space, reference, runtime
        self._database, self._progress = database, progress

    def measure(self, plans: Sequence[ArchPlan]) -> tuple[Sample, list[Sample]]:
        """The reference's timings, and those of networks with weights as drawn, interleaved."""
        return self.measure_modules([network_of(self._space, plan) for plan in plans])

    def measure_modules(self, networks: Sequence[LoadedModel]) -> tuple[Sample, list[Sample]]:
        """The same for networks that are there already."""
        jobs = [TimingJob(loaded=network, runtime=self._runtime) for network in (self._reference, *networks)]
        first, *others = time_together(jobs, database=self._database, progress=self._progress)
        return first, others


def source_of(space: Space) -> ModelSource:
    """The space as the source of its networks."""
    return ModelSource(kind="space", name=space.name, space=space)


def network_of(space: Space, plan: ArchPlan, model: nn.Module | None = None) -> LoadedModel:
    """A network of a space, ready to use; with weights as drawn where none is given."""
    record = ModelRecord(source=source_of(space), input_shape=space.input_shape, plans=(plan,), trained=model is not None)
    return LoadedModel(model=model or build(record.source, plan=plan), record=record, name=f"space:{space.name}")


def calibrated(prices: Prices, pairs: Sequence[tuple[float, float]]) -> Prices:
    """Prices brought in line with two measured networks: scaled by what lies between them, shifted by the rest.

    Where that makes no sense (noise, or a rest below 0), all prices are scaled by one factor.

    Args:
        prices: As predicted.
        pairs: Predicted and measured seconds of the smallest network and of the largest.

    Example:
        >>> from edgewise.space import SPACES
        >>> from edgewise.space.prices import price_space
        >>> prices = price_space(SPACES["digits"], constant_s=1.0, price_s=lambda choice: 1.0)
        >>> better = calibrated(prices, [(3.0, 3.5), (5.0, 6.5)])
        >>> better.latency_s(SPACES["digits"].smallest), better.latency_s(SPACES["digits"].largest)
        (3.5, 6.5)
    """
    (low, low_measured), (high, high_measured) = pairs
    slope = (high_measured - low_measured) / (high - low) if high > low else 0.0
    constant_s = slope * prices.constant_s + low_measured - slope * low
    if not 0.2 <= slope <= 5.0 or constant_s < 0:
        return prices.scaled((low_measured + high_measured) / (low + high))
    return replace(prices.scaled(slope), constant_s=constant_s)


def aim(
    choose: Callable[[float], ArchPlan],
    prices: Prices,
    target: LatencyTarget,
    *,
    measure: Measure | None,
    reference_s: float,
    progress: Progress,
) -> Hit:
    """A network whose measured latency meets a target: chosen by prices, measured, and chosen again where it misses.

    Args:
        choose: The best network of at most so many predicted seconds.
        prices: What choices take.
        target: The target.
        measure: Gives timings of the reference and of networks; none where nothing can be measured, which leaves the prediction.
        reference_s: Latency of the reference by which the first aim is taken.
        progress: Is told of every try.

    Raises:
        TargetError: No network is so fast by the prices.
    """
    aim_s, best = target.seconds(reference_s), None
    if measure is None:
        return shoot([choose(aim_s)], prices, target, measure=None, reference_s=reference_s)[0]
    seen: set[ArchPlan] = set()
    for number in range(1, _MOST_TRIES + 1):
        try:
            plan = choose(aim_s)
        except TargetError:
            if best is None:
                raise
            break  # noise may lead an aim out of the space's range: what was measured stands
        if plan in seen:
            break
        seen.add(plan)
        hit = replace(shoot([plan], prices, target, measure=measure, reference_s=reference_s)[0], tries=number)
        progress.note(f"try {number}: {format_seconds(hit.latency_s)} measured for {format_seconds(hit.target_s)} ({hit.miss:+.1%})")
        best = hit if best is None or _worse(best) > _worse(hit) else best
        if -TOLERANCE + _CLOSE <= hit.miss <= 0:
            break
        aim_s = max(prices.range_s[0] * (1 + 1e-6), aim_s * _correction(hit.miss) * (1 - _CLOSE / 2))
    assert best is not None
    return replace(best, tries=len(seen))


def shoot(plans: Sequence[ArchPlan], prices: Prices, target: LatencyTarget, *, measure: Measure | None, reference_s: float) -> list[Hit]:
    """Networks beside a target, measured in one run with the reference; predicted where nothing can be measured.

    Args:
        plans: The networks.
        prices: What choices take.
        target: The target.
        measure: Gives timings of the reference and of networks; none where nothing can be measured.
        reference_s: Latency of the reference where it is not measured.
    """
    predicted = [prices.latency_s(plan) for plan in plans]
    if measure is None:
        target_s = target.seconds(reference_s)
        return [Hit(plan=plan, predicted_s=seconds, target_s=target_s) for plan, seconds in zip(plans, predicted, strict=True)]
    reference, samples = measure(plans)
    target_s = target.seconds(reference.min_s)
    return [
        Hit(plan=plan, predicted_s=seconds, sample=sample, reference=reference, target_s=target_s)
        for plan, seconds, sample in zip(plans, predicted, samples, strict=True)
    ]


def _correction(miss: float) -> float:
    """What the aim is multiplied by after a miss: half to twice, since more is a disturbed measurement."""
    return min(max(1 - miss if miss < 0 else 1 / (1 + miss), 0.5), 2.0)


def _worse(hit: Hit) -> float:
    """How bad a miss is: a network over the target counts double."""
    return -hit.miss if hit.miss <= 0 else 2 * hit.miss
