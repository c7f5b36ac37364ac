"""The loop of a study: which network is tried next, how far it is trained, and when to stop."""

import time
from dataclasses import replace
from typing import Any

from edgewise._core.errors import DeviceError, ExportError
from edgewise._core.units import format_duration
from edgewise.recipes.explore.budget import Pace, Work
from edgewise.recipes.explore.executor import Measurement, TrialOutcome, TrialTask
from edgewise.recipes.explore.fronts import front_of
from edgewise.recipes.explore.halving import rungs_of, why_stopped
from edgewise.recipes.explore.opening import Opened
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.proposing import Proposal, Proposer
from edgewise.recipes.explore.study import Study
from edgewise.recipes.explore.trials import COMPLETE, FAILED, STOPPED, Trial, row_of
from edgewise.recipes.runs import load_run, write_run

_LEAST_FRONT, _REPORT_S = 4, 5.0


class Engine:
    """Tries networks until the budget, the number of trials or the proposals end.

    Args:
        study: What it works with.
        trials: What is known from sessions before.
    """

    def __init__(self, study: Study, trials: dict[int, Trial]) -> None:
        self._study, self.trials = study, trials
        self._running: dict[int, Trial] = {}
        self._proposer = Proposer(study)
        self._exhausted = False

    def run(self) -> None:
        """Goes on until nothing more is to be done.

        Raises:
            StorageError: The disk is full or not writable.
        """
        self._finish_late()
        while True:
            self._fill()
            if not self._running:
                return
            for outcome in self._study.executor.wait(1.0):
                trial = self._running[outcome.number]
                self._heard(trial, outcome)
                if self._study.executor.slots > 1:
                    self._fill(spare=1)  # the machine that is free now need not wait until this network is measured
                del self._running[outcome.number]
                self._judge(trial)

    def _finish_late(self) -> None:
        """Trials whose last rung was kept, and not yet what follows from it."""
        for trial in list(self.trials.values()):
            if not trial.done and trial.rungs:
                self._judge(trial)

    def _fill(self, *, spare: int = 0) -> None:
        while len(self._running) < self._study.executor.slots + spare:
            trial = self._unfinished() or self._new()
            if trial is None:
                return
            self._submit(trial)

    def _unfinished(self) -> Trial | None:
        """A trial to go on with; one that a session before had only begun waits where the time does not reach."""
        waiting = [one for number, one in sorted(self.trials.items()) if not one.done and number not in self._running]
        return next((one for one in waiting if one.rungs or self._fits(one.point)), None)

    def _submit(self, trial: Trial) -> None:
        opened, scratch = self._study.opened, self._study.folder.scratch(trial.number, trial.point)
        rung = len(trial.rungs)
        start = self._study.folder.given if trial.point.method == "given" else scratch / "start"
        start_s = time.monotonic()
        self._study.networks.write_start(trial.point, start)
        trial.refitting_s = time.monotonic() - start_s
        request = opened.request
        assert request.data is not None
        self._running[trial.number] = trial
        self._study.executor.submit(
            TrialTask(
                number=trial.number,
                point=trial.point,
                rung=rung,
                epochs=self._rungs(trial.point)[rung],
                recalibrate=rung == 0 and (bool(trial.point.widths) or trial.point.dynamic),
                lr=request.lr,
                threads=opened.threads,
                data=request.data,
                start=start if rung == 0 else scratch / f"rung-{rung - 1}",
                accuracy_before=trial.rungs[-1].accuracy_validation if trial.rungs else None,
                teacher=self._study.folder.given if request.distill else None,
                folder=scratch / f"rung-{rung}",
            )
        )

    def _heard(self, trial: Trial, outcome: TrialOutcome) -> None:
        study = self._study
        work = self._work(trial.point)[outcome.rung]
        before_s, trial.refitting_s = trial.refitting_s, 0.0
        outcome = replace(outcome, recalibrating_s=outcome.recalibrating_s + before_s, seconds=outcome.seconds + before_s)
        trial.rungs.append(outcome)
        study.folder.append({"event": "rung", **outcome.to_json(), "spent_s": study.clock.spent_s})
        if outcome.state == "done":
            study.pace.trained(work, outcome.training_s, outcome.seconds)

    def _judge(self, trial: Trial) -> None:
        """Measures a trial that was not measured yet, and decides whether it goes on."""
        last = trial.rungs[-1]
        if last.state == "failed":
            self._end(trial, FAILED, last.why)
            return
        if trial.measurement is None:
            try:
                self._measure(trial)
            except (ExportError, DeviceError) as error:
                if trial.point.method == "given":
                    raise
                self._end(trial, FAILED, f"it cannot be measured: {' '.join(str(error).split())}")
                return
        if len(trial.rungs) == len(self._rungs(trial.point)):
            self._end(trial, COMPLETE, None)
            return
        why = self._why_stopped(trial)
        if why is not None:
            self._end(trial, STOPPED, why)

    def _measure(self, trial: Trial) -> None:
        study = self._study
        start_s = time.monotonic()
        folder = study.folder.scratch(trial.number, trial.point) / f"rung-{len(trial.rungs) - 1}"
        known = next((one.measurement for one in self.trials.values() if one.point.method == "given" and one.measurement), None)
        if trial.point.method == "given" and known is not None:
            trial.measurement = known
        else:
            (measured,) = study.bench(study.folder.given, [folder])
            trial.measurement = as_baseline(measured) if trial.point.method == "given" else measured
            trial.measuring_s = time.monotonic() - start_s
            study.pace.measured(trial.measuring_s, 1)
        took = {"took_s": trial.measuring_s, "spent_s": study.clock.spent_s}
        study.folder.append({"event": "measured", "number": trial.number, **trial.measurement.to_json(), **took})

    def _why_stopped(self, trial: Trial) -> str | None:
        study, rung = self._study, len(trial.rungs)
        left = self._work(trial.point)[rung]
        if study.pace.training_s(left) + self._reserve_s() > study.clock.left_s:
            return "the budget ended before it was trained in full"
        if trial.point.method == "given":
            return None
        own = trial.value(rung - 1)
        assert own is not None
        others = [
            value
            for one in self.trials.values()
            if one is not trial and one.point.epochs == trial.point.epochs and len(one.rungs) >= rung
            if (value := one.value(rung - 1)) is not None
        ]
        return why_stopped(own, others)

    def _end(self, trial: Trial, state: str, why: str | None) -> None:
        study = self._study
        counted = study.networks.counted(trial.point)
        last = study.folder.scratch(trial.number, trial.point) / f"rung-{len(trial.rungs) - 1}"
        target = study.folder.trial(trial.number, trial.point)
        there = state != FAILED
        if state == FAILED and len(trial.rungs) > 1:
            # What was trained before the rung that failed is a network all the same, but nobody should take it for a result.
            trial.measurement = None
        run = str(target.relative_to(study.folder.path)) if there else None
        row = row_of(trial, counted, state=state, why=why, halved=study.opened.halved, run=run)
        if there:
            loaded = load_run(last).loaded
            write_run(target, loaded.model, record=loaded.record, result=self._as_run(trial, row))
        trial.row = row
        study.folder.append({"event": "trial", "number": trial.number, "row": row, "spent_s": study.clock.spent_s})
        if study.asker is not None and trial.params is not None:
            study.asker.tell(trial.number, None if state == FAILED else trial.value())
        study.folder.clear(trial.number, trial.point)
        study.progress.say(self._line(trial, row))

    def _as_run(self, trial: Trial, row: dict[str, Any]) -> dict[str, Any]:
        """A trial's run as every run's result has it, so that reports and comparisons read it."""
        study, measured = self._study, trial.measurement
        device = study.opened.request.device
        counted = study.networks.counted(trial.point)
        given = study.networks.counted(Point())
        figures = ("latency_s", "min_s", "accuracy", "accuracy_validation", "macs", "params", "predicted_s", "energy_j", "kind")
        baseline: dict[str, Any] = {"macs": given.macs, "params": given.params}
        if measured is not None:
            baseline |= {"latency_s": measured.baseline_latency_s, "min_s": measured.baseline_min_s, "kind": measured.kind}
        return {
            "command": "explore trial",
            "model": study.opened.loaded.name,
            "device": device.device,
            "threads": device.threads,
            "batch": device.batch,
            "precision": device.precision,
            "kind": row["kind"],
            "baseline": baseline,
            "result": {name: row[name] for name in figures},
            "widths_before": dict(given.layer_widths),
            "widths": dict(counted.layer_widths),
            "seconds": row["seconds"],
            "point": trial.point.to_json(),
            "trial": row,
        }

    def _new(self) -> Trial | None:
        """The next network that nobody tried: the solvers' first, then the sampler's; none where nothing fits any more."""
        study, request = self._study, self._study.opened.request
        if self._exhausted or (request.trials is not None and len(self.trials) >= request.trials):
            return None
        tried = {one.point.key for one in self.trials.values()}
        waiting = [point for point in study.plan.points if point.key not in tried]
        for point in waiting:
            if self._fits(point):
                return self._asked(Proposal(point=point, params=self._proposer.params_of(point)))
        proposal = None if waiting else self._proposer.next(tried, self._fits)
        if proposal is None:
            self._exhausted = True
            return None
        return self._asked(proposal)

    def _asked(self, proposal: Proposal) -> Trial:
        study, number = self._study, max(self.trials, default=-1) + 1
        predicted_s = None if proposal.point.dynamic else self._proposer.predicted_s(proposal.point)
        trial = Trial(number=number, point=proposal.point, params=proposal.params, predicted_s=predicted_s)
        study.folder.append(
            {
                "event": "asked",
                "number": number,
                "point": trial.point.to_json(),
                "params": trial.params,
                "predicted_s": predicted_s,
                "spent_s": study.clock.spent_s,
            }
        )
        self._proposer.took(proposal, number)
        self.trials[number] = trial
        return trial

    def _fits(self, point: Point) -> bool:
        return self.expected_s(point) + self._reserve_s() <= self._study.clock.left_s

    def expected_s(self, point: Point) -> float:
        """Seconds that a trial is expected to take if it is trained in full."""
        return self._study.pace.trial_s(self._work(point))

    def _reserve_s(self) -> float:
        values = [value for one in self.trials.values() if (value := one.value()) is not None]
        return reserve_s(self._study.opened, self._study.pace, networks=len(front_of(values)))

    def _rungs(self, point: Point) -> tuple[float, ...]:
        return rungs_of(point.epochs, halved=self._study.opened.halved)

    def _work(self, point: Point) -> list[Work]:
        macs, teacher_macs = self._study.networks.net(point).macs, self._study.opened.teacher_macs
        return [Work(macs=macs, epochs=epochs, dynamic=point.dynamic, teacher_macs=teacher_macs) for epochs in self._rungs(point)]

    def _line(self, trial: Trial, row: dict[str, Any]) -> str:
        value, left_s = trial.value(), self._study.clock.left_s
        figures = "" if value is None else f": {value.accuracy:.2%} on validation, {value.ratio:.3f}x"
        ended = "" if row["state"] == COMPLETE else f", {row['state']}: {row['why']}"
        left = "" if left_s == float("inf") else f"; {format_duration(max(0.0, left_s))} left"
        return f"trial {trial.number}, {trial.describe()}{figures}{ended}{left}"


def reserve_s(opened: Opened, pace: Pace, *, networks: int) -> float:
    """Seconds for what comes last: the front measured again and judged on the test part, and the report.

    Args:
        opened: The network and the data.
        pace: How long scoring and measuring take.
        networks: Networks on the front so far; a few more are expected at least.
    """
    scoring_s = pace.scoring_s(opened.net.macs, opened.data.test.n_images)
    return max(_LEAST_FRONT, networks + 1) * (scoring_s + pace.measure_s / 2) + _REPORT_S


def as_baseline(measured: Measurement) -> Measurement:
    """The given network beside itself: its latency is the baseline's, exactly."""
    return replace(
        measured,
        latency_s=measured.baseline_latency_s,
        min_s=measured.baseline_min_s,
        ratio=1.0,
        energy_j=measured.baseline_energy_j,
    )
