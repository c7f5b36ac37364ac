"""Trial surgery until every tie that looks free is free."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from torch import nn

from edgewise.trace.context import Choices
from edgewise.trace.record import Record, Step
from edgewise.trace.traced import Traced
from edgewise.trace.trials import Failure, Findings, hollow, judge, judge_shapes, make_trials, stand_in

MAX_ROUNDS = 80
"""After so many repairs all widths are left alone."""
_LADDERS = {
    "split": ("unedited",),
    "split_with_sizes": ("unedited",),
    "slice": ("edited",),
    "cat": ("edited",),
    "view": ("edited", "trailing"),
}
"""Other ways to read an operation, in the order in which they are tried."""

Build = Callable[[Choices], Findings]
"""Analyses the recorded network under some choices."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Repair:
    """What repairs need: the network's run, how to analyse it, and what was tried."""

    record: Record
    kinds: dict[str, str]
    build: Build
    tried: set[tuple[str, str, str]] = field(default_factory=set)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)

    def kind(self, step: Step) -> tuple[str, str]:
        """Steps of the same operation in modules of the same class are repaired alike."""
        return step.name, self.kinds.get(step.module, "")


def settle(model: nn.Module, *, build: Build, assemble: Callable[[Findings], Traced]) -> Traced:
    """Repeats trial surgery, and leaves alone what fails, until nothing does.

    Args:
        model: The network that was recorded.
        build: Analyses it under the choices made so far.
        assemble: Makes the trace of an analysis.

    Returns:
        The trace whose free ties all pass.
    """
    choices = Choices()
    findings = build(choices)
    record = findings.record
    repair = _Repair(record=record, kinds={name: type(module).__name__ for name, module in model.named_modules()}, build=build)
    empty: nn.Module | None = None
    subject: nn.Module | None = None
    for round_number in range(MAX_ROUNDS):
        traced = assemble(findings)
        if not any(tie.free for tie in traced.net.ties):
            return traced
        trials = make_trials(traced.net.ties, round_number=round_number)
        failure = None
        if empty is not None:
            failure = _first(judge_shapes(empty, trial=trial, traced=traced, findings=findings) for trial in trials)
        if failure is None:
            subject = subject or stand_in(model, record.inputs)
            # Shapes are known to be right where the network without values ran; what is left is to compare values.
            trials = [trial for trial in trials if trial.exact or empty is None]
            failure = _first(judge(subject, trial=trial, traced=traced, findings=findings) for trial in trials)
        if failure is None:
            return traced
        # Most networks never come here, and torch takes seconds to load what computes shapes without values.
        empty = hollow(model, record) if round_number == 0 else empty
        choices = _repaired(choices, failure, present=_freedom(findings), repair=repair)
        findings = build(choices)
    reason = "trial surgery did not succeed with any choice of widths"
    return assemble(build(Choices(frozen={step.index: reason for step in record.steps})))


def _first(outcomes: Iterable[Failure | None]) -> Failure | None:
    return next((outcome for outcome in outcomes if outcome is not None), None)


def _repaired(choices: Choices, failure: Failure, *, present: int, repair: _Repair) -> Choices:
    """Other choices under which the failing operation may work, or leaves its channels alone."""
    if failure.step is None:
        return _widened(choices, failure, present=present, repair=repair)
    kind = repair.kind(repair.record.steps[failure.step])
    alike = [step.index for step in repair.record.steps if repair.kind(step) == kind]
    way = next((way for way in _LADDERS.get(kind[0], ()) if (*kind, way) not in repair.tried), None)
    if way is not None and (way == "edited" or not failure.grows):
        repair.tried.add((*kind, way))
        return replace(choices, **{way: getattr(choices, way) | set(alike)})
    repair.failures[kind] += 1
    restricted = _restricted(choices, alike if repair.failures[kind] > 1 else [failure.step], failure)
    if _freedom(repair.build(restricted)) < present:
        return restricted
    return _widened(choices, failure, present=present, repair=repair)


def _restricted(choices: Choices, steps: list[int], failure: Failure) -> Choices:
    """The steps' channels frozen; or, where only adding channels failed, limited first."""
    if failure.grows and not all(step in choices.limited for step in steps):
        return replace(choices, limited={**choices.limited, **dict.fromkeys(steps, failure.text)})
    return replace(choices, frozen={**choices.frozen, **dict.fromkeys(steps, failure.text)})


def _widened(choices: Choices, failure: Failure, *, present: int, repair: _Repair) -> Choices:
    """Restricts the module around the failure, or the one around that, until some width is left alone that was free."""
    path = failure.module
    while True:
        prefix = f"{path}." if path else ""
        inside = [step.index for step in repair.record.steps if step.module == path or step.module.startswith(prefix)]
        restricted = _restricted(choices, inside, failure)
        if inside and _freedom(repair.build(restricted)) < present:
            return restricted
        if not path:
            return replace(choices, frozen=dict.fromkeys((step.index for step in repair.record.steps), failure.text))
        path = path.rpartition(".")[0]


def _freedom(findings: Findings) -> int:
    """How many units may go, plus how many may have others added behind them."""
    return sum(group.width * ((not group.frozen) + (not group.frozen and not group.limited)) for group in findings.grouping.groups)
