"""From joined channel ids to ties: classes of ids, grouped by where they occur."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgewise.ir import Dim, Term
from edgewise.trace.analysis import Analysis
from edgewise.trace.ledger import Channels, Ids, Ledger

UNWRITTEN = "no layer with weights writes it"
"""Why channels without a writer must stay."""
FIXED = -1
"""Unit number of a channel that belongs to no tie."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Group:
    """Classes of channels that occur at the same places: the units of a tie.

    Attributes:
        step: Operation that writes them first.
        width: Number of units.
        frozen: Why they must stay; empty if they need not.
        limited: Why none may be added; empty if they may.
    """

    step: int
    width: int
    frozen: str
    limited: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grouping:
    """All ties of a network, and the unit behind every channel id.

    Attributes:
        groups: Ties by the place of their first writer.
        starts: Number of the first unit of each group; one more entry counts all units.
        unit_of: For each id the number of its unit, or ``FIXED``.
    """

    groups: tuple[Group, ...]
    starts: npt.NDArray[np.int64]
    unit_of: npt.NDArray[np.int64]

    def units(self, ids: Ids) -> npt.NDArray[np.int64]:
        """The units of channels."""
        return self.unit_of[ids]


def group_channels(analysis: Analysis) -> Grouping:
    """Works out which ids form one class, and which classes are units of one tie."""
    ledger = analysis.ledger
    labels, n_classes = _classes(ledger)
    frozen = _reasons(labels, n_classes, ledger.frozen)
    limited = _reasons(labels, n_classes, ledger.limited)
    _limit_conflicts(ledger, labels, limited)
    writer, position = _first_writers(ledger, labels, n_classes)
    for label in range(n_classes):
        if writer[label] < 0 and not frozen[label]:
            frozen[label] = UNWRITTEN
    signature = _signatures(labels, n_classes, _dimensions(analysis))
    keys: dict[tuple[int, int, str, str], list[int]] = {}
    for label in np.lexsort((position, writer)).tolist():
        if writer[label] >= 0:
            keys.setdefault((int(writer[label]), int(signature[label]), frozen[label], limited[label]), []).append(label)
    unit_of_class = np.full(n_classes, FIXED, dtype=np.int64)
    starts = [0]
    for members in keys.values():
        unit_of_class[members] = np.arange(starts[-1], starts[-1] + len(members))
        starts.append(starts[-1] + len(members))
    groups = tuple(Group(step=step, width=len(members), frozen=why, limited=only) for (step, _, why, only), members in keys.items())
    return Grouping(groups=groups, starts=np.array(starts, dtype=np.int64), unit_of=unit_of_class[labels])


def dimension(units: npt.NDArray[np.int64], *, starts: npt.NDArray[np.int64], names: Sequence[str]) -> Dim:
    """The channel dimension made of these units, in terms of the ties' names."""
    free = units[units >= 0]
    groups, counts = np.unique(np.searchsorted(starts, free, side="right") - 1, return_counts=True)
    terms = []
    for group, count in zip(groups.tolist(), counts.tolist(), strict=True):
        terms.append(Term(tie=names[group], times=count // int(starts[group + 1] - starts[group])))
    return Dim(terms=tuple(sorted(terms)), fixed=int((units < 0).sum()))


def _classes(ledger: Ledger) -> tuple[npt.NDArray[np.int64], int]:
    by_axis: dict[tuple[str, int], Ids] = {}
    pairs = list(ledger.joined)
    for use in ledger.axes:
        first = by_axis.setdefault((use.parameter, use.axis), use.ids)
        if first is not use.ids and len(first) == len(use.ids):
            pairs.append((first, use.ids))
    if not ledger.count:
        return np.zeros(0, dtype=np.int64), 0
    left = np.concatenate([pair[0].reshape(-1) for pair in pairs]) if pairs else np.zeros(0, dtype=np.int64)
    right = np.concatenate([pair[1].reshape(-1) for pair in pairs]) if pairs else left
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(ledger.count, ledger.count))
    n_classes, labels = connected_components(graph, directed=False)
    return labels.astype(np.int64), int(n_classes)


def _reasons(labels: npt.NDArray[np.int64], n_classes: int, noted: Iterable[tuple[Ids, str]]) -> list[str]:
    reasons = [""] * n_classes
    for ids, reason in noted:
        for label in np.unique(labels[ids]).tolist():
            reasons[label] = reasons[label] or reason
    return reasons


def _limit_conflicts(ledger: Ledger, labels: npt.NDArray[np.int64], limited: list[str]) -> None:
    """A weight read and written along one axis (a shared weight) cannot be zero for its readers and random for its writers."""
    roles: dict[tuple[str, int], str] = {}
    for use in ledger.axes:
        role = roles.setdefault((use.parameter, use.axis), use.role)
        if role != use.role:
            for label in np.unique(labels[use.ids]).tolist():
                limited[label] = limited[label] or f"parameter {use.parameter} is used in two ways"


def _first_writers(ledger: Ledger, labels: npt.NDArray[np.int64], n_classes: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    writer = np.full(n_classes, -1, dtype=np.int64)
    position = np.zeros(n_classes, dtype=np.int64)
    for use in reversed(ledger.axes):  # the last assignment stays: that of the first use, and there of the first place
        if use.role == "write":
            classes = labels[use.ids][::-1]
            writer[classes] = use.step
            position[classes] = np.arange(len(classes))[::-1]
    return writer, position


def _dimensions(analysis: Analysis) -> list[Ids]:
    """Every sequence of channels that the network has anywhere, each once."""
    ledger = analysis.ledger
    found = [use.ids for use in ledger.axes]
    for reading in analysis.readings:
        found.extend(value.ids for value in (*reading.inputs, *reading.outputs) if isinstance(value, Channels))
    unique = {id(ids): ids for ids in found}
    return list(unique.values())


def _signatures(labels: npt.NDArray[np.int64], n_classes: int, dimensions: list[Ids]) -> npt.NDArray[np.uint64]:
    """A number for each class that tells how often it occurs in every distinct dimension."""
    words = np.random.default_rng(0).integers(1, 2**63, size=len(dimensions) + 1, dtype=np.uint64)
    signature = np.zeros(n_classes, dtype=np.uint64)
    seen: set[bytes] = set()
    for ids, word in zip(dimensions, words.tolist(), strict=False):
        classes = labels[ids]
        key = classes.tobytes()
        if key not in seen:
            seen.add(key)
            np.add.at(signature, classes, np.uint64(word))
    return signature
