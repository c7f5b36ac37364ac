"""The networks of a study as run folders to start from, and what is counted in them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.accounting import count_macs
from edgewise.dynamic.balancing import balance_channels
from edgewise.ir import NetSpec, WidthPlan
from edgewise.ir.gates import GatePlan
from edgewise.recipes.explore.opening import Opened, Scores
from edgewise.recipes.explore.point import Point
from edgewise.recipes.explore.searching import Searched
from edgewise.recipes.fit import widths_after, widths_of
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.refitting import Refitter
from edgewise.recipes.runs import is_finished, write_run
from edgewise.trace import Traced, apply_plan, choose_channels, trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What is known of a network before it is trained.

    Attributes:
        macs: Multiply-accumulates for one input, gates left out.
        macs_executed: The same with what gates prune left out; whole channels and positions.
        params: Learnt parameters.
        layer_widths: Output width of every convolution and linear layer; 0 for those left out.
        channel_ratios: Pruned share of channels of each block; empty for a network without gates.
        spatial_ratios: The same of positions.
    """

    macs: int
    macs_executed: int
    params: int
    layer_widths: Mapping[str, int]
    channel_ratios: tuple[float, ...] = ()
    spatial_ratios: tuple[float, ...] = ()


class Networks:
    """Makes the networks of points.

    Args:
        opened: The given network.
        scores: Which channels are kept: the most important ones.
        searched: Gives the searched ones; none where no space is searched.
    """

    def __init__(self, opened: Opened, scores: Scores, searched: Searched | None = None) -> None:
        self._opened, self._scores, self._searched = opened, scores, searched

    def net(self, point: Point) -> NetSpec:
        """A network as hardware sees it, gates left out."""
        if point.architecture:
            assert self._searched is not None
            return self._searched.net(point.architecture)
        return self._opened.net.with_widths(dict(point.widths))

    def counted(self, point: Point) -> Counted:
        """What is counted in a network."""
        net = self.net(point)
        gates = self.gates(point)
        saved = 0
        if gates is not None:
            count = count_macs(net, gates)
            saved = count.macs - count.macs_executed
        return Counted(
            macs=net.macs,
            macs_executed=net.macs - saved,
            params=net.params,
            layer_widths=widths_of(net) if point.architecture else widths_after(self._opened.net, net),
            channel_ratios=() if gates is None else gates.channel_ratios,
            spatial_ratios=() if gates is None else gates.spatial_ratios,
        )

    def gates(self, point: Point) -> GatePlan | None:
        """The gates of a dynamic network; none of a static one."""
        if not point.dynamic:
            return None
        return place_gates(self.net(point), channel_ratios=point.channel_ratios, spatial_ratios=point.spatial_ratios)

    def write_given(self, folder: Path) -> None:
        """Writes the given network as it came, as a run folder; one that is there stays."""
        if not is_finished(folder):
            loaded = self._opened.loaded
            write_run(folder, loaded.model, record=loaded.record, result={"command": "explore", "given": loaded.name})

    def write_start(self, point: Point, folder: Path) -> None:
        """Writes the network that a point's training starts from, as a run folder; one that is there stays."""
        if is_finished(folder):
            return
        loaded = self._start(point)
        write_run(folder, loaded.model, record=loaded.record, result={"command": "explore", "start": point.to_json()})

    def _start(self, point: Point) -> LoadedModel:
        loaded, traced = self._opened.loaded, self._opened.traced
        if point.architecture:
            assert self._searched is not None
            loaded = self._searched.network(point.architecture)
        gates, refitter = self.gates(point), self._refitter
        if gates is not None:
            loaded, refitter = self._balanced(loaded, _traced(loaded)) if point.architecture else self._given_balanced
        model, record, plan = loaded.model, loaded.record, WidthPlan()
        if point.widths:
            present = self._opened.net.widths
            plan = choose_channels(traced, {name: width for name, width in point.widths if width != present[name]}, self._scores)
            model, record = apply_plan(model, plan, traced), record.followed_by(plan, trained=True)
        if gates is None:
            refitter.refit(model, plan)
        else:
            model, record = GatedNetwork(model, gates), record.followed_by(gates, trained=True)
            refitter.refit_gated(model, plan)
        return replace(loaded, model=model, record=record)

    @cached_property
    def _refitter(self) -> Refitter:
        return Refitter(self._opened.loaded.model, self._opened.traced, self._opened.lessons())

    @cached_property
    def _given_balanced(self) -> tuple[LoadedModel, Refitter]:
        return self._balanced(self._opened.loaded, self._opened.traced)

    def _balanced(self, loaded: LoadedModel, traced: Traced) -> tuple[LoadedModel, Refitter]:
        """The network with the channels of gated maps scaled, as gates want it, and what refits copies of that."""
        model, _ = balance_channels(loaded.model, traced.net, place_gates(traced.net).gates)
        return replace(loaded, model=model), Refitter(model, traced, self._opened.lessons())


def _traced(loaded: LoadedModel) -> Traced:
    return trace(loaded.model, loaded.inputs(), name=loaded.name)
