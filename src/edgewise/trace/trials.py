"""Trial surgery: random plans on a network with other weights, judged against the network itself.

A removed unit is the same as a unit whose every reader has a zero weight for it, and a new
unit changes nothing, so the outcome of surgery is known beforehand, place by place.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgewise._core.rng import make_rng
from edgewise.ir import Tie, TiePlan, WidthPlan
from edgewise.trace.analysis import Analysis
from edgewise.trace.ledger import Channels
from edgewise.trace.record import Record, Step, run_recorded
from edgewise.trace.rules import SAME_VALUE
from edgewise.trace.surgery import apply_plan, gathered_places
from edgewise.trace.ties import Grouping
from edgewise.trace.traced import Traced

TOLERANCE = 2e-3
"""Largest difference that counts as rounding, as a share of the largest deviation of the result from its mean."""

_VALUE_DEPENDENT = frozenset({"nms", "nonzero", "topk", "sort", "argsort", "unique", "masked_select", "_local_scalar_dense"})
_LARGE = 2**20
"""Weights with more values keep them in trials, if they differ at all: drawing others would take long."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """What is known of the network under trial: its run, the books on its channels, and its ties."""

    record: Record
    analysis: Analysis
    grouping: Grouping


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A plan to try.

    Attributes:
        plan: The plan.
        grows: It adds units.
        exact: All its ties allow to compute the outcome beforehand.
    """

    plan: WidthPlan
    grows: bool
    exact: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Where a trial went wrong.

    Attributes:
        step: Index of the operation; None if it cannot be told.
        module: Path of the module that was running.
        text: What went wrong, in a few words.
        grows: The trial added units.
    """

    step: int | None
    module: str
    text: str
    grows: bool


def make_trials(ties: Sequence[Tie], *, round_number: int = 0) -> list[Trial]:
    """Random plans: units removed; units removed and added; and the same for ties across which something averages."""
    exact = [tie for tie in ties if tie.free and tie.growable]
    free = [tie for tie in ties if tie.free]
    rng = make_rng(round_number, "trial")
    trials = []
    # The one that changes most comes first: what fails, fails soon.
    if len(free) > len(exact):
        trials.append(Trial(plan=_random_plan(free, rng, growing=False), grows=False, exact=False))
    if exact:
        trials.append(Trial(plan=_random_plan(exact, rng, growing=False), grows=False, exact=True))
        trials.append(Trial(plan=_random_plan(exact, rng, growing=True), grows=True, exact=True))
    return trials


def _random_plan(ties: Sequence[Tie], rng: np.random.Generator, *, growing: bool) -> WidthPlan:
    plans = []
    for tie in ties:
        least = tie.width - 1 if growing and rng.random() < 0.5 else max(1, tie.width // 3)
        kept = int(rng.integers(least, max(least, tie.width - 1) + 1)) if tie.width > 1 else 1
        keep = np.sort(rng.choice(tie.width, size=kept, replace=False))
        grow = int(rng.integers(0, 4)) if growing else 0
        plans.append(TiePlan(tie=tie.name, keep=tuple(keep.tolist()), grow=grow))
    return WidthPlan(ties=tuple(plans))


def stand_in(model: nn.Module, inputs: Sequence[Tensor]) -> nn.Module:
    """A copy with random weights under which no path through the network is nearly silent.

    Zero-initialised scales or tiny layer scales would hide what surgery does to a branch.
    """
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*other.named_parameters(), *other.named_buffers()]:
            if tensor.is_floating_point() and tensor.numel() and not tensor.is_inference():
                tensor.copy_(_drawn(name.split(".")[-1], tensor, generator))
    outputs = run_recorded(other, inputs)
    finite = outputs.error is None and all(bool(torch.isfinite(leaf).all()) for leaf in outputs.outputs if leaf.is_floating_point())
    return other if finite else model


def _drawn(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    if tensor.numel() > _LARGE and bool(tensor.flatten()[:_LARGE].std() > 0):
        return tensor
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
    if name == "running_var" or (tensor.ndim < 2 and name not in ("bias", "running_mean")):
        return noise.sigmoid() + 0.5
    if tensor.ndim < 2:
        return 0.2 * noise
    if max(tensor.shape) == tensor.numel():
        return noise.sigmoid() + 0.5
    scale = float(max(1, tensor[0].numel())) ** -0.5
    return noise.mul(scale)


def silenced(model: nn.Module, trial: Trial, traced: Traced) -> dict[str, Tensor]:
    """The weights that read removed units, with zeros in these places."""
    parameters = dict(model.named_parameters()) | dict(model.named_buffers())
    removed = np.zeros(sum(tie.width for tie in traced.net.ties) + 1, dtype=bool)
    for tie_plan in trial.plan.ties:
        start, width = traced.starts[tie_plan.tie], traced.net.tie(tie_plan.tie).width
        removed[start : start + width] = True
        removed[start + np.array(tie_plan.keep)] = False
    zeroed: dict[str, Tensor] = {}
    for site in traced.sites:
        gone = np.flatnonzero(removed[site.units])
        if site.role == "read" and len(gone):
            weight = zeroed.get(site.parameter, parameters[site.parameter]).detach()
            zeroed[site.parameter] = weight.index_fill(site.axis, torch.from_numpy(gone).to(weight.device), 0)
    return zeroed


def hollow(model: nn.Module, record: Record) -> nn.Module | None:
    """A copy without values, which runs in no time and still fails where shapes are wrong; None if it runs otherwise than it did."""
    empty: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        meta = tensor.detach().to("meta")
        empty[id(tensor)] = nn.Parameter(meta, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else meta
    copied = copy.deepcopy(model, empty)
    again = run_recorded(copied, _emptied(record.inputs))
    names = [[step.name for step in _comparable(steps)] for steps in (again.steps, record.steps)]
    return copied if again.error is None and names[0] == names[1] else None


def _emptied(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensor.to("meta") for tensor in inputs)


def judge_shapes(model: nn.Module, *, trial: Trial, traced: Traced, findings: Findings) -> Failure | None:
    """Runs one trial on a network without values; None if all shapes are as they should be."""
    changed = run_recorded(apply_plan(model, trial.plan, traced).eval(), _emptied(findings.record.inputs))
    if changed.error is not None:
        return _locate_error(changed, trial=trial, traced=traced, findings=findings)
    return _first_wrong_shape(changed, trial=trial, traced=traced, findings=findings)


def judge(model: nn.Module, *, trial: Trial, traced: Traced, findings: Findings) -> Failure | None:
    """Runs one trial; None if its outcome is as it should be."""
    inputs = findings.record.inputs
    changed = run_recorded(apply_plan(model, trial.plan, traced).eval(), inputs)
    if changed.error is not None:
        return _locate_error(changed, trial=trial, traced=traced, findings=findings)
    if not trial.exact:
        return _first_wrong_shape(changed, trial=trial, traced=traced, findings=findings)
    zeroed = silenced(model, trial, traced)
    reference = _run_with(model, zeroed, inputs)
    if agree(reference.outputs, changed.outputs):
        return None
    return _first_difference(reference, changed, trial=trial, traced=traced, findings=findings)


def _run_with(model: nn.Module, weights: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Record:
    return run_recorded(model, inputs, call=lambda *given: functional_call(model, dict(weights), given))


def agree(expected: Sequence[Tensor], found: Sequence[Tensor]) -> bool:
    """Whether two runs returned as many results, each equal but for rounding."""
    return len(expected) == len(found) and all(close(first, second) for first, second in zip(expected, found, strict=True))


def close(expected: Tensor, found: Tensor, *, tolerance: float = TOLERANCE) -> bool:
    """Whether two results are equal but for rounding."""
    if expected.shape != found.shape:
        return False
    if not expected.is_floating_point() or not expected.numel():
        return bool(torch.equal(expected, found)) or not expected.is_floating_point()
    spread = (expected - expected.mean()).abs().max() if expected.numel() > 1 else expected.abs().max()
    return bool((expected - found).abs().max() <= tolerance * spread + 1e-6 * expected.abs().max() + 1e-30)


def _locate_error(changed: Record, *, trial: Trial, traced: Traced, findings: Findings) -> Failure:
    wrong = _first_wrong_shape(changed, trial=trial, traced=traced, findings=findings)
    if wrong is not None:
        return wrong
    steps = _comparable(findings.record.steps)
    place = len(_comparable(changed.steps))
    step = steps[place] if place < len(steps) else None
    where = step.where if step is not None else f"the code of {changed.module or 'the network itself'}"
    module = step.module if step is not None else changed.module
    text = f"size written in code ({where})"
    return Failure(step=step.index if step is not None else None, module=module, text=text, grows=trial.grows)


def _comparable(steps: Sequence[Step]) -> list[Step]:
    """Steps that neither vanish when they have nothing to do, as padding by zero channels may, nor only make constants."""
    return [step for step in steps if step.inputs and step.name not in SAME_VALUE and step.name not in ("pad", "fill", "zero")]


def _first_wrong_shape(changed: Record, *, trial: Trial, traced: Traced, findings: Findings) -> Failure | None:
    record, analysis, grouping = findings.record, findings.analysis, findings.grouping
    gather, loose = gathered_places(trial.plan, traced), depends_on_values(record)
    previous: Step | None = None
    for step, after in zip(_comparable(record.steps), _comparable(changed.steps), strict=False):
        if step.name != after.name:
            # A range that took everything before is no operation: its size belongs to what ran before it.
            culprit = previous if after.name == "slice" and previous is not None else step
            return None if loose else _failure(culprit, "other operations ran", trial)
        previous = step
        for tensor, value, found in zip(step.outputs, analysis.readings[step.index].outputs, after.outputs, strict=False):
            shape = list(tensor.shape)
            if isinstance(value, Channels):
                shape[value.axis] = len(gather(grouping.units(value.ids))[0])
                if found.ndim != len(shape) or found.shape[value.axis] != shape[value.axis]:
                    return _failure(step, "size written in code", trial)
            elif value is None and tuple(found.shape) != tuple(shape) and not loose:
                return _failure(step, "size written in code", trial)
    return None


def depends_on_values(record: Record) -> bool:
    """Whether shapes or the course of the run may depend on values, as in detectors that sort and drop boxes."""
    return any(step.name in _VALUE_DEPENDENT or (step.name == "where" and len(step.inputs) == 1) for step in record.steps)


def _first_difference(reference: Record, changed: Record, *, trial: Trial, traced: Traced, findings: Findings) -> Failure | None:
    wrong = _first_wrong_shape(changed, trial=trial, traced=traced, findings=findings)
    if wrong is not None:
        return wrong
    record, analysis, grouping = findings.record, findings.analysis, findings.grouping
    gather, loose = gathered_places(trial.plan, traced), depends_on_values(record)
    for step, before, after in zip(_comparable(record.steps), _comparable(reference.steps), _comparable(changed.steps), strict=False):
        for value, expected, found in zip(analysis.readings[step.index].outputs, before.outputs, after.outputs, strict=False):
            if isinstance(value, Channels) and expected.ndim == found.ndim and expected.shape[value.axis] == len(value.ids):
                places, new = gather(grouping.units(value.ids))
                expected = expected.index_select(value.axis, torch.from_numpy(places[~new]))
                found = found.index_select(value.axis, torch.from_numpy(np.flatnonzero(~new)))
            if not close(expected, found) and (not loose or isinstance(value, Channels)):
                return _failure(step, "surgery changes the result", trial)
    return None if loose else Failure(step=None, module="", text="surgery changes the result", grows=trial.grows)


def _failure(step: Step, text: str, trial: Trial) -> Failure:
    return Failure(step=step.index, module=step.module, text=f"{text} ({step.where})", grows=trial.grows)
