"""``edgewise fit``: the widths that meet a latency target on a device at the least loss."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgewise._core.progress import Progress, SilentProgress
from edgewise.ir import NetSpec, WidthPlan
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import describe_host
from edgewise.recipes.fitting import Attempt, Fitter
from edgewise.recipes.profile import Profiled, profile_model
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.report import run_report
from edgewise.recipes.requests import FitRequest, ProfileRequest, ReportRequest
from edgewise.recipes.runs import append_log, load_request, prepare_folder, write_run
from edgewise.recipes.training import Trained, open_training, train_result
from edgewise.recipes.why import WhyRow, explain
from edgewise.train.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is known of a network: the baseline, or the result.

    Attributes:
        latency_s: Median latency, measured.
        min_s: Minimum latency, measured interleaved with the other network.
        macs: Multiply-accumulates for one input.
        params: Learnt parameters.
        accuracy: On the test part, or none without data.
        accuracy_validation: On the validation part, or none without data.
        predicted_s: Predicted from its parts.
        corrected_s: Predicted, times the ratio that the baseline and the attempts before showed.
    """

    latency_s: float
    min_s: float
    macs: int
    params: int
    accuracy: float | None = None
    accuracy_validation: float | None = None
    predicted_s: float | None = None
    corrected_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a fit found, and the network itself.

    Attributes:
        model: The fitted network, in evaluation mode.
        plan: What was done to the original.
        value: All figures as JSON values, as written to ``result.json``.
    """

    model: LoadedModel
    plan: WidthPlan
    value: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return dict(self.value)


def run_fit(request: FitRequest, *, progress: Progress | None = None, user: Any = None) -> FitResult:  # noqa: ANN401
    """Fits a network to a latency.

    Args:
        request: What to fit, and to what.
        progress: Is told how far it is.
        user: A :class:`LoadedModel` to use in place of the one that the request names.

    Raises:
        TargetError: The target is out of reach; says the fastest that is not. No run is written.
        EdgewiseError: Something else in the request is wrong.
    """
    watcher = progress or SilentProgress()
    start_s = time.monotonic()
    if request.out is not None:
        prepare_folder(request.out, resume=request.resume)
    loaded: LoadedModel = user if user is not None else load_request(request.model)
    data = open_training(request.data, loaded, progress=watcher)
    with LatencyDatabase(request.device.db, progress=watcher) as database:
        profiled = profile_model(loaded, _profile_request(request), database=database, progress=watcher)
        if request.out is not None:
            append_log(request.out, {"event": "profiled", "probes": profiled.probes, "seconds": profiled.seconds})
        fitter = Fitter(request=request, profiled=profiled, database=database, data=data, progress=watcher)
        attempt = fitter.run()
        if request.out is not None:
            append_log(request.out, {"event": "solved", "widths": attempt.widths, "met": attempt.met})
        why = explain(profiled.net, attempt.net, runtime=profiled.runtime, database=database, progress=watcher)
    trained = train_result(request, loaded, attempt.model, data, progress=watcher)
    return _finish(request, profiled, attempt, trained=trained, data=data, why=why, seconds=time.monotonic() - start_s)


def _finish(
    request: FitRequest,
    profiled: Profiled,
    attempt: Attempt,
    *,
    trained: Trained,
    data: Dataset | None,
    why: tuple[WhyRow, ...],
    seconds: float,
) -> FitResult:
    loaded = profiled.loaded
    record = loaded.record.followed_by(attempt.plan, trained=loaded.trained or trained.fine_tuned)
    value = _value(request, profiled, attempt, trained=trained, why=why, seconds=seconds)
    result = FitResult(model=LoadedModel(model=trained.model, record=record, name=loaded.name), plan=attempt.plan, value=value)
    if request.out is not None:
        write_run(request.out, trained.model, record=record, result=value)
        run_report(ReportRequest(runs=(request.out,)))
        trained.remove_checkpoint()
    return replace(result, model=replace(result.model, name=str(request.out or loaded.name)))


def _value(
    request: FitRequest, profiled: Profiled, attempt: Attempt, *, trained: Trained, why: tuple[WhyRow, ...], seconds: float
) -> dict[str, Any]:
    before, after = profiled.net, attempt.net
    baseline = Figures(
        latency_s=attempt.baseline.latency_s,
        min_s=attempt.baseline.min_s,
        macs=before.macs,
        params=before.params,
        accuracy=trained.baseline_accuracy,
        accuracy_validation=trained.baseline_validation,
        predicted_s=profiled.predicted_s,
    )
    result = Figures(
        latency_s=attempt.sample.latency_s,
        min_s=attempt.sample.min_s,
        macs=after.macs,
        params=after.params,
        accuracy=trained.accuracy,
        accuracy_validation=trained.accuracy_validation,
        predicted_s=attempt.predicted_s,
        corrected_s=attempt.corrected_s,
    )
    settings = profiled.runtime.settings
    return {
        "model": profiled.loaded.name,
        "device": settings.device,
        "threads": settings.threads,
        "batch": settings.batch,
        "precision": settings.precision,
        "kind": "measured",
        "target": str(request.latency),
        "target_s": attempt.target_s,
        "met": attempt.met,
        "solver": request.solver,
        "objective": attempt.objective,
        "baseline": baseline.to_json(),
        "result": result.to_json(),
        "widths_before": widths_of(before),
        "widths": widths_of(after),
        "left_alone": [{"name": one.name, "reason": one.reason} for one in before.left_alone],
        "corrections": attempt.corrections,
        "solution": attempt.solution,
        "fine_tune": trained.to_json(),
        "why": [row.to_json() for row in why],
        "profile": profiled.to_json(),
        "audit": [{"name": name, "predicted_s": predicted, "measured_s": measured} for name, predicted, measured in attempt.audit],
        "warnings": [*profiled.warnings, *attempt.warnings, *trained.warnings],
        "provenance": _provenance(request, profiled),
        "seconds": seconds,
    }


def widths_of(net: NetSpec) -> dict[str, int]:
    """Output width of every convolution and linear layer."""
    return {layer.name: layer.out_channels for layer in net.priced}


def _profile_request(request: FitRequest) -> ProfileRequest:
    return ProfileRequest(
        model=request.model, device=request.device, width_floor=request.width_floor, keep=request.keep, only=request.only, seed=request.seed
    )


def _provenance(request: FitRequest, profiled: Profiled) -> dict[str, Any]:
    host = describe_host()
    identity = profiled.runtime.identity()
    return {
        "cpu": host.cpu,
        "isa": host.isa,
        "cores": host.cores,
        "system": host.system,
        "runtime": f"{identity.runtime} {identity.version}",
        "versions": dict(host.versions),
        "seed": request.seed,
        "date": time.strftime("%Y-%m-%d"),
    }
