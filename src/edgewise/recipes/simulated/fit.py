"""``edgewise fit`` on a simulated device: every latency is simulated, and nothing is measured."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgewise._core.progress import Progress
from edgewise.ir import NetSpec, WidthPlan
from edgewise.measure.host import provenance
from edgewise.recipes.fit import FitResult, left_out_of, widths_after, widths_of
from edgewise.recipes.fitting import PARAMS_FLOOR
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.refitting import refit_fitted
from edgewise.recipes.report import run_report
from edgewise.recipes.requests import FitRequest, ProfileRequest, ReportRequest
from edgewise.recipes.runs import append_log, write_run
from edgewise.recipes.simulated.opening import precision_of
from edgewise.recipes.simulated.profile import SimulatedProfile, profile_simulated
from edgewise.recipes.simulated.simulate import Simulation, simulate_net
from edgewise.recipes.simulated.solving import SimulatedSolver
from edgewise.recipes.simulated.why import explain_simulated
from edgewise.recipes.solving import channel_scores, judged_worth, keeps_limits, objective_of, offered
from edgewise.recipes.staircases import DEFAULT_FLOOR
from edgewise.recipes.tie_losses import Given
from edgewise.recipes.training import Course, Trained
from edgewise.recipes.unfinished import settings_of
from edgewise.trace import apply_plan, choose_channels
from edgewise.widths.solution import Solution


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """All that a finished fit knows."""

    profile: SimulatedProfile
    solution: Solution
    plan: WidthPlan
    net: NetSpec
    after: Simulation
    target_s: float
    objective: str
    refitted: tuple[str, ...]
    trained: Trained
    settings: Mapping[str, Any]
    keeps_limits: bool

    @property
    def met(self) -> bool:
        return self.keeps_limits and self.after.latency_s <= self.target_s * (1 + 1e-9)


def fit_simulated(request: FitRequest, loaded: LoadedModel, course: Course, *, progress: Progress) -> FitResult:
    """Fits a loaded network to a latency on a simulated device.

    Args:
        request: The target and what the widths must keep to.
        loaded: The network.
        course: How the result is trained and judged.
        progress: Is told how far it is.

    Raises:
        TargetError: The target is out of reach.
    """
    start_s = time.monotonic()
    settings = settings_of(request, loaded)
    lessons = course.lessons
    objective = objective_of(request, trained=loaded.trained, lessons=lessons)
    floor = request.width_floor or (PARAMS_FLOOR if objective == "params" else DEFAULT_FLOOR)
    profile = profile_simulated(loaded, _profile_request(request, floor=floor), progress=progress)
    scores = channel_scores(request, profile.loaded.model, profile.traced, trained=loaded.trained, lessons=lessons)
    given = Given(model=loaded.model, traced=profile.traced, scores=scores)
    judged = judged_worth(objective, given, offered(profile.structure, request), lessons=lessons, progress=progress)
    solver = SimulatedSolver(request, profile, judged=judged, floor=floor, progress=progress)
    solution, widths = solver.run()
    plan = choose_channels(profile.traced, widths, scores)
    net = profile.net.with_widths(widths)
    if request.out is not None:
        append_log(request.out, {"event": "solved", "widths": dict(solution.widths)})
    model = apply_plan(loaded.model, plan, profile.traced)
    refitted = refit_fitted(loaded, profile.traced, model, plan, lessons=lessons, progress=progress)
    trained = course.train(loaded, model, progress=progress)
    found = _Fitted(
        profile=profile,
        solution=solution,
        plan=plan,
        net=net,
        after=simulate_net(net, profile.gpu),
        target_s=solver.target_s,
        objective=judged.objective,
        refitted=refitted,
        trained=trained,
        settings=settings,
        keeps_limits=keeps_limits(request, profile.net, net),
    )
    return _finish(request, found, seconds=time.monotonic() - start_s)


def _finish(request: FitRequest, found: _Fitted, *, seconds: float) -> FitResult:
    loaded, trained = found.profile.loaded, found.trained
    record = loaded.record.followed_by(found.plan, trained=loaded.trained or trained.fine_tuned)
    model = replace(loaded, model=trained.model, record=record, name=str(request.out or f"{loaded.name}, fitted"))
    result = FitResult(model=model, plan=found.plan, value=_value(request, found, seconds=seconds), folder=request.out)
    if request.out is not None:
        write_run(request.out, trained.model, record=record, result=result.value)
        run_report(ReportRequest(runs=(request.out,)))
        trained.clean_up()
    return result


def _value(request: FitRequest, found: _Fitted, *, seconds: float) -> dict[str, Any]:
    profile, trained = found.profile, found.trained
    before, after = profile.net, found.net
    return {
        "model": profile.loaded.name,
        "device": profile.gpu.name,
        "batch": profile.gpu.batch,
        "precision": precision_of(profile.gpu),
        "kind": "simulated",
        "target": str(request.latency),
        "target_s": found.target_s,
        "met": found.met,
        "solver": request.solver,
        "objective": found.objective,
        "baseline": _figures(before, profile.simulation, trained.baseline_accuracy, trained.baseline_validation),
        "result": _figures(after, found.after, trained.accuracy, trained.accuracy_validation),
        "score": None if trained.score is None else {"baseline": trained.score_before, "result": trained.score},
        "widths_before": widths_of(before),
        "widths": widths_after(before, after),
        "left_out": left_out_of(before, found.plan),
        "left_alone": [{"name": one.name, "reason": one.reason} for one in before.left_alone],
        "corrections": 0,
        "solution": _solution(found.solution),
        "refitted": list(found.refitted),
        "fine_tune": trained.to_json(),
        "why": [row.to_json() for row in explain_simulated(profile.simulation, found.after) if row.macs_before],
        "profile": profile.to_json(),
        "audit": [],
        "warnings": [*profile.warnings, *_missed(found), *trained.warnings],
        "settings": dict(found.settings),
        "provenance": {**provenance(seed=request.seed), **dict(profile.gpu.about)},
        "seconds": seconds,
    }


def _figures(net: NetSpec, simulation: Simulation, accuracy: float | None, validation: float | None) -> dict[str, Any]:
    """What is known of a network. There are no repeats on a device that is not here, so no minimum."""
    return {
        "latency_s": simulation.latency_s,
        "kind": "simulated",
        "macs": net.macs,
        "params": net.params,
        "accuracy": accuracy,
        "accuracy_validation": validation,
        **simulation.figures(),
    }


def _solution(solution: Solution) -> dict[str, Any]:
    names = ("solver", "status", "gap", "seconds", "note")
    return {**{name: getattr(solution, name) for name in names}, "details": dict(solution.details)}


def _missed(found: _Fitted) -> tuple[str, ...]:
    return () if found.met else (f"the {found.solution.solver} solver does not reach the target; the exact one may",)


def _profile_request(request: FitRequest, *, floor: float) -> ProfileRequest:
    return ProfileRequest(
        model=request.model, device=request.device, width_floor=floor, keep=request.keep, only=request.only, seed=request.seed
    )
