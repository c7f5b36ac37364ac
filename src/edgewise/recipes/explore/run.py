"""The recipe of ``edgewise explore``."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from edgewise._core.errors import EdgewiseError, UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import format_duration
from edgewise.recipes.explore.asking import Asker, SearchSpace, import_optuna
from edgewise.recipes.explore.budget import MEASURE_S, PRICE_S, Clock, Pace, Work, pace_of
from edgewise.recipes.explore.engine import Engine, reserve_s
from edgewise.recipes.explore.executor import Executor, LocalExecutor, Measurement
from edgewise.recipes.explore.finishing import Finish
from edgewise.recipes.explore.folder import REPORT_FILE, StudyFolder
from edgewise.recipes.explore.ladder import Ladder
from edgewise.recipes.explore.networks import Networks
from edgewise.recipes.explore.opening import Opened, open_study
from edgewise.recipes.explore.planning import Plan, given_points, plan_points, with_searched
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.pricing import price_runs
from edgewise.recipes.explore.request import ExploreRequest
from edgewise.recipes.explore.result import ExploreResult
from edgewise.recipes.explore.searching import Searched
from edgewise.recipes.explore.study import Bench, Study
from edgewise.recipes.explore.threads import torch_threads
from edgewise.recipes.explore.trials import Trial, replay
from edgewise.recipes.explore.watching import StudyProgress
from edgewise.recipes.searching.prices import net_of

_LEAST_POPULATION, _MOST_POPULATION = 8, 20
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
    if request.ray is not None:
        from edgewise.recipes.explore.ray_cluster import check_address

        check_address(request.ray)  # before anything that takes time
    opened = open_study(request, progress=watcher)
    if folder.begun:
        folder.check_settings(opened.settings())
    with ExitStack() as stack:
        executor = _open_executor(opened, progress=watcher)  # first, as a cluster that is not there is no reason to wait
        stack.callback(executor.close)
        pace = _pace(opened, progress=watcher)
        if not folder.begun:
            _check_budget(opened, pace)
        stack.enter_context(folder.held())
        session = _Session(opened, folder, pace, stack=stack, progress=watcher, start_s=start_s)
        return session.run(executor)


class _Session:
    """One process at work on a study, from its plan to its result."""

    def __init__(
        self, opened: Opened, folder: StudyFolder, pace: Pace, *, stack: ExitStack, progress: StudyProgress, start_s: float
    ) -> None:
        self._opened, self._folder, self._pace, self._stack, self._progress = opened, folder, pace, stack, progress
        self._before_s = time.monotonic() - start_s

    def run(self, executor: Executor) -> ExploreResult:
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
        return Finish(study, engine).run()

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
            say(f"  planned: {_words(point, study.ladder)}, about {format_duration(engine.expected_s(point))}")
        then = "" if study.asker is None else f"; then {request.sampler} proposes more"
        ends = [f"{request.trials} networks" if request.trials else "", format_duration(request.budget_s) if request.budget_s else ""]
        limit = " or ".join(end for end in ends if end)
        say(
            f"plan: {len(left)} networks, about {format_duration(expected_s)} if all are trained in full{then}"
            + (f"; ends after {limit}" if limit else "")
        )
        seconds = study.clock.left_s
        self._progress.begin("exploring, seconds", expected_s if seconds == float("inf") else max(1.0, seconds))


def _open_executor(opened: Opened, *, progress: Progress) -> Executor:
    """Who trains and measures."""
    request = opened.request
    if request.ray is not None:
        from edgewise.recipes.explore.ray_executor import RayExecutor

        return RayExecutor(request.ray, device=request.device, threads=opened.threads, progress=progress, measures=not opened.simulated)
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
    work = Work(macs=opened.net.macs, epochs=opened.epochs, dynamic=False, teacher_macs=opened.teacher_macs)
    trial_s = pace.trial_s([work]) + reserve_s(opened, pace, networks=0)
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


def _words(point: Point, ladder: Ladder) -> str:
    """A planned network in a few words, with the latency that its widths were solved for."""
    target = next((name for name, solved in ladder.known.items() if point.widths and solved.widths == point.widths), None)
    return Trial(number=0, point=point).describe() + ("" if target is None else f", solved for {target}")
