"""The accuracy side of sparsify: training with the masks on, and judging dense and pruned."""

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from edgewise._core.errors import EdgewiseError, RunError
from edgewise._core.files import write_json
from edgewise._core.progress import Progress
from edgewise.dynamic import GatedNetwork
from edgewise.dynamic.removing import Removal
from edgewise.dynamic.training import ONE_FOR_ALL_RATE, RatioAscent, SandwichSampling, leak_for
from edgewise.ir import WidthPlan
from edgewise.ir.gates import Budget, GatePlan
from edgewise.measure.lock import untimed
from edgewise.models.weights import load_weights, save_weights
from edgewise.recipes.sparsify.request import SparsifyRequest
from edgewise.recipes.sparsify.settling import Settled, settle
from edgewise.recipes.sparsify.start import Start, held_out
from edgewise.recipes.training import (
    CHECKPOINT_FILE,
    FULL_DISTILL_WEIGHT,
    START_FILE,
    Lessons,
    bring_to_start,
    history_of,
    lessons_of,
    warnings_of,
)
from edgewise.train.batches import JudgedData
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.evaluate import accuracy, accuracy_on
from edgewise.train.loop import Checkpoint, FineTune, FineTuneResult, Goal, fine_tune

BALANCED_FILE = "balanced.safetensors"
"""In an unfinished run: the dense weights that gates were put into, and that teach."""
REMOVED_FILE = "removed.json"
"""In an unfinished run: which channels stay."""
BUDGET_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the ratios that a one-for-all network keeps statistics for."""
_SCORING_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A gated network after training, judged beside the dense one.

    Attributes:
        model: The network with its gates.
        removal: What was removed for good before, and the gates on the rest.
        fine_tuned: Whether it saw training data.
        refitted: Layers whose weights were refitted to what the gates leave, before training.
        baseline: Accuracy of the dense network on the test part, or none.
        baseline_validation: On the validation part.
        accuracy: Of the result, on the test part.
        accuracy_validation: On the validation part.
        untrained_validation: With the gates on, layers refitted and batch norms measured anew, before any training, on the
            validation part.
        by_budget: Test accuracy at each budget of a one-for-all network.
        history: Records of the epochs, as JSON values.
        seconds: Time spent in training.
        scratch: Files that are no longer needed once the run is written.
        warnings: What a person should know.
    """

    model: GatedNetwork
    removal: Removal
    fine_tuned: bool = False
    refitted: tuple[str, ...] = ()
    baseline: float | None = None
    baseline_validation: float | None = None
    accuracy: float | None = None
    accuracy_validation: float | None = None
    untrained_validation: float | None = None
    by_budget: tuple[float, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    scratch: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def train_gated(request: SparsifyRequest, start: Start, plan: GatePlan, *, progress: Progress) -> Judged:
    """Trains a copy of the network with its gates, and judges both.

    Args:
        request: How to train.
        start: The network without gates, judged only if it was ever trained; and what to train and judge with.
        plan: Gates and their ratios, of the network as it is.
        progress: Is told how far it is.
    """
    dense, data = start.loaded, start.data
    if data is None:
        ready = _settled(request, start, plan, None)
        return Judged(model=ready.gated(lessons=None, progress=progress)[0], removal=ready.removal)
    assert request.data is not None
    tuned: FineTuneResult | None = None
    by_budget: tuple[float, ...] = ()
    lessons = None if request.one_for_all else lessons_of(data)
    ready = _settled(request, start, plan, lessons)
    network, refitted = ready.gated(lessons=lessons, progress=progress)
    if not request.one_for_all:
        bring_to_start(network, data, request.out, resume=request.resume, progress=progress)
    if request.data.epochs or request.one_for_all:
        tuned = _tuned(request, ready, network, data, progress=progress)
        assert isinstance(tuned.model, GatedNetwork)
        network = tuned.model
    if request.one_for_all:
        network, by_budget = _with_tables(network, data, progress=progress)
    judge = dense.trained
    return Judged(
        model=network,
        removal=ready.removal,
        fine_tuned=True,
        refitted=refitted,
        baseline=accuracy_on(dense.model, data.test, gate=untimed) if judge else None,
        baseline_validation=accuracy_on(dense.model, data.validation, gate=untimed) if judge else None,
        accuracy=by_budget[-1] if by_budget else accuracy_on(network, data.test, gate=untimed),
        accuracy_validation=accuracy_on(network, data.validation, gate=untimed),
        untrained_validation=None if tuned is None or request.one_for_all else tuned.score_before,
        by_budget=by_budget,
        history=() if tuned is None else history_of(tuned),
        seconds=0.0 if tuned is None else tuned.seconds,
        scratch=()
        if request.out is None
        else tuple(request.out / name for name in (START_FILE, REMOVED_FILE, BALANCED_FILE, CHECKPOINT_FILE)),
        warnings=() if tuned is None else warnings_of(tuned),
    )


def _settled(request: SparsifyRequest, start: Start, plan: GatePlan, lessons: Lessons | None) -> Settled:
    """The network that gates are put into; as an unfinished run left it, if there is one. Without lessons it goes by weights alone."""
    ratios, out = request.ratios, None if lessons is None else request.out
    there = out is not None and request.resume and all((out / name).exists() for name in (REMOVED_FILE, BALANCED_FILE))
    ready = settle(start.loaded, start.traced, plan, lessons=None if there else lessons, remove=ratios.remove, changing=ratios.changing)
    if out is None:
        return ready
    if there:  # images may come in another order by now
        load_weights(ready.dense.model, out / BALANCED_FILE)
        return replace(ready, removal=Removal.of(start.net, plan, _widths_in(out / REMOVED_FILE)))
    write_json(out / REMOVED_FILE, ready.removal.widths.to_json())
    save_weights(ready.dense.model, out / BALANCED_FILE)
    return ready


def _widths_in(path: Path) -> WidthPlan:
    try:
        return WidthPlan.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, EdgewiseError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error


def _tuned(request: SparsifyRequest, ready: Settled, network: GatedNetwork, data: JudgedData, *, progress: Progress) -> FineTuneResult:
    assert request.data is not None
    plan = network.full_plan
    config = FineTune(
        epochs=request.data.epochs,
        lr=request.lr * (ONE_FOR_ALL_RATE if request.one_for_all else 1.0),
        seed=request.seed,
        distill_weight=FULL_DISTILL_WEIGHT if request.distill else 0.0,
    )
    goal = Goal(gate=untimed)
    if request.distill:
        goal = replace(goal, teacher=ready.dense.model, hints=ready.hints)
    if request.one_for_all:
        goal = replace(goal, regime=SandwichSampling(plan=plan), evaluate=lambda trained: _score_of_ends(trained, plan, data))
    else:
        goal = replace(goal, regime=RatioAscent(plan=plan, ramp=request.ramp, leak=leak_for(plan, ready.maps)))
    checkpoint = None if request.out is None else Checkpoint(path=request.out / CHECKPOINT_FILE, resume=request.resume)
    return fine_tune(network, data, config=config, goal=goal, checkpoint=checkpoint, progress=progress)


def _score_of_ends(model: nn.Module, plan: GatePlan, data: JudgedData) -> float:
    """Mean validation accuracy of the densest and the sparsest network, each with statistics of its own."""
    found = []
    for share in (0.0, 1.0):
        network = deepcopy(model)
        assert isinstance(network, GatedNetwork)
        network.set_ratios(plan.scaled(share))
        recalibrate_batch_norm(network, data.train, n_batches=_SCORING_BATCHES, gate=untimed)
        found.append(accuracy(network, held_out(data), gate=untimed))
    return sum(found) / len(found)


def _with_tables(network: GatedNetwork, data: JudgedData, *, progress: Progress) -> tuple[GatedNetwork, tuple[float, ...]]:
    """The network with batch-norm statistics for every budget, switched to the last, and the test accuracy at each."""
    served = network.with_budgets(tuple(Budget(share=share) for share in BUDGET_SHARES)).eval()
    progress.start("statistics of the budgets", len(BUDGET_SHARES))
    found = []
    for place, share in enumerate(BUDGET_SHARES):
        served.set_ratios(served.full_plan.scaled(share))
        recalibrate_batch_norm(served, data.train, gate=untimed)
        served.keep_statistics(place)
        if data.test is not None:
            found.append(accuracy(served, data.test, gate=untimed))
        progress.advance()
    served.switch(len(BUDGET_SHARES) - 1)
    return served, tuple(found)


def timed(network: GatedNetwork, latencies_s: tuple[float, ...]) -> GatedNetwork:
    """The one-for-all network that knows what its budgets take."""
    budgets = tuple(replace(budget, latency_s=latency_s) for budget, latency_s in zip(network.budgets, latencies_s, strict=True))
    return network.with_budgets(budgets)
