"""Solving, applying and measuring, until the target is met on the device itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from edgewise._core.errors import TargetError
from edgewise._core.progress import Progress
from edgewise._core.units import format_seconds
from edgewise.ir import NetSpec, WidthPlan
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.sampling import Sample
from edgewise.recipes.profile import Profiled, candidates_of
from edgewise.recipes.requests import FitRequest
from edgewise.recipes.solving import (
    channel_scores,
    edges_around,
    judged_worth,
    keeps_limits,
    limits_of,
    objective_of,
    offered,
    solve_in_two,
)
from edgewise.recipes.staircases import DEFAULT_FLOOR, edges_of_tie, step_of_tie
from edgewise.recipes.tie_losses import Given
from edgewise.recipes.timing import TimingJob, reached_of, time_together
from edgewise.recipes.training import Lessons
from edgewise.trace import apply_plan, choose_channels
from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import Solution, UnreachableError
from edgewise.widths.tables import TableBuilder

PARAMS_FLOOR = 0.7
"""Default floor of widths for the objective ``params``: the tutorial changes widths slightly."""
MOST_CORRECTIONS = 3
_SLACK = 0.97
"""From this share of the target on a network that meets it is good enough: what is faster is tried again, with more width."""
_MARGIN = (1 + _SLACK) / 2
"""Aim of a further attempt, as a share of the target: the middle of what is accepted, so that noise to either side is."""
_MOST_REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One set of widths, applied and measured beside the baseline.

    Attributes:
        plan: What was done.
        model: The network.
        net: The network as hardware sees it.
        widths: Widths of the solver's variables.
        baseline: Timings of the original, of the same interleaved run.
        sample: Timings of the result.
        predicted_s: Prediction from the parts.
        corrected_s: Prediction times the ratio known before this attempt was measured.
        target_s: The target in seconds.
        met: Whether it is met, and the rules on parameters and MACs hold.
        objective: ``loss``, ``importance`` or ``params``.
        corrections: Attempts after the first.
        solution: The solver's own figures.
        audit: Every network measured on the way: name, predicted, measured.
        warnings: What a person should know.
    """

    plan: WidthPlan
    model: nn.Module
    net: NetSpec
    widths: dict[str, int]
    baseline: Sample
    sample: Sample
    predicted_s: float
    corrected_s: float
    target_s: float
    met: bool
    objective: str
    corrections: int = 0
    solution: Mapping[str, Any] = field(default_factory=dict)
    audit: tuple[tuple[str, float, float], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Time over the original's: the median over the rounds of their interleaved run."""
        return self.sample.ratio_to(self.baseline)


class Fitter:
    """Brings one profiled network to a latency.

    Args:
        request: The target, and what the widths must keep to.
        profiled: The network, learnt on the device.
        database: Where timings go.
        lessons: Batches to judge channels by; none without data.
        progress: Is told how far it is.
    """

    def __init__(
        self, *, request: FitRequest, profiled: Profiled, database: LatencyDatabase, lessons: Lessons | None, progress: Progress
    ) -> None:
        self._request, self._profiled, self._database = request, profiled, database
        self._progress = progress
        model, structure = profiled.loaded.model, offered(profiled.structure, request)
        objective = objective_of(request, trained=profiled.loaded.trained, lessons=lessons)
        self._floor = request.width_floor or (PARAMS_FLOOR if objective == "params" else DEFAULT_FLOOR)
        self._scores = channel_scores(request, model, profiled.traced, trained=profiled.loaded.trained, lessons=lessons)
        given = Given(model=model, traced=profiled.traced, scores=self._scores)
        self._judged = judged_worth(objective, given, structure, lessons=lessons, progress=progress)
        pricing = profiled.pricing()
        self._builder = TableBuilder(pricing, structure, self._judged.worth)
        self._candidates = self._within(candidates_of(profiled.device, profiled.net, structure, floor=self._floor))
        self._edges = self._within(candidates_of(profiled.device, profiled.net, structure, floor=self._floor, all_edges=True))
        self._steps = {name: step_of_tie(profiled.device, pricing.lowering, profiled.net, name) for name in self._candidates}

    def run(self) -> Attempt:
        """Solves, measures, and corrects the prediction by what was measured, at most three times.

        Raises:
            TargetError: The prediction says that no widths reach the target.
        """
        request, predicted_s = self._request, self._profiled.predicted_s
        ratio = self._profiled.sample.latency_s / predicted_s
        absolute = request.latency.absolute_s
        aim_s = absolute / ratio if absolute is not None else (request.latency.ratio or 1.0) * predicted_s
        best: Attempt | None = None
        audit: list[tuple[str, float, float]] = []
        tried: set[tuple[tuple[str, int], ...]] = set()
        for correction in range(MOST_CORRECTIONS + 1):
            solution = self._new_solution(aim_s, tried, best=best, ratio=ratio)
            if solution is None:
                break
            attempt = self._measure(solution, ratio=ratio, correction=correction)
            audit.append((f"attempt {correction + 1}", attempt.predicted_s, attempt.sample.latency_s))
            best = better(best, attempt)
            reached = reached_of(request.latency, attempt.sample, baseline=attempt.baseline)
            self._progress.note(
                f"attempt {correction + 1}: predicted {format_seconds(attempt.corrected_s)}, measured "
                f"{format_seconds(attempt.sample.latency_s)}, {'meets' if attempt.met else 'misses'} the target"
            )
            if attempt.met and reached >= _SLACK:
                break
            aim_s *= _MARGIN / reached
            ratio *= attempt.sample.latency_s / attempt.corrected_s
        assert best is not None
        return self._with_story(self._never_slower(best), audit)

    def _new_solution(
        self, aim_s: float, tried: set[tuple[tuple[str, int], ...]], *, best: Attempt | None, ratio: float
    ) -> Solution | None:
        """Widths not measured yet; none where there are no others worth measuring."""
        for _ in range(_MOST_REPEATS):
            try:
                solution = self.solve(aim_s)
            except UnreachableError as error:
                if best is None:
                    raise self._unreachable(error, ratio) from error
                return None
            key = tuple(sorted(solution.widths.items()))
            if key not in tried:
                tried.add(key)
                return solution
            if best is not None and best.met:
                return None
            # These widths are known to miss: what is predicted to be faster comes next.
            aim_s = min(aim_s, solution.totals.latency_s) * _MARGIN
        return None

    def _never_slower(self, best: Attempt) -> Attempt:
        """The network as it was, where nothing meets the target and the best found is slower than that."""
        net = self._profiled.net
        fewer = self._request.params_at_least is not None and self._request.params_at_least > 1
        more = self._request.macs_at_most is not None and self._request.macs_at_most < 1
        if best.met or best.ratio <= 1 or fewer or more:
            return best
        return replace(
            best,
            plan=WidthPlan(),
            model=apply_plan(self._profiled.loaded.model, WidthPlan(), self._profiled.traced),
            net=net,
            widths={name: self._builder.present_width(name) for name in best.widths},
            sample=best.baseline,
            predicted_s=self._profiled.predicted_s,
            corrected_s=self._profiled.sample.latency_s,
            met=reached_of(self._request.latency, best.baseline, baseline=best.baseline) <= 1,
        )

    def solve(self, aim_s: float) -> Solution:
        """The widths for a predicted latency: over the candidates, then over all edges around the solution."""
        problem, limits = self.problem(self._candidates), limits_of(self._request, self._profiled.net, latency_s=aim_s)

        def nearer(widths: Mapping[str, int]) -> WidthProblem:
            return self.problem(self._around(widths))

        return solve_in_two(problem, limits, solver=self._request.solver, nearer=nearer, progress=self._progress)

    def changed_widths(self, solution: Solution) -> dict[str, int]:
        """Width after a solution of every tie that it changes."""
        present = self._profiled.net.widths
        return {name: width for name, width in self._builder.tie_widths(solution.widths).items() if width != present[name]}

    def problem(self, candidates: Mapping[str, tuple[int, ...]]) -> WidthProblem:
        """The width problem over these candidates; where a block may be left out, 0 is one, too."""
        return self._builder.problem(self._judged.with_zero(candidates), {name: self._off_step(name) for name in candidates})

    def _off_step(self, name: str) -> tuple[int, ...]:
        """The present width, where it is no right edge."""
        present, profiled = self._builder.present_width(name), self._profiled
        found = edges_of_tie(profiled.structure, profiled.net, name, step=self._steps[name], within=(present, present))
        return () if found else (present,)

    def _around(self, widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        present = self._builder.present_width
        return {name: edges_around(edges, widths[name], present=present(name)) for name, edges in self._edges.items()}

    def _within(self, candidates: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Candidates at or above the floor; the present width is one of them."""
        return {
            name: tuple(width for width in widths if width >= self._floor * self._builder.present_width(name))
            for name, widths in candidates.items()
        }

    def _measure(self, solution: Solution, *, ratio: float, correction: int) -> Attempt:
        request, profiled = self._request, self._profiled
        changed = self.changed_widths(solution)
        plan = choose_channels(profiled.traced, changed, self._scores)
        model = apply_plan(profiled.loaded.model, plan, profiled.traced)
        net = profiled.net.with_widths(changed)
        record = profiled.loaded.record.followed_by(plan, trained=False)
        fitted = replace(profiled.loaded, model=model, record=record, name=f"{profiled.loaded.name} fitted")
        jobs = [TimingJob(loaded=one, runtime=profiled.runtime) for one in (profiled.loaded, fitted)]
        device, speed = profiled.device, profiled.device.book.speed
        baseline, sample = time_together(jobs, database=self._database, progress=self._progress, speed=speed)
        device.slowdown = speed.now
        predicted_s = device.predict_s(net)
        return Attempt(
            plan=plan,
            model=model,
            net=net,
            widths=dict(solution.widths),
            baseline=baseline,
            sample=sample,
            predicted_s=predicted_s,
            corrected_s=predicted_s * ratio,
            target_s=request.latency.seconds(baseline.latency_s),
            met=reached_of(request.latency, sample, baseline=baseline) <= 1 and keeps_limits(request, profiled.net, net),
            objective=self._judged.objective,
            corrections=correction,
            solution={
                "solver": solution.solver,
                "status": solution.status,
                "gap": solution.gap,
                "seconds": solution.seconds,
                "details": dict(solution.details),
                "note": solution.note,
            },
        )

    def _unreachable(self, error: UnreachableError, ratio: float) -> TargetError:
        asked = str(self._request.latency)
        if error.fastest_s is None:
            return TargetError(f"--latency {asked} cannot be met: {error}")
        fastest_s = error.fastest_s * ratio
        share = error.fastest_s / self._profiled.predicted_s
        return TargetError(
            f"--latency {asked} is out of reach: with --width-floor {self._floor:g}x the fastest network is predicted at "
            f"{format_seconds(fastest_s)} ({share:.2f}x); ask for more time, or lower --width-floor"
        )

    def _with_story(self, best: Attempt, audit: list[tuple[str, float, float]]) -> Attempt:
        note = best.solution.get("note")
        warnings: tuple[str, ...] = (f"{best.solution['solver']}: {note}",) if note else ()
        if not best.met and keeps_limits(self._request, self._profiled.net, best.net):
            target = self._request.latency
            took = format_seconds(best.sample.latency_s) if target.ratio is None else f"{best.ratio:.3f}x"
            missed = (
                f"the target {target} was predicted but not met: {took} after "
                f"{len(audit)} attempt{'s' if len(audit) > 1 else ''}; the fastest network found is kept"
            )
            self._progress.note(f"warning: {missed}")
            warnings = (*warnings, missed)
        return replace(best, audit=tuple(audit), warnings=warnings, corrections=len(audit) - 1)


def better(best: Attempt | None, new: Attempt) -> Attempt:
    """The better of two attempts: one that meets the target, then the slower that does (it keeps more), else the faster."""
    if best is None or (new.met and not best.met):
        return new
    if best.met and not new.met:
        return best
    return new if (new.ratio > best.ratio) == new.met else best
