"""``edgewise fit``: the widths that meet a latency target on a device at the least loss."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from edgewise._core.errors import EdgewiseError, RunError
from edgewise._core.files import write_text
from edgewise._core.progress import Progress, SilentProgress
from edgewise.deploy.parity import Parity
from edgewise.ir import NetSpec, WidthPlan
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import provenance
from edgewise.recipes.export import write_and_check
from edgewise.recipes.fitting import Attempt, Fitter
from edgewise.recipes.profile import Profiled, profile_model
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.refitting import refit_fitted
from edgewise.recipes.report import run_report
from edgewise.recipes.requests import FitRequest, ProfileRequest, ReportRequest
from edgewise.recipes.runs import REPORT_FILE, append_log, is_finished, load_request, load_run, prepare_folder, write_run
from edgewise.recipes.saving import save_fitted
from edgewise.recipes.showing import fit_card, ratio_of
from edgewise.recipes.simulated.opening import is_simulated
from edgewise.recipes.training import Course, DataCourse, NoCourse, Trained, open_training
from edgewise.recipes.unfinished import Kept, check_same, forget, keep, kept, settings_of
from edgewise.recipes.why import WhyRow, explain
from edgewise.report import from_json, render_run
from edgewise.train.batches import JudgedData


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is known of a network: the baseline, or the result.

    Attributes:
        latency_s: Median latency, measured.
        min_s: Minimum latency, measured interleaved with the other network.
        ratio: Latency over the baseline's: the median over the rounds of their interleaved run.
        macs: Multiply-accumulates for one input.
        params: Learnt parameters.
        accuracy: On the test part, or none without data.
        accuracy_validation: On the validation part, or none without data.
        predicted_s: Predicted from its parts.
        corrected_s: Predicted, times the ratio that the baseline and the attempts before showed.
    """

    latency_s: float
    min_s: float
    ratio: float
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
        folder: The run folder; none where none was asked for.
    """

    model: LoadedModel
    plan: WidthPlan
    value: Mapping[str, Any]
    folder: Path | None = None

    @property
    def module(self) -> nn.Module:
        """The fitted network: a plain module, in evaluation mode."""
        return self.model.model

    @property
    def met(self) -> bool:
        """Whether the target was met: as measured or, on a simulated device, as simulated."""
        return bool(self.value["met"])

    @property
    def speed_ratio(self) -> float:
        """Latency over that of the original: the median over the rounds of one interleaved run, or as simulated."""
        return ratio_of(self.value)

    @property
    def latency_s(self) -> float:
        """Median latency in seconds."""
        return float(self.value["result"]["latency_s"])

    @property
    def accuracy(self) -> float | None:
        """Share of the test part that is right; none without one."""
        found: float | None = self.value["result"]["accuracy"]
        return found

    @property
    def widths(self) -> dict[str, int]:
        """Output width of every convolution and linear layer; 0 for those left out."""
        return dict(self.value["widths"])

    def save(self, folder: str | Path) -> None:
        """Writes weights and plan of a module; ``edgewise.load(original, inputs=..., saved=folder)`` makes it again.

        Raises:
            StorageError: The disk is full or not writable.
        """
        save_fitted(Path(folder), self.module, self.plan, figures=self.value)

    def export(self, file: str | Path) -> Parity:
        """Writes an ``.onnx`` or (OpenVINO) ``.xml`` file, and checks that it computes the same; :func:`edgewise.export` times it too.

        Raises:
            UsageError: Another suffix.
            ExportError: The network cannot be written so, or the file computes something else.
        """
        return write_and_check(self.model, Path(file))

    def write_report(self, file: str | Path) -> None:
        """Writes the self-contained HTML report.

        Raises:
            StorageError: The disk is full or not writable.
        """
        write_text(Path(file), render_run(from_json(self.value, name=str(self.value["model"]))))

    def __repr__(self) -> str:
        """The result as people read it."""
        return fit_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return fit_card(self.to_json(), pictures=True).html()

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values, and where the run and its report lie."""
        places = {} if self.folder is None else {"run": str(self.folder), "report": str(self.folder / REPORT_FILE)}
        return {**self.value, **places}


def run_fit(
    request: FitRequest,
    *,
    loaded: LoadedModel | None = None,
    data: JudgedData | None = None,
    course: Course | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Fits a network to a latency.

    Args:
        request: What to fit, and to what.
        loaded: The model where it is in memory already; the request's own is then not read.
        data: The data where it is in memory already; of the request's, epochs and seed count.
        course: How the result is trained and judged, where that is a caller's own way; data is then not read.
        progress: Is told how far it is.

    Raises:
        TargetError: The target is out of reach; says the fastest that is not. No run is written.
        EdgewiseError: Something else in the request is wrong.
    """
    watcher = progress or SilentProgress()
    if request.out is not None:
        prepare_folder(request.out, resume=request.resume)
    try:
        network = load_request(request.model, loaded=loaded)
        if request.resume and request.out is not None and is_finished(request.out):
            return _finished(request, network, request.out, progress=watcher)
        if course is None:
            opened = open_training(request.data, network, given=data, progress=watcher)
            course = NoCourse() if opened is None else DataCourse(request, opened)
        return fit_network(request, network, course, progress=watcher)
    except EdgewiseError:
        _leave_no_trace(request.out)
        raise


def fit_network(request: FitRequest, loaded: LoadedModel, course: Course, *, progress: Progress) -> FitResult:
    """Fits a loaded network; ``request.model`` and ``request.data`` are not read any more.

    Args:
        request: The target and what the widths must keep to.
        loaded: The network.
        course: How the result is trained and judged.
        progress: Is told how far it is.

    Raises:
        TargetError: The target is out of reach.
    """
    if is_simulated(request.device.device):
        # It imports from here what measured and simulated fits share.
        from edgewise.recipes.simulated.fit import fit_simulated

        return fit_simulated(request, loaded, course, progress=progress)
    start_s = time.monotonic()
    settings, lessons = settings_of(request, loaded), course.lessons
    known = kept(request.out, settings) if request.resume and request.out is not None else None
    with LatencyDatabase(request.device.db, progress=progress) as database:
        profiled = profile_model(loaded, _profile_request(request), database=database, progress=progress)
        if known is None:
            fitter = Fitter(request=request, profiled=profiled, database=database, lessons=lessons, progress=progress)
            attempt = fitter.run()
            known = Kept(attempt={}, profile=profiled.to_json(), seconds=time.monotonic() - start_s)
            _keep(request, attempt, known, settings)
            start_s = time.monotonic()
        else:
            attempt = known.rebuilt(profiled)
            progress.note(f"going on with the widths found before in {request.out}")
        why = explain(profiled.net, attempt.net, runtime=profiled.runtime, database=database, progress=progress)
    refitted = refit_fitted(loaded, profiled.traced, attempt.model, attempt.plan, lessons=lessons, progress=progress)
    trained = course.train(loaded, attempt.model, progress=progress)
    found = _Found(
        profiled=profiled, attempt=attempt, refitted=refitted, trained=trained, why=why, profile=known.profile, settings=settings
    )
    return _finish(request, found, seconds=known.seconds + time.monotonic() - start_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """All that a finished fit knows."""

    profiled: Profiled
    attempt: Attempt
    refitted: tuple[str, ...]
    trained: Trained
    why: tuple[WhyRow, ...]
    profile: Mapping[str, Any]
    settings: Mapping[str, Any]


def _keep(request: FitRequest, attempt: Attempt, known: Kept, settings: Mapping[str, Any]) -> None:
    if request.out is None:
        return
    append_log(request.out, {"event": "profiled", "probes": known.profile["probes"], "seconds": known.profile["seconds"]})
    append_log(request.out, {"event": "solved", "widths": attempt.widths, "met": attempt.met})
    keep(request.out, attempt, profile=known.profile, settings=settings, seconds=known.seconds)


def _finish(request: FitRequest, found: _Found, *, seconds: float) -> FitResult:
    loaded, trained = found.profiled.loaded, found.trained
    record = loaded.record.followed_by(found.attempt.plan, trained=loaded.trained or trained.fine_tuned)
    model = replace(loaded, model=trained.model, record=record, name=str(request.out or f"{loaded.name}, fitted"))
    result = FitResult(model=model, plan=found.attempt.plan, value=_value(request, found, seconds=seconds), folder=request.out)
    if request.out is not None:
        write_run(request.out, trained.model, record=record, result=result.value)
        run_report(ReportRequest(runs=(request.out,)))
        forget(request.out)
        trained.clean_up()
    return result


def _finished(request: FitRequest, loaded: LoadedModel, folder: Path, *, progress: Progress) -> FitResult:
    """The run that is there already, if it is the one asked for."""
    run = load_run(folder)
    check_same(folder, run.result.get("settings") or {}, settings_of(request, loaded))
    if not (folder / REPORT_FILE).exists():
        run_report(ReportRequest(runs=(folder,)))
    forget(folder)
    progress.note(f"the run in {folder} is finished already")
    plan = run.loaded.plans[-1] if run.loaded.plans else None
    if not isinstance(plan, WidthPlan):
        raise RunError(f"the run in {folder} is not a fit; choose another --out")
    return FitResult(model=run.loaded, plan=plan, value=run.result, folder=folder)


def _leave_no_trace(folder: Path | None) -> None:
    """Removes the folder of a run that never began."""
    if folder is not None and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _value(request: FitRequest, found: _Found, *, seconds: float) -> dict[str, Any]:
    profiled, attempt, trained = found.profiled, found.attempt, found.trained
    before, after = profiled.net, attempt.net
    baseline, result = _figures(profiled, attempt, trained)
    settings, identity = profiled.runtime.settings, profiled.runtime.identity()
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
        "score": None if trained.score is None else {"baseline": trained.score_before, "result": trained.score},
        "widths_before": widths_of(before),
        "widths": widths_after(before, after),
        "left_out": left_out_of(before, attempt.plan),
        "left_alone": [{"name": one.name, "reason": one.reason} for one in before.left_alone],
        "corrections": attempt.corrections,
        "solution": attempt.solution,
        "refitted": list(found.refitted),
        "fine_tune": trained.to_json(),
        "why": [_why_json(row) for row in found.why],
        "profile": found.profile,
        "audit": [{"name": name, "predicted_s": predicted, "measured_s": measured} for name, predicted, measured in attempt.audit],
        "warnings": [*found.profile["warnings"], *attempt.warnings, *trained.warnings],
        "settings": found.settings,
        "provenance": {**provenance(seed=request.seed), "runtime": f"{identity.runtime} {identity.version}"},
        "seconds": seconds,
    }


def _figures(profiled: Profiled, attempt: Attempt, trained: Trained) -> tuple[Figures, Figures]:
    before, after = profiled.net, attempt.net
    baseline = Figures(
        latency_s=attempt.baseline.latency_s,
        min_s=attempt.baseline.min_s,
        ratio=1.0,
        macs=before.macs,
        params=before.params,
        accuracy=trained.baseline_accuracy,
        accuracy_validation=trained.baseline_validation,
        predicted_s=profiled.predicted_s,
    )
    result = Figures(
        latency_s=attempt.sample.latency_s,
        min_s=attempt.sample.min_s,
        ratio=attempt.ratio,
        macs=after.macs,
        params=after.params,
        accuracy=trained.accuracy,
        accuracy_validation=trained.accuracy_validation,
        predicted_s=attempt.predicted_s,
        corrected_s=attempt.corrected_s,
    )
    return baseline, result


def widths_of(net: NetSpec) -> dict[str, int]:
    """Output width of every convolution and linear layer."""
    return {layer.name: layer.out_channels for layer in net.priced}


def widths_after(before: NetSpec, after: NetSpec) -> dict[str, int]:
    """Output width now of every convolution and linear layer that there was; 0 for those of blocks left out."""
    now = widths_of(after)
    return {layer.name: now.get(layer.name, 0) for layer in before.priced}


def left_out_of(net: NetSpec, plan: WidthPlan) -> list[str]:
    """Names of the residual blocks that a plan leaves out."""
    return [block.name for block in net.left_out(plan.widths)]


def _why_json(row: WhyRow) -> dict[str, Any]:
    """The row; a layer that is left out does nothing, and takes no time."""
    gone = {"macs_after": 0, "latency_after_s": 0.0} if row.latency_after_s is None else {}
    return {**row.to_json(), **gone}


def _profile_request(request: FitRequest) -> ProfileRequest:
    return ProfileRequest(
        model=request.model,
        device=request.device,
        width_floor=request.width_floor,
        keep=request.keep,
        only=request.only,
        seed=request.seed,
        calibrate=request.calibrate,
    )
