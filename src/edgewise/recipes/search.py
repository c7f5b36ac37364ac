"""``edgewise search``: the network of a space that meets a latency at the best accuracy, found in one network."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewise._core.errors import EdgewiseError
from edgewise._core.files import write_text
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import LatencyTarget
from edgewise.ir import ArchPlan
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import provenance
from edgewise.measure.lock import untimed
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.runs import REPORT_FILE, append_log, is_finished, load_run, prepare_folder, write_run
from edgewise.recipes.search_request import SearchRequest
from edgewise.recipes.searching.aiming import Hit, aim, network_of, shoot
from edgewise.recipes.searching.comparing import compared
from edgewise.recipes.searching.kept import SEARCH_FILE, KeptSearch, forget_search, keep_chosen, keep_search, kept_chosen, kept_search
from edgewise.recipes.searching.opening import Opened, open_search, open_space
from edgewise.recipes.searching.processes import agreed_number, agreed_plan, agreed_prices, heard, joined
from edgewise.recipes.searching.refining import Refined, Refiner
from edgewise.recipes.searching.results import front_row, headline, settings_of, with_figures
from edgewise.recipes.showing import search_card
from edgewise.recipes.training import CHECKPOINT_FILE, history_of, warnings_of
from edgewise.recipes.unfinished import check_same
from edgewise.report.search import render_search
from edgewise.singlepath.baselines import Scored, inherited_score
from edgewise.singlepath.choosing import choose
from edgewise.singlepath.derive import at_training_scale, inherited
from edgewise.singlepath.search import SearchOutcome, search
from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.step_cost import step_cost_ratio
from edgewise.singlepath.supernet import Supernet
from edgewise.space import Space
from edgewise.train.checkpoint import Checkpoint
from edgewise.train.data import Dataset
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import FineTune, FineTuneResult, Goal, fine_tune

LEARNING_RATE = 0.1
"""Largest learning rate of the training of what was found, whatever it starts from."""
_STEP_IMAGES = 32


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found, and the network itself.

    Attributes:
        model: The network, in evaluation mode.
        plan: What its blocks are.
        value: All figures as JSON values, as written to ``result.json``.
        folder: The run folder; none where none was asked for.
    """

    model: LoadedModel
    plan: ArchPlan
    value: Mapping[str, Any]
    folder: Path | None = None

    @property
    def module(self) -> nn.Module:
        """The network found: a plain module, in evaluation mode."""
        return self.model.model

    @property
    def met(self) -> bool:
        """Whether the target was hit."""
        return bool(self.value["met"])

    @property
    def latency_s(self) -> float:
        """Its latency in seconds: the minimum measured, else as simulated or by the table."""
        return float(self.value["result"]["min_s"])

    @property
    def accuracy(self) -> float:
        """Share of the test part that is right."""
        return float(self.value["accuracy"])

    def __repr__(self) -> str:
        """The result as people read it."""
        return search_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return search_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values, and where the run and its report lie."""
        places = {} if self.folder is None else {"run": str(self.folder), "report": str(self.folder / REPORT_FILE)}
        return {**self.value, **places}


def run_search(request: SearchRequest, *, data: Dataset | None = None, progress: Progress | None = None) -> SearchResult:
    """Searches a space.

    Under ``torchrun`` every process learns from its share of each batch; the first one measures, chooses and writes.

    Args:
        request: The space, the target, the data.
        data: The data where it is in memory already; of the request's, epochs and seed count.
        progress: Is told how far it is.

    Raises:
        TargetError: The target lies outside what the space reaches. No run is written.
        DivergedError: The loss is not a number; the last good state stays in the folder.
        EdgewiseError: Something else in the request is wrong.
    """
    with joined() as rank:
        watcher = heard(progress or SilentProgress(), rank)
        if request.out is not None and rank == 0:
            prepare_folder(request.out, resume=request.resume)
        try:
            if request.resume and request.out is not None and is_finished(request.out):
                return _finished(request, request.out, progress=watcher)
            return _Run(request, data=data, rank=rank, progress=watcher).run()
        except EdgewiseError:
            _leave_no_trace(request.out)
            raise


@dataclass(frozen=True, kw_only=True, slots=True)
class _Aimed:
    """Networks at their targets, the run's own first, judged with the supernet's weights, and what chance finds."""

    chosen: tuple[Refined, ...]
    comparison: Mapping[str, Any] | None

    @property
    def hit(self) -> Hit:
        return self.chosen[0].hit


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """All that a finished search knows."""

    opened: Opened
    outcome: SearchOutcome
    aimed: _Aimed
    tuned: FineTuneResult
    step_ratio: float


class _Run:
    def __init__(self, request: SearchRequest, *, data: Dataset | None, rank: int, progress: Progress) -> None:
        self._request, self._data, self._rank, self._progress = request, data, rank, progress
        course = request.course
        self._settings = SearchSettings(
            epochs=course.epochs,
            explore=course.explore,
            whole=course.whole,
            even=course.even,
            lr=course.lr,
            threshold_lr=course.threshold_lr,
            loss=course.loss,
            strength=course.strength,
            form=course.form,  # type: ignore[arg-type]
            runtime=course.runtime,  # type: ignore[arg-type]
            seed=request.seed,
            gate=untimed,
        )

    def run(self) -> SearchResult:
        start_s = time.monotonic()
        request, progress = self._request, self._progress
        space, data = open_space(request, given=self._data, progress=progress)
        with ExitStack() as stack:
            opened: Opened | None = None
            if self._rank == 0:
                database = stack.enter_context(LatencyDatabase(request.device.db, progress=progress))
                opened = open_search(request, space, data, database=database, progress=progress)
            prices = agreed_prices(space, None if opened is None else opened.prices)
            reference_s = agreed_number(0.0 if opened is None else opened.reference_s)
            target_s = request.latency.seconds(reference_s)
            net = self._supernet(space)
            known = self._known(space)
            if known is not None:
                # The target in seconds is that of the search begun, whatever the reference takes today.
                prices, target_s, reference_s = known.prices(space), known.target_s, known.reference_s
                opened = opened and replace(opened, prices=prices, reference_s=reference_s)
            ratio = known.step_cost_ratio if known is not None else self._step_cost(net, data)
            if opened is not None and known is None:
                self._keep(opened, target_s, ratio)
            net.set_prices(prices)
            outcome = search(
                net,
                data,
                targets_s=(target_s, *(target.seconds(reference_s) for target in request.front)),
                settings=self._settings,
                checkpoint=self._checkpoint(SEARCH_FILE),
                progress=progress,
            )
            aimed = None if opened is None else self._aimed_all(opened, outcome)
            plan = agreed_plan(space, None if aimed is None else aimed.hit.plan)
            tuned = self._trained(outcome, plan, data)
            if opened is None or aimed is None:
                model = network_of(space, plan, tuned.model)
                return SearchResult(model=model, plan=plan, value={"rank": self._rank})
            found = _Found(opened=opened, outcome=outcome, aimed=aimed, tuned=tuned, step_ratio=ratio)
            return self._finish(found, seconds=time.monotonic() - start_s)

    def _supernet(self, space: Space) -> Supernet:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._request.seed)
            return Supernet(space, form=self._settings.form, runtime=self._settings.runtime)

    def _step_cost(self, net: Supernet, data: Dataset) -> float:
        if self._rank != 0:
            return 0.0
        self._progress.note("timing a step of the search beside one of the largest child")
        images, target = next(iter(data.train))
        return step_cost_ratio(net, images[:_STEP_IMAGES], target[:_STEP_IMAGES])

    def _checkpoint(self, name: str) -> Checkpoint | None:
        out = self._request.out
        return None if out is None else Checkpoint(path=out / name, resume=self._request.resume)

    def _known(self, space: Space) -> KeptSearch | None:
        if self._request.out is None or not self._request.resume:
            return None
        return kept_search(self._request.out, settings_of(self._request, space))

    def _keep(self, opened: Opened, target_s: float, ratio: float) -> None:
        if self._request.out is not None:
            keep_search(self._request.out, opened, settings_of(self._request, opened.space), target_s=target_s, step_ratio=ratio)
            append_log(self._request.out, {"event": "priced", "target_s": target_s, "range_s": list(opened.prices.range_s)})

    def _aimed_all(self, opened: Opened, outcome: SearchOutcome) -> "_Aimed":
        """The network of the target and those of further targets, and what the supernet's weights make of them."""
        request, data = self._request, opened.data
        known = kept_chosen(request.out) if request.resume and request.out is not None else None
        if known is not None:
            return _Aimed(chosen=known[0], comparison=known[1])
        score = cache(inherited_score(outcome.net, data.train, data.validation, gate=untimed))
        refiner = Refiner(prices=opened.prices, score=score, n=request.refine, seed=request.seed, progress=self._progress)
        chosen = tuple(self._aimed(opened, outcome, target, refiner) for target in (request.latency, *request.front))
        first, comparison = chosen[0], None
        if request.compare:
            best = Scored(plan=first.hit.plan, score=first.score, predicted_s=opened.prices.latency_s(first.hit.plan))
            comparison = compared(best, opened.prices, score, n=request.compare, seed=request.seed, progress=self._progress)
        if request.out is not None:
            keep_chosen(request.out, chosen, comparison)
            append_log(request.out, {"event": "chosen", "architecture": list(first.hit.plan.labels), "latency_s": first.hit.latency_s})
        return _Aimed(chosen=chosen, comparison=comparison)

    def _finish(self, found: "_Found", *, seconds: float) -> SearchResult:
        request, opened, tuned = self._request, found.opened, found.tuned
        hit = found.aimed.hit
        model = network_of(opened.space, hit.plan, tuned.model)
        final = self._measured_again(opened, hit, model)
        own, *others = found.aimed.chosen
        value = {
            **headline(request, opened, final, found.outcome),
            "accuracy": accuracy(tuned.model, opened.data.test, gate=untimed),
            "accuracy_validation": tuned.accuracy_validation,
            "accuracy_inherited": own.score,
            "refined": own.to_json() if request.refine else None,
            "compared": found.aimed.comparison,
            "step_cost_ratio": found.step_ratio,
            "front": [front_row(one.hit, opened, one.score) for one in (replace(own, hit=final), *others)],
            "fine_tune": {"history": list(history_of(tuned)), "seconds": tuned.seconds},
            "warnings": list(warnings_of(tuned)),
            "settings": settings_of(request, opened.space),
            "provenance": provenance(seed=request.seed),
            "seconds": seconds,
        }
        return _written(request, model, hit.plan, with_figures(value, opened, final))

    def _aimed(self, opened: Opened, outcome: SearchOutcome, target: LatencyTarget, refiner: Refiner) -> Refined:
        prices, reference_s = opened.prices, opened.reference_s
        measure = None if opened.bench is None else opened.bench.measure
        likeliest = aim(
            lambda most_s: choose(outcome.net, prices, most_s),
            prices,
            target,
            measure=measure,
            reference_s=reference_s,
            progress=self._progress,
        )
        return refiner.refined(likeliest, lambda plans: shoot(plans, prices, target, measure=measure, reference_s=reference_s))

    def _trained(self, outcome: SearchOutcome, plan: ArchPlan, data: Dataset) -> FineTuneResult:
        request = self._request
        assert request.data is not None
        if request.inherit:
            child: nn.Module = at_training_scale(inherited(outcome.net, plan, data.train, gate=untimed))
        else:
            child = network_of(outcome.net.space, plan).model
        config, goal = FineTune(epochs=request.data.epochs, lr=LEARNING_RATE, seed=request.seed), Goal(gate=untimed)
        return fine_tune(child, data, config=config, goal=goal, checkpoint=self._checkpoint(CHECKPOINT_FILE), progress=self._progress)

    def _measured_again(self, opened: Opened, hit: Hit, model: LoadedModel) -> Hit:
        if opened.bench is None:
            return hit
        reference, (sample,) = opened.bench.measure_modules([model])
        return replace(hit, sample=sample, reference=reference, target_s=self._request.latency.seconds(reference.min_s))


def _written(request: SearchRequest, model: LoadedModel, plan: ArchPlan, value: dict[str, Any]) -> SearchResult:
    named = replace(model, name=str(request.out or model.name))
    result = SearchResult(model=named, plan=plan, value=value, folder=request.out)
    if request.out is not None:
        write_run(request.out, model.model, record=model.record, result=value)
        write_text(request.out / REPORT_FILE, render_search(value))
        forget_search(request.out)
        (request.out / CHECKPOINT_FILE).unlink(missing_ok=True)
    return result


def _finished(request: SearchRequest, folder: Path, *, progress: Progress) -> SearchResult:
    run = load_run(folder)
    plan = next(plan for plan in run.loaded.plans if isinstance(plan, ArchPlan))
    space = run.loaded.source.space
    assert space is not None
    check_same(folder, run.result.get("settings") or {}, settings_of(request, space))
    progress.note(f"the run in {folder} is finished already")
    return SearchResult(model=run.loaded, plan=plan, value=run.result, folder=folder)


def _leave_no_trace(folder: Path | None) -> None:
    if folder is not None and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
