"""The networks that the solvers propose: widths for several latencies, and dynamic sparsity at several strengths on each."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from edgewise._core.errors import RunError, TargetError
from edgewise._core.progress import Progress
from edgewise.dynamic import place_gates
from edgewise.dynamic.sensitivity import Sensitivity, SweepPoint, sweep_blocks
from edgewise.ir import NetSpec
from edgewise.recipes.explore.ladder import Ladder, Solved
from edgewise.recipes.explore.opening import Opened, Scores
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.searching import Searched
from edgewise.recipes.sparsify.ratios import GRID, choose_for_macs
from edgewise.recipes.sparsify.request import RatioRequest

SENSITIVITY_IMAGES = 1000
"""Validation images that each block's sensitivity is judged by, as ``sparsify`` does."""
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a study knows before the first network is trained; a study that goes on takes all of it from here.

    Attributes:
        points: The networks to try first, in order.
        ladder: Widths for latencies, by what was asked for.
        scores: Importance of each unit of each tie, by which channels are kept.
        sensitivity: What pruning each block costs; none where no dynamic network is tried.
        notes: What was left out, and why.
        seconds: Time that planning took.
        profile_s: Time of it that profiling the network on the device took.
        search_s: Time of it that searching the space took.
        sweep_s: Time of it that judging what pruning each block costs took.
        shares: Latencies that the space reaches, as shares of the given network's; empty where none is searched.
    """

    points: tuple[Point, ...]
    ladder: Mapping[str, Solved]
    scores: Scores
    sensitivity: Sensitivity | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    profile_s: float = 0.0
    search_s: float = 0.0
    sweep_s: float = 0.0
    shares: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "points": [{"key": point.key, "method": point.method, **point.to_json()} for point in self.points],
            "ladder": {name: solved.to_json() for name, solved in self.ladder.items()},
            "scores": {name: np.asarray(values, dtype=np.float64).tolist() for name, values in self.scores.items()},
            "sensitivity": None if self.sensitivity is None else self.sensitivity.to_json(),
            "notes": list(self.notes),
            "seconds": self.seconds,
            "profile_s": self.profile_s,
            "search_s": self.search_s,
            "sweep_s": self.sweep_s,
            "shares": list(self.shares),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Plan":
        """The plan that :meth:`to_json` wrote.

        Raises:
            RunError: It is damaged.
        """
        try:
            return Plan(
                points=tuple(Point.from_json({k: v for k, v in row.items() if k not in ("key", "method")}) for row in value["points"]),
                ladder={str(name): Solved.from_json(row) for name, row in value["ladder"].items()},
                scores={str(name): np.array(row, dtype=np.float64) for name, row in value["scores"].items()},
                sensitivity=None if value["sensitivity"] is None else _sensitivity(value["sensitivity"]),
                notes=tuple(str(note) for note in value["notes"]),
                seconds=float(value["seconds"]),
                profile_s=float(value["profile_s"]),
                search_s=float(value["search_s"]),
                sweep_s=float(value["sweep_s"]),
                shares=tuple(float(share) for share in value["shares"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"plan.json of the study is damaged ({error}); delete the folder and start again") from error


def given_points(opened: Opened) -> tuple[Point, ...]:
    """The given network trained on for as long as all others, and with its weights unchanged."""
    seed = opened.request.seed
    trained, unchanged = Point(epochs=opened.epochs, seed=seed), Point(epochs=0.0, seed=seed)
    return (trained,) if trained == unchanged else (trained, unchanged)


def plan_points(opened: Opened, ladder: Ladder, scores: Scores, *, progress: Progress) -> Plan:
    """The given network, then what the solvers propose: the middle of the front first, then its ends.

    Args:
        opened: The network, the data, the device.
        ladder: Gives widths.
        scores: Importance of channels.
        progress: Is told how far it is.
    """
    notes: list[str] = []
    nets: list[tuple[Solved | None, NetSpec]] = [(None, opened.net)]
    for target in middle_first(opened.request.latencies):
        solved = ladder.at(target)
        if solved.why is not None:
            notes.append(f"no widths for {target}: {solved.why}")
        elif solved.widths:
            nets.append((solved, opened.net.with_widths(dict(solved.widths))))
    sensitivity, start_s = None, time.monotonic()
    if opened.no_dynamic is not None:
        notes.append(f"dynamic networks are left out: {opened.no_dynamic}")
    else:
        sensitivity = _swept(opened, progress=progress)
    sweep_s = time.monotonic() - start_s
    strengths: list[float | None] = [None, *(middle_first(opened.request.strengths) if sensitivity is not None else ())]
    ranked = [
        (rank + place, rank, solved, net, strength)
        for rank, (solved, net) in enumerate(nets)
        for place, strength in enumerate(strengths)
        if solved is not None or strength is not None
    ]
    choose = _Chooser(opened, sensitivity, notes.append)
    points = [*given_points(opened)]
    for _, _, found, net, strength in sorted(ranked, key=lambda row: row[:2]):
        ratios = ((), ()) if strength is None else choose(net, strength)
        if ratios is not None:
            widths = () if found is None else found.widths
            points.append(solver_point(opened, widths=widths, ratios=ratios))
    for note in notes:
        progress.note(note)
    return Plan(
        points=tuple(dict.fromkeys(points)),
        ladder=ladder.known,
        scores=scores,
        sensitivity=sensitivity,
        notes=tuple(notes),
        sweep_s=sweep_s,
    )


def with_searched(plan: Plan, opened: Opened, searched: Searched, *, progress: Progress) -> Plan:
    """The plan with searched networks for the same latencies, and the middle one's dynamic sparsity on each; every third is one of them.

    Args:
        plan: Widths and dynamic sparsity.
        opened: The given network, the data, the device.
        searched: Searches the space, or has done so.
        progress: Is told how far it is.
    """
    shares, notes = searched.outlook().shares, []
    points: list[Point] = []
    for target in middle_first(opened.request.latencies):
        architecture = searched.at(target.seconds(searched.given_s) / searched.given_s)
        if architecture is None:
            notes.append(f"no searched network for {target}: space {searched.space.name!r} reaches {shares[0]:.2f}x to {shares[1]:.2f}x")
            continue
        strengths = [None] if opened.no_dynamic is not None else [None, *middle_first(opened.request.strengths)[:1]]
        for strength in strengths:
            ratios = ((), ()) if strength is None else searched.ratios(architecture, strength)
            if ratios is not None:
                points.append(replace(solver_point(opened, widths=(), ratios=ratios), base="searched", architecture=architecture))
    for note in notes:
        progress.note(note)
    return replace(
        plan,
        points=tuple(dict.fromkeys(_mixed(plan.points, points))),
        notes=(*plan.notes, *notes),
        search_s=searched.seconds,
        shares=shares,
    )


def _mixed(points: Sequence[Point], others: Sequence[Point]) -> list[Point]:
    """The given networks, then two of the one kind and one of the other in turn."""
    given = [point for point in points if point.method == "given"]
    first, second = [point for point in points if point.method != "given"], list(others)
    found = [*given]
    while first or second:
        found += [*first[:2], *second[:1]]
        first, second = first[2:], second[1:]
    return found


def solver_point(opened: Opened, *, widths: tuple[tuple[str, int], ...], ratios: tuple[Sequence[float], Sequence[float]]) -> Point:
    """A point of the solvers."""
    channels, positions = ratios
    return Point(
        widths=widths,
        channel_ratios=tuple(channels),
        spatial_ratios=tuple(positions),
        epochs=opened.epochs,
        seed=opened.request.seed,
        origin="solver",
    )


def middle_first(items: Sequence[Item]) -> tuple[Item, ...]:
    """The items from the middle outwards: a study that ends early has then seen the whole range coarsely.

    Example:
        >>> middle_first([0.9, 0.8, 0.7, 0.6, 0.5])
        (0.7, 0.5, 0.9, 0.6, 0.8)
    """
    middle = len(items) // 2
    order: Iterable[int] = [middle, *(place for place in (len(items) - 1, 0) if place != middle)]
    rest = [place for place in range(len(items) - 1, -1, -1) if place not in order]
    return tuple(items[place] for place in dict.fromkeys([*order, *rest]) if 0 <= place < len(items))


class _Chooser:
    """Ratios for a share of the multiply-accumulates, from the given network's sensitivity; says once what is out of reach."""

    def __init__(self, opened: Opened, sensitivity: Sensitivity | None, say: Callable[[str], None]) -> None:
        self._opened, self._sensitivity, self._say = opened, sensitivity, say

    def __call__(self, net: NetSpec, strength: float) -> tuple[Sequence[float], Sequence[float]] | None:
        assert self._sensitivity is not None
        try:
            chosen = choose_for_macs(RatioRequest(macs_at_most=strength), net, place_gates(net), self._sensitivity)
        except TargetError:
            self._say(f"dynamic at {strength:g}x of the multiply-accumulates is left out of {net.name}: its gates cannot leave so little")
            return None
        return (chosen.plan.channel_ratios, chosen.plan.spatial_ratios) if chosen.plan.prunes else None


def _swept(opened: Opened, *, progress: Progress) -> Sensitivity:
    batches = list(opened.data.validation.first(SENSITIVITY_IMAGES))
    return sweep_blocks(opened.loaded.model, opened.gates, batches, ratios=GRID, progress=progress)


def _sensitivity(value: Mapping[str, Any]) -> Sensitivity:
    points = tuple(SweepPoint(**point) for point in value["points"])
    return Sensitivity(points=points, dense=value["dense"], n_images=value["images"], n_blocks=value["n_blocks"])
