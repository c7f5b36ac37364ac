"""The recipe of ``edgewise explore``."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgewise._core.errors import EdgewiseError, UsageError
from edgewise._core.files import write_text
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import format_duration
from edgewise.measure.host import provenance
from edgewise.recipes.explore.asking import Asker, SearchSpace, import_optuna
from edgewise.recipes.explore.budget import MEASURE_S, PRICE_S, Clock, Pace, Work, pace_of
from edgewise.recipes.explore.engine import Engine, reserve_s
from edgewise.recipes.explore.executor import Executor, LocalExecutor, Measurement
from edgewise.recipes.explore.folder import REPORT_FILE, StudyFolder
from edgewise.recipes.explore.ladder import Ladder
from edgewise.recipes.explore.networks import Networks
from edgewise.recipes.explore.opening import Opened, open_study
from edgewise.recipes.explore.planning import Plan, given_points, plan_points, with_searched
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.pricing import price_runs
from edgewise.recipes.explore.request import ExploreRequest
from edgewise.recipes.explore.result import ExploreResult, Row, contributions_of, front_rows, recommended_of, reference_of, volume_of
from edgewise.recipes.explore.searching import Searched
from edgewise.recipes.explore.study import Bench, Study
from edgewise.recipes.explore.threads import torch_threads
from edgewise.recipes.explore.trials import FAILED, Trial, replay
from edgewise.recipes.explore.watching import StudyProgress
from edgewise.recipes.runs import load_run
from edgewise.recipes.searching.prices import net_of
from edgewise.train.evaluate import accuracy

_MOST_ROUNDS = 3
"""Rounds of measuring the front again: a network that a new measurement lets onto the front is measured in the next."""
_LEAST_POPULATION, _MOST_POPULATION = 8, 20
LEAK = 0.04
"""Validation accuracy above test accuracy from which the given network is taken to have seen the validation images."""
SEARCH_RATIO = 1.5
"""Time of a step of a search over one of the space's largest network, until it is known."""


def run_explore(request: ExploreRequest, *, progress: Progress | None = None) -> ExploreResult:
    """Explores the trade-off between accuracy and latency of a network on a device.

    Args:
        request: The network, the device, the data, and when to end.
        progress: Is told how far it is.

    Raises:
        UsageError: The budget is too small for one trial (says how long one takes), the network was never trained,
            or the folder holds something else. Nothing is written then.
        RunError: The study to go on with is of another version, damaged, or has other settings.
        DataError: The data has no held-out part, or does not fit the network.
        EdgewiseError: Something else in the request is wrong.
    """
    watcher = StudyProgress(progress or SilentProgress())
    start_s = time.monotonic()
    folder = StudyFolder(request.folder)
    folder.check_new(resume=request.resume)
    import_optuna()
    opened = open_study(request, progress=watcher)
    if folder.begun:
        folder.check_settings(opened.settings())
    pace = _pace(opened, progress=watcher)
    if not folder.begun:
        _check_budget(opened, pace)
    with folder.held(), ExitStack() as stack:
        session = _Session(opened, folder, pace, stack=stack, progress=watcher, start_s=start_s)
        return session.run()


class _Session:
    """One process at work on a study, from its plan to its result."""

    def __init__(
        self, opened: Opened, folder: StudyFolder, pace: Pace, *, stack: ExitStack, progress: StudyProgress, start_s: float
    ) -> None:
        self._opened, self._folder, self._pace, self._stack, self._progress = opened, folder, pace, stack, progress
        self._before_s = time.monotonic() - start_s

    def run(self) -> ExploreResult:
        opened, folder = self._opened, self._folder
        begun = folder.begun
        if not begun:
            folder.begin(opened.settings())
        searched = None if opened.space is None else Searched(opened, folder.path / "search", progress=self._progress)
        try:
            with torch_threads(opened.threads):
                plan, ladder = self._plan(searched)
        except EdgewiseError:
            if not begun:
                folder.abandon()
            raise
        self._stack.callback(ladder.close)
        networks = Networks(opened, plan.scores, searched)
        networks.write_given(folder.given)
        space = _space_of(opened, plan)
        asker = self._asker(plan, space)
        trials, spent_s = replay(folder.events(), asker)
        clock = Clock(opened.request.budget_s, before_s=spent_s + self._before_s)
        executor = self._executor()
        study = Study(
            opened=opened,
            folder=folder,
            plan=plan,
            ladder=ladder,
            searched=searched,
            networks=networks,
            executor=executor,
            bench=self._bench(executor),
            asker=asker,
            space=space,
            pace=self._pace,
            clock=clock,
            progress=self._progress,
        )
        engine = Engine(study, trials)
        self._show_plan(study, engine)
        before = folder.appended
        engine.run()
        known = folder.kept_result() if folder.appended == before else None
        if known is not None and (folder.path / REPORT_FILE).is_file():
            self._progress.say(f"the study in {folder.path} is finished already; a larger --budget or --trials goes on with it")
            return ExploreResult(value=known, folder=folder.path)
        return _Finish(study, engine).run()

    def _plan(self, searched: Searched | None) -> tuple[Plan, Ladder]:
        """The plan: kept by a session before, listed by a person, or made now."""
        opened, kept = self._opened, self._folder.kept_plan()
        if kept is not None:
            plan = Plan.from_json(kept)
            return plan, Ladder(opened, plan.ladder, progress=self._progress)
        start_s = time.monotonic()
        ladder = Ladder(opened, {}, progress=self._progress)
        scores = opened.scores()
        if opened.given_points is not None:
            listed = tuple(dict.fromkeys([*given_points(opened), *opened.given_points]))
            plan = Plan(points=listed, ladder={}, scores=scores)
        else:
            plan = plan_points(opened, ladder, scores, progress=self._progress)
        if searched is not None and opened.given_points is None:
            plan = with_searched(plan, opened, searched, progress=self._progress)
        plan = replace(plan, seconds=time.monotonic() - start_s, profile_s=ladder.profile_s)
        self._folder.keep_plan(plan.to_json())
        self._folder.append({"event": "planned", "spent_s": self._before_s + plan.seconds})
        self._before_s = 0.0
        return plan, ladder

    def _asker(self, plan: Plan, space: SearchSpace) -> Asker | None:
        if self._opened.given_points is not None or space.empty:
            return None
        population = min(max(_LEAST_POPULATION, len(plan.points)), _MOST_POPULATION)
        request = self._opened.request
        return Asker(self._folder.journal, space, sampler=request.sampler, population=population, seed=request.seed)

    def _executor(self) -> Executor:
        executor = _open_executor(self._opened, progress=self._progress)
        self._stack.callback(executor.close)
        return executor

    def _bench(self, executor: Executor) -> Bench:
        opened = self._opened
        if not opened.simulated:
            return executor.measure

        def price(given: Path, folders: Sequence[Path]) -> list[Measurement]:
            return price_runs(opened.request.device, given, folders, data=opened.data, progress=self._progress)

        return price

    def _show_plan(self, study: Study, engine: Engine) -> None:
        done = {trial.point.key for trial in engine.trials.values() if trial.done}
        left = [point for point in study.plan.points if point.key not in done]
        expected_s = sum(engine.expected_s(point) for point in left)
        request, say = self._opened.request, self._progress.say
        if done:
            say(f"going on with the study in {self._folder.path}: {len(done)} networks are done")
        for point in left:
            say(f"  planned: {_words(point)}, about {format_duration(engine.expected_s(point))}")
        then = "" if study.asker is None else f"; then {request.sampler} proposes more"
        ends = [f"{request.trials} networks" if request.trials else "", format_duration(request.budget_s) if request.budget_s else ""]
        limit = " or ".join(end for end in ends if end)
        say(
            f"plan: {len(left)} networks, about {format_duration(expected_s)} if all are trained in full{then}"
            + (f"; ends after {limit}" if limit else "")
        )
        seconds = study.clock.left_s
        self._progress.begin("exploring, seconds", expected_s if seconds == float("inf") else max(1.0, seconds))


class _Finish:
    """What comes last: the front measured again in one run, judged on the test part, and the result written."""

    def __init__(self, study: Study, engine: Engine) -> None:
        self._study, self._engine, self._measuring_s, self._judging_s = study, engine, 0.0, 0.0
        self._rows = [_fresh(trial) for _, trial in sorted(engine.trials.items()) if trial.row is not None]

    def run(self) -> ExploreResult:
        study = self._study
        baseline = self._measured_again()
        front = front_rows(self._rows)
        self._judge(front)
        value = self._value(front, baseline)
        study.folder.clear_all()
        study.folder.keep_result(value)
        _write_report(study.folder, value)
        return ExploreResult(value=value, folder=study.folder.path)

    def _measured_again(self) -> Measurement | None:
        """Brings the front's latencies in line: one interleaved run for all, until nothing new enters the front."""
        study = self._study
        known: dict[str, Measurement] = {}
        latest: Measurement | None = next((one.measurement for one in self._engine.trials.values() if one.measurement), None)
        for _ in range(_MOST_ROUNDS):
            new = [row for row in front_rows(self._rows) if row["key"] not in known and row["method"] != "given"]
            if not new or study.opened.simulated:
                break
            start_s = time.monotonic()
            measured = study.bench(study.folder.given, [study.folder.path / row["run"] for row in new])
            self._measuring_s += time.monotonic() - start_s
            for row, one in zip(new, measured, strict=True):
                known[row["key"]] = one
                row.update(_latencies(one))
            latest = measured[0]
            for row in self._rows:
                if row["method"] == "given" and row["ratio"] is not None:
                    row.update(latency_s=latest.baseline_latency_s, min_s=latest.baseline_min_s)
        return latest

    def _judge(self, front: Sequence[Row]) -> None:
        """Test accuracy of the front and of the given network, each looked at once in the whole study."""
        study = self._study
        for row in self._rows:
            trial = self._engine.trials[row["number"]]
            unchanged = trial.point.method == "given" and trial.point.epochs == 0
            if row["state"] == FAILED or (row not in front and not unchanged):
                continue
            if trial.accuracy is None:
                trial.accuracy = self._test_accuracy(study.folder.path / row["run"])
                study.folder.append({"event": "judged", "number": trial.number, "accuracy": trial.accuracy})
            row["accuracy"] = trial.accuracy

    def _test_accuracy(self, run: Path) -> float:
        start_s = time.monotonic()
        with torch_threads(self._study.opened.threads):
            found = accuracy(load_run(run).loaded.model, self._study.opened.data.test)
        self._judging_s += time.monotonic() - start_s
        return found

    def _value(self, front: Sequence[Row], measured: Measurement | None) -> dict[str, Any]:
        study, rows = self._study, self._rows
        opened, device = study.opened, study.opened.request.device
        baseline = self._baseline(measured)
        reference = reference_of(baseline)
        seconds = study.clock.spent_s
        training_s = sum(row["training_s"] for row in rows)
        alone_s = study.plan.search_s + self._judging_s
        measuring_s = sum(one.measuring_s for one in self._engine.trials.values()) + self._measuring_s + study.plan.profile_s
        return {
            "command": "explore",
            "model": opened.loaded.name,
            "device": device.device,
            "threads": device.threads,
            "batch": device.batch,
            "precision": device.precision,
            "kind": "simulated" if opened.simulated else "measured",
            "budget_s": opened.request.budget_s,
            "seconds": seconds,
            "training_s": training_s + alone_s,
            "measuring_s": measuring_s,
            "planning_s": study.plan.seconds - study.plan.profile_s - study.plan.search_s,
            "engine_share": max(0.0, 1 - (training_s / study.executor.slots + alone_s + measuring_s) / seconds),
            "method_seconds": _by_method(rows, search_s=study.plan.search_s),
            "baseline": baseline,
            "trials": rows,
            "front": [row["key"] for row in front],
            "contributions": contributions_of(rows, front, reference),
            "hypervolume": volume_of(rows, reference),
            "reference": {"ratio": reference.ratio, "accuracy": reference.accuracy},
            "recommended": recommended_of(front),
            "warnings": [*self._warnings(), *_seen_before(baseline)],
            "settings": opened.settings(),
            "provenance": provenance(seed=opened.request.seed),
        }

    def _baseline(self, measured: Measurement | None) -> dict[str, Any]:
        """The given network, its weights unchanged."""
        counted = self._study.networks.counted(Point())
        row = next((row for row in self._rows if row["method"] == "given" and row["epochs"] == 0), None)
        return {
            "latency_s": None if measured is None else measured.baseline_latency_s,
            "min_s": None if measured is None else measured.baseline_min_s,
            "macs": counted.macs,
            "params": counted.params,
            "accuracy": None if row is None else row["accuracy"],
            "accuracy_validation": None if row is None else row["accuracy_validation"],
            "energy_j": None if measured is None else measured.baseline_energy_j,
        }

    def _warnings(self) -> list[str]:
        failed = [row for row in self._rows if row["state"] == FAILED]
        found, tried = list(self._study.plan.notes), {row["key"] for row in self._rows}
        left = sum(point.key not in tried for point in self._study.plan.points)
        if left:
            found.append(
                f"{left} of the networks planned were not tried before the end; --resume with a larger --budget or --trials goes on"
            )
        found += [f"trial {row['number']} ({row['method']}) failed: {row['why']}" for row in failed]
        noisy = sum(bool(row["noisy"]) for row in self._rows)
        if noisy:
            found.append(f"the timings of {noisy} networks scatter; close what else runs on this machine")
        return found


def _open_executor(opened: Opened, *, progress: Progress) -> Executor:
    """Who trains and measures."""
    return LocalExecutor(device=opened.request.device, data=opened.data, progress=progress)


def _pace(opened: Opened, *, progress: StudyProgress) -> Pace:
    progress.note("timing a few training steps")
    measure_s = PRICE_S if opened.simulated else MEASURE_S
    with torch_threads(opened.threads):
        return pace_of(opened.loaded.model, opened.net.macs, opened.gates, opened.data, measure_s=measure_s)


def _check_budget(opened: Opened, pace: Pace) -> None:
    """Refuses a budget in which not one network can be tried.

    Raises:
        UsageError: It is too small; says how long one trial takes.
    """
    budget_s = opened.request.budget_s
    trial_s = pace.trial_s([Work(macs=opened.net.macs, epochs=opened.epochs, dynamic=False)]) + reserve_s(opened, pace, networks=0)
    if budget_s is not None and trial_s > budget_s:
        raise UsageError(
            f"--budget {format_duration(budget_s)} is too small: one trial takes about {format_duration(trial_s)} here "
            f"(--epochs {opened.epochs:g}); give more time, or fewer epochs"
        )
    if budget_s is None or opened.space is None:
        return
    largest = net_of(opened.space, opened.space.largest).macs
    search_s = SEARCH_RATIO * pace.static_s * largest * opened.data.train.n_images * opened.request.search_epochs
    if search_s + trial_s > budget_s:
        raise UsageError(
            f"--budget {format_duration(budget_s)} is too small: searching space {opened.space.name!r} takes about "
            f"{format_duration(search_s)} here (--search-epochs {opened.request.search_epochs:g}), and one trial about "
            f"{format_duration(trial_s)}; give more time, or fewer epochs"
        )


def _space_of(opened: Opened, plan: Plan) -> SearchSpace:
    reached = [solved.share for solved in plan.ladder.values() if solved.why is None]
    dynamic = opened.no_dynamic is None and plan.sensitivity is not None
    return SearchSpace(
        least_share=min(1.0, *reached, *plan.shares[:1], 1.0),
        n_blocks=opened.gates.n_blocks if dynamic else 0,
        bases=("given", "searched") if plan.shares else ("given",),
    )


def _seen_before(baseline: Row) -> list[str]:
    """A warning where the given network knows the validation images."""
    validation, test = baseline["accuracy_validation"], baseline["accuracy"]
    if validation is None or test is None or validation - test <= LEAK:
        return []
    return [
        f"the given network is right on {validation:.1%} of the validation images and on {test:.1%} of the test images: it was probably "
        "trained on the former too, so that validation favours it over all that was trained here; compare test accuracies"
    ]


def _fresh(trial: Trial) -> Row:
    assert trial.row is not None
    return {**trial.row, "accuracy": trial.accuracy}


def _latencies(measured: Measurement) -> Row:
    return {
        "latency_s": measured.latency_s,
        "min_s": measured.min_s,
        "ratio": measured.ratio,
        "noisy": measured.noisy,
        "measured_on": measured.host,
    }


def _by_method(rows: Sequence[Row], *, search_s: float) -> dict[str, float]:
    found: dict[str, float] = {"searched": search_s} if search_s else {}
    for row in rows:
        found[row["method"]] = found.get(row["method"], 0.0) + row["seconds"]
    return found


def _words(point: Point) -> str:
    return Trial(number=0, point=point).describe()


def _write_report(folder: StudyFolder, value: dict[str, Any]) -> None:
    from edgewise.report.explore import render_explore

    write_text(folder.path / REPORT_FILE, render_explore({**value, "run": str(folder.path)}))
