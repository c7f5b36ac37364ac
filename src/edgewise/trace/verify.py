"""Trial surgery until every tie that looks free is free."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import nn

from edgewise.trace.analysis import Analysis
from edgewise.trace.context import Choices
from edgewise.trace.record import Record
from edgewise.trace.ties import Grouping
from edgewise.trace.traced import Traced
from edgewise.trace.trials import Failure, judge, make_trials, stand_in

MAX_ROUNDS = 80
"""After so many repairs all widths are left alone."""
_PATIENCE = 3
"""After so many failures of the same kind all operations of that kind are repaired at once."""

Build = Callable[[Choices], tuple[Analysis, Grouping, Traced]]
"""Analyses the recorded network under some choices."""


@dataclass(kw_only=True, slots=True)
class _Memory:
    """What was tried so far: how far each kind of operation has come, how often each module was widened."""

    rungs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)


def settle(model: nn.Module, record: Record, *, build: Build) -> Traced:
    """Repeats trial surgery, and leaves alone what fails, until nothing does.

    Args:
        model: The network that was recorded.
        record: Its run.
        build: Analyses it under the choices made so far.

    Returns:
        The trace whose free ties all pass.
    """
    choices, memory = Choices(), _Memory()
    subject = None
    for round_number in range(MAX_ROUNDS):
        analysis, grouping, traced = build(choices)
        if not any(tie.free for tie in traced.net.ties):
            return traced
        subject = subject or stand_in(model, record.inputs)
        failure = None
        for trial in make_trials(traced.net.ties, round_number=round_number):
            failure = judge(subject, record.inputs, trial=trial, traced=traced, findings=(record, analysis, grouping))
            if failure is not None:
                break
        if failure is None:
            return traced
        choices = _repaired(choices, failure, model=model, record=record, traced=traced, build=build, memory=memory)
    reason = "trial surgery did not succeed with any choice of widths"
    return build(Choices(frozen={step.index: reason for step in record.steps}))[2]


def _repaired(
    choices: Choices, failure: Failure, *, model: nn.Module, record: Record, traced: Traced, build: Build, memory: _Memory
) -> Choices:
    """Other choices under which the failing operation may work, or leaves its channels alone."""
    present = _freedom(traced)
    if failure.step is not None:
        kinds = {name: type(module).__name__ for name, module in model.named_modules()}
        step = record.steps[failure.step]
        kind = (step.name, kinds.get(step.module, ""))
        alike = [other.index for other in record.steps if (other.name, kinds.get(other.module, "")) == kind]
        edited = _edited(choices, step.name, alike, rungs=memory.rungs, kind=kind)
        if edited is not None and not failure.grows:
            return edited
        memory.failures[kind] += 1
        chosen = alike if memory.failures[kind] > _PATIENCE else [failure.step]
        restricted = _restricted(choices, chosen, failure)
        if _freedom(build(restricted)[2]) < present:
            return restricted
    return _widened(choices, failure, record=record, present=present, build=build)


def _edited(
    choices: Choices, name: str, alike: list[int], *, rungs: Counter[tuple[str, str, str]], kind: tuple[str, str]
) -> Choices | None:
    """The next way to read an operation of this name, if there is one that was not tried."""
    ladder = {"split": ("unedited",), "split_with_sizes": ("unedited",), "slice": ("edited",), "view": ("edited", "trailing")}.get(name, ())
    for way in ladder:
        rungs[(*kind, way)] += 1
        if rungs[(*kind, way)] == 1:
            return replace(choices, **{way: getattr(choices, way) | set(alike)})
    return None


def _restricted(choices: Choices, steps: list[int], failure: Failure) -> Choices:
    """The steps' channels frozen; or, where only adding channels failed, limited first."""
    if failure.grows and not all(step in choices.limited for step in steps):
        return replace(choices, limited={**choices.limited, **dict.fromkeys(steps, failure.text)})
    return replace(choices, frozen={**choices.frozen, **dict.fromkeys(steps, failure.text)})


def _widened(choices: Choices, failure: Failure, *, record: Record, present: int, build: Build) -> Choices:
    """Restricts the module around the failure, or the one around that, until some width is left alone that was free."""
    path = failure.module
    while True:
        inside = [step.index for step in record.steps if not path or step.module == path or step.module.startswith(f"{path}.")]
        restricted = _restricted(choices, inside, failure)
        if inside and _freedom(build(restricted)[2]) < present:
            return restricted
        if not path:
            return replace(choices, frozen=dict.fromkeys((step.index for step in record.steps), failure.text))
        path = path.rpartition(".")[0]


def _freedom(traced: Traced) -> int:
    """How many units may go, plus how many ties may be added to."""
    return sum(tie.width * (tie.free + tie.growable) for tie in traced.net.ties)
