"""The recipe of ``edgewise sparsify``."""

import json
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgewise._core.errors import EdgewiseError, RunError, UsageError
from edgewise._core.files import write_json
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.showing import counted
from edgewise.dynamic import GatedNetwork
from edgewise.ir.gates import GatePlan
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.report import run_report
from edgewise.recipes.requests import ReportRequest
from edgewise.recipes.runs import REPORT_FILE, append_log, is_finished, load_request, load_run, prepare_folder, write_run
from edgewise.recipes.showing import sparsify_card
from edgewise.recipes.sparsify.latency import time_dense, time_side_by_side
from edgewise.recipes.sparsify.ratios import Chosen, choose_for_latency, choose_for_macs, gates_of, refined_for_macs, sensitivity_of
from edgewise.recipes.sparsify.request import SparsifyRequest
from edgewise.recipes.sparsify.result import Found, result_value
from edgewise.recipes.sparsify.settling import record_left, without_gates
from edgewise.recipes.sparsify.start import Start
from edgewise.recipes.sparsify.training import Judged, timed, train_gated
from edgewise.recipes.training import open_training
from edgewise.recipes.unfinished import check_same
from edgewise.trace import trace
from edgewise.train.batches import JudgedData
from edgewise.train.checkpoint import fingerprint

PLAN_FILE = "gates.json"
"""Ratios of an unfinished run: going on takes them from there."""


@dataclass(frozen=True, kw_only=True)
class SparsifyResult:
    """A network that prunes its maps for each input, and all figures.

    Attributes:
        model: The network with its gates, in evaluation mode.
        value: All figures as JSON values, as written to ``result.json``.
        folder: The run folder; none where none was asked for.
    """

    model: LoadedModel
    value: Mapping[str, Any]
    folder: Path | None = None

    @property
    def module(self) -> GatedNetwork:
        """The network with its gates: a module that prunes for each input, in evaluation mode."""
        assert isinstance(self.model.model, GatedNetwork)
        return self.model.model

    @property
    def plan(self) -> GatePlan:
        """Its gates and their ratios."""
        return self.module.full_plan

    @property
    def accuracy(self) -> float | None:
        """Share of the test part that is right; none without one."""
        found: float | None = self.value["result"]["accuracy"]
        return found

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the fastest dense runtime, as measured; none where nothing was timed."""
        return None if self.value["latency"] is None else float(self.value["latency"]["speedup"])

    def __repr__(self) -> str:
        """The result as people read it."""
        return sparsify_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return sparsify_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values, and where the run and its report lie."""
        places = {} if self.folder is None else {"run": str(self.folder), "report": str(self.folder / REPORT_FILE)}
        return {**self.value, **places}


def run_sparsify(
    request: SparsifyRequest, *, loaded: LoadedModel | None = None, data: JudgedData | None = None, progress: Progress | None = None
) -> SparsifyResult:
    """Prunes a network's maps for each input: chooses ratios where asked to, trains with the masks on, judges, times.

    Args:
        request: The network and what to do.
        loaded: The model where it is in memory already; the request's own is then not read.
        data: The data where it is in memory already; of the request's, epochs and seed count.
        progress: Is told how far it is.

    Raises:
        SpecError: The network has nothing to gate.
        PlanError: The ratios are not what the network needs.
        TargetError: The target is out of reach.
        EdgewiseError: Something else in the request is wrong.
    """
    watcher, start_s = progress or SilentProgress(), time.monotonic()
    if request.out is not None:
        prepare_folder(request.out, resume=request.resume)
    try:
        network = load_request(request.model, loaded=loaded, gates=True).without_gates()
        settings = _settings(request, network)
        if request.resume and request.out is not None and is_finished(request.out):
            return _finished(request.out, settings, progress=watcher)
        traced = trace(network.model, network.inputs(), name=network.name)
        gates = gates_of(traced.net, request.ratios)
        opened = open_training(request.data, network, given=data, progress=watcher)
        start = Start.of(network, traced, gates, opened)
        if start.balanced_maps:
            watcher.note(
                f"{counted(len(start.balanced_maps), 'map')} balanced: attention ranks channels by what their readers make of them"
            )
        plan, chosen = _planned(request, start, settings=settings, progress=watcher)
    except EdgewiseError:
        if request.out is not None and request.out.is_dir() and not any(request.out.iterdir()):
            request.out.rmdir()
        raise
    judged = train_gated(request, start, plan, progress=watcher)
    found = Found(loaded=network, net=traced.net, plan=plan, chosen=chosen, balanced=start.balanced_maps, judged=judged, data=opened)
    found = _measured(request, found, progress=watcher)
    return _finish(request, found, settings=settings, seconds=time.monotonic() - start_s, progress=watcher)


def _planned(request: SparsifyRequest, start: Start, *, settings: Mapping[str, Any], progress: Progress) -> tuple[GatePlan, Chosen | None]:
    """The ratios: kept by an unfinished run, given, or chosen now."""
    kept = _kept(request.out, settings) if request.resume and request.out is not None else None
    if kept is not None:
        known = GatePlan.from_json(kept["plan"])
        return known, None if kept["chosen"] is None else Chosen.from_json(known, kept["chosen"])
    chosen = _chosen(request, start, progress=progress) if request.ratios.chosen else None
    plan = start.plan if chosen is None else chosen.plan
    if request.out is not None:
        append_log(request.out, {"event": "gates", "channel": plan.channel_ratios, "spatial": plan.spatial_ratios})
        value = {"settings": dict(settings), "plan": plan.to_json(), "chosen": None if chosen is None else chosen.to_json()}
        write_json(request.out / PLAN_FILE, value)
    return plan, chosen


def _chosen(request: SparsifyRequest, start: Start, *, progress: Progress) -> Chosen:
    if not start.loaded.trained:
        raise UsageError(
            f"{start.loaded.name} was never trained, so that what its blocks lose says nothing; give --weights, a run folder, or the ratios"
        )
    sensitivity = sensitivity_of(request, start, progress=progress)
    if request.ratios.macs_at_most is not None:
        alone = choose_for_macs(request.ratios, start.net, start.plan, sensitivity)
        return refined_for_macs(request, start, alone, progress=progress)
    dense = time_dense(request, start.loaded, progress=progress)
    return choose_for_latency(request, start, sensitivity, dense=dense, progress=progress)


def _measured(request: SparsifyRequest, found: Found, *, progress: Progress) -> Found:
    """Adds what dense and dynamic network take, side by side; a one-for-all network at each of its budgets."""
    if not request.measure:
        return found
    judged, loaded = found.judged, found.loaded
    network = judged.model
    timing = time_side_by_side(request, loaded, without_gates(loaded, network, judged.removal), _at_budgets(network), progress=progress)
    if network.budgets:
        network = timed(network, tuple(sample.latency_s for sample in timing.dynamic)).eval()
    return replace(found, judged=replace(judged, model=network), timing=timing)


def _at_budgets(network: GatedNetwork) -> list[GatedNetwork]:
    """The network at each of its budgets; itself where it has none."""
    found = []
    for place in range(len(network.budgets)):
        found.append(deepcopy(network))
        found[-1].switch(place)
    return found or [network]


def _finish(request: SparsifyRequest, found: Found, *, settings: Mapping[str, Any], seconds: float, progress: Progress) -> SparsifyResult:
    loaded, judged = found.loaded, found.judged
    trained = loaded.trained or judged.fine_tuned
    record = record_left(loaded, judged.removal).followed_by(judged.model.full_plan, trained=trained)
    model = LoadedModel(model=judged.model, record=record, name=str(request.out or f"{loaded.name}, pruned"), example=loaded.example)
    value = result_value(request, found, settings=settings, seconds=seconds, progress=progress)
    if request.out is not None:
        write_run(request.out, judged.model, record=record, result=value)
        run_report(ReportRequest(runs=(request.out,)))
        _clean_up(request.out, judged)
    return SparsifyResult(model=model, value=value, folder=request.out)


def _finished(folder: Path, settings: Mapping[str, Any], *, progress: Progress) -> SparsifyResult:
    run = load_run(folder)
    check_same(folder, run.result.get("settings") or {}, settings)
    if not (folder / REPORT_FILE).exists():
        run_report(ReportRequest(runs=(folder,)))
    progress.note(f"the run in {folder} is finished already")
    return SparsifyResult(model=run.loaded, value=run.result, folder=folder)


def _clean_up(folder: Path, judged: Judged) -> None:
    for path in (folder / PLAN_FILE, *judged.scratch):
        path.unlink(missing_ok=True)


def _kept(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    path = folder / PLAN_FILE
    if not path.exists():
        return None
    try:
        value = dict(json.loads(path.read_bytes()))
        before = dict(value["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error
    check_same(folder, before, settings)
    return value


def _settings(request: SparsifyRequest, loaded: LoadedModel) -> dict[str, Any]:
    """What makes the run what it is, as JSON values: to go on with it, all must be the same."""
    data = request.data
    value = {
        "model": loaded.source.label,
        "weights": fingerprint(loaded.model)[:16],
        "channel ratios": request.ratios.channels,
        "spatial ratios": request.ratios.positions,
        "macs at most": request.ratios.macs_at_most,
        "latency": None if request.ratios.latency is None else str(request.ratios.latency),
        "block outputs": request.ratios.block_outputs,
        "remove": request.ratios.remove,
        "changing": request.ratios.changing,
        "images": request.ratios.images,
        "threads": request.device.threads,
        "batch": request.device.batch,
        "data": None if data is None else asdict(data),
        "ramp": request.ramp,
        "lr": request.lr,
        "distill": request.distill,
        "one for all": request.one_for_all,
        "seed": request.seed,
    }
    return dict(json.loads(json.dumps(value)))
