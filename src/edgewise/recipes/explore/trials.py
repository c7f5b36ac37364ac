"""Trials of a study: what is known of each, and how the study's events say it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgewise._core.errors import RunError
from edgewise.recipes.explore.asking import Asker, Params
from edgewise.recipes.explore.executor import Measurement, TrialOutcome
from edgewise.recipes.explore.fronts import Value
from edgewise.recipes.explore.halving import rungs_of
from edgewise.recipes.explore.networks import Counted
from edgewise.recipes.explore.point import Point

COMPLETE, STOPPED, FAILED = "complete", "stopped", "failed"
"""How a trial may end: trained in full, not worth training on, or not trainable."""


@dataclass(kw_only=True)
class Trial:
    """A network that is tried, as far as it is.

    Attributes:
        number: Its number, from 0.
        point: The network.
        params: The sampler's parameters that stand for it; none where the sampler does not hear of it.
        predicted_s: Latency predicted before anything was measured; none where nothing predicts it.
        rungs: Outcomes of its rungs so far.
        measurement: Its latency; none before it was measured.
        measuring_s: Seconds that measuring it took.
        refitting_s: Seconds that making the network that its first rung starts from took.
        row: Its row of the result; none before it is done.
        accuracy: On the test part; none where it was not judged there.
    """

    number: int
    point: Point
    params: Params | None = None
    predicted_s: float | None = None
    rungs: list[TrialOutcome] = field(default_factory=list)
    measurement: Measurement | None = None
    measuring_s: float = 0.0
    refitting_s: float = 0.0
    row: dict[str, Any] | None = None
    accuracy: float | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.row is not None

    def value(self, rung: int = -1) -> Value | None:
        """Validation accuracy after a rung, and latency; none where one of them is not known."""
        if self.measurement is None or not self.rungs or not -1 <= rung < len(self.rungs):
            return None
        accuracy = self.rungs[rung].accuracy_validation
        return None if accuracy is None else Value(accuracy=accuracy, ratio=self.measurement.ratio)

    def epochs_trained(self, *, halved: bool) -> float:
        """Passes over the training data so far."""
        return sum(rungs_of(self.point.epochs, halved=halved)[: len(self.rungs)])

    def describe(self) -> str:
        """The network in a few words."""
        point = self.point
        parts = [point.method if point.method != "given" else ("given, trained on" if point.epochs else "given, unchanged")]
        if point.channel_ratios or point.spatial_ratios:
            sides = [("channels", point.channel_ratios), ("positions", point.spatial_ratios)]
            parts += [f"{name} {'/'.join(f'{ratio:g}' for ratio in ratios)}" for name, ratios in sides if ratios]
        return ", ".join(parts)


def row_of(trial: Trial, counted: Counted, *, state: str, why: str | None, halved: bool, run: str | None) -> dict[str, Any]:
    """A trial's row of the result, test accuracy left open.

    Args:
        trial: The trial.
        counted: What is counted in its network.
        state: How it ended.
        why: Why it ended before its time; none where it did not.
        halved: Whether candidates may be stopped.
        run: Its run folder, relative to the study's; none where there is none.
    """
    measured, last = trial.measurement, trial.rungs[-1] if trial.rungs else None
    return {
        "key": trial.point.key,
        "number": trial.number,
        "method": trial.point.method,
        "origin": trial.point.origin,
        "state": state,
        "why": why,
        "rung": len(trial.rungs) - 1,
        "epochs": trial.epochs_trained(halved=halved),
        "accuracy": None,
        "accuracy_validation": None if last is None else last.accuracy_validation,
        "latency_s": None if measured is None else measured.latency_s,
        "min_s": None if measured is None else measured.min_s,
        "ratio": None if measured is None else measured.ratio,
        "kind": None if measured is None else measured.kind,
        "runtime": None if measured is None else measured.runtime,
        "noisy": None if measured is None else measured.noisy,
        "predicted_s": trial.predicted_s,
        "macs": counted.macs,
        "macs_executed": counted.macs_executed,
        "params": counted.params,
        "energy_j": None if measured is None else measured.energy_j,
        "channel_ratios": list(counted.channel_ratios),
        "spatial_ratios": list(counted.spatial_ratios),
        "widths": dict(trial.point.widths) or None,
        "architecture": list(trial.point.architecture) or None,
        "seed": trial.point.seed,
        "run": run,
        "host": "" if last is None else last.host,
        "measured_on": "" if measured is None else measured.host,
        "seconds": sum(rung.seconds for rung in trial.rungs),
        "training_s": sum(rung.training_s + rung.recalibrating_s for rung in trial.rungs),
    }


def replay(events: Iterable[Mapping[str, Any]], asker: Asker | None) -> tuple[dict[int, Trial], float]:
    """The trials that a study's events tell of, and the seconds spent; the sampler hears all of it again.

    Raises:
        RunError: An event is damaged, or belongs to no trial.
    """
    trials: dict[int, Trial] = {}
    spent_s = 0.0
    for number, event in enumerate(events, start=1):
        try:
            spent_s = max(spent_s, float(event.get("spent_s", 0.0)))
            _heard(event, trials, asker)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"trials.jsonl of the study is damaged in line {number} ({error!r}); start again in another folder") from error
    return trials, spent_s


def _heard(event: Mapping[str, Any], trials: dict[int, Trial], asker: Asker | None) -> None:
    kind = event["event"]
    if kind == "dropped":
        if asker is not None:
            asker.hear(None, event["params"])
        return
    if kind == "asked":
        trial = Trial(
            number=int(event["number"]),
            point=Point.from_json(event["point"]),
            params=event["params"],
            predicted_s=event["predicted_s"],
        )
        trials[trial.number] = trial
        if asker is not None and trial.params is not None:
            asker.hear(trial.number, trial.params)
        return
    if kind not in ("rung", "measured", "trial", "judged"):
        return
    trial = trials[int(event["number"])]
    if kind == "rung":
        trial.rungs.append(TrialOutcome(**{name: event[name] for name in TrialOutcome.__dataclass_fields__}))
    elif kind == "measured":
        trial.measurement = Measurement(**{name: event[name] for name in Measurement.__dataclass_fields__})
        trial.measuring_s = float(event["took_s"])
    elif kind == "judged":
        trial.accuracy = float(event["accuracy"])
    else:
        trial.row = dict(event["row"])
        if asker is not None:
            asker.tell(trial.number, None if trial.row["state"] == FAILED else trial.value())
