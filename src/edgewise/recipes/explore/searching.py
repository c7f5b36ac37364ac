"""Searched networks in a study: one supernet, searched once, and the networks that it gives for several latencies."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise._core.errors import RunError, TargetError, UsageError
from edgewise._core.files import write_json
from edgewise._core.progress import Progress
from edgewise.dynamic import place_gates
from edgewise.dynamic.sensitivity import sweep_blocks
from edgewise.ir import ArchPlan, NetSpec
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.lock import untimed
from edgewise.recipes.explore.opening import Opened
from edgewise.recipes.explore.threads import torch_threads
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.searching.aiming import network_of
from edgewise.recipes.searching.opening import open_beside
from edgewise.recipes.searching.prices import net_of
from edgewise.recipes.sparsify.ratios import GRID, choose_for_macs
from edgewise.recipes.sparsify.request import RatioRequest
from edgewise.singlepath.choosing import choose
from edgewise.singlepath.derive import at_training_scale, inherited
from edgewise.singlepath.search import search
from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.supernet import Supernet
from edgewise.space import Space
from edgewise.space.prices import Prices
from edgewise.train.checkpoint import Checkpoint

PRICES_FILE, SEARCH_FILE = "prices.json", "search.safetensors"
SENSITIVITY_IMAGES = 500
"""Validation images that the sensitivity of a searched network is judged by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What is known of the search before it begins.

    Attributes:
        shares: The shortest and the longest latency that the space reaches, as shares of the given network's.
        macs: Multiply-accumulates of the space's largest network for one image.
    """

    shares: tuple[float, float]
    macs: int


class Searched:
    """A supernet, its prices on the device, and the networks chosen from it. What it finds stays in its folder.

    Args:
        opened: The given network, the data, the device, the space.
        folder: Where prices and the supernet's weights are kept.
        progress: Is told how far it is.
    """

    def __init__(self, opened: Opened, folder: Path, *, progress: Progress) -> None:
        assert opened.space is not None
        self._opened, self._folder, self._progress = opened, folder, progress
        self.space: Space = opened.space
        self._priced: tuple[Prices, float] | None = None
        self._net: Supernet | None = None
        self._nets: dict[tuple[str, ...], NetSpec] = {}
        self._ratios: dict[tuple[tuple[str, ...], float], tuple[tuple[float, ...], tuple[float, ...]] | None] = {}
        self.seconds = 0.0

    def outlook(self) -> Outlook:
        """Prices the space beside the given network."""
        prices, reference_s = self._prices()
        least_s, most_s = prices.range_s
        return Outlook(shares=(least_s / reference_s, most_s / reference_s), macs=net_of(self.space, self.space.largest).macs)

    @property
    def given_s(self) -> float:
        """Latency of the given network where the space was priced."""
        return self._prices()[1]

    def at(self, share: float) -> tuple[str, ...] | None:
        """The likeliest network of at most a share of the given network's latency, by its blocks; none where none is so fast."""
        prices, reference_s = self._prices()
        try:
            return tuple(choose(self._searched(), prices, share * reference_s).labels)
        except TargetError:
            return None

    def predicted_s(self, architecture: tuple[str, ...]) -> float:
        """Latency of a network by the prices."""
        return self._prices()[0].latency_s(self.plan(architecture))

    def plan(self, architecture: tuple[str, ...]) -> ArchPlan:
        """The plan of a network of the space.

        Raises:
            UsageError: It is none.
        """
        if len(architecture) != len(self.space.blocks):
            raise UsageError(f"space {self.space.name!r} has {len(self.space.blocks)} blocks, got an architecture of {len(architecture)}")
        found = []
        for block, label in zip(self.space.blocks, architecture, strict=True):
            choice = next((one for one in block.choices if one.label == label), None)
            if choice is None:
                raise UsageError(f"block {block.position} of space {self.space.name!r} cannot be {label!r}")
            found.append(choice)
        return ArchPlan(blocks=tuple(found))

    def net(self, architecture: tuple[str, ...]) -> NetSpec:
        """A network as hardware sees it."""
        if architecture not in self._nets:
            self._nets[architecture] = net_of(self.space, self.plan(architecture))
        return self._nets[architecture]

    def network(self, architecture: tuple[str, ...]) -> LoadedModel:
        """A network with the weights that it inherits from the supernet, its batch norms measured anew."""
        plan, net = self.plan(architecture), self._searched()
        with torch_threads(self._opened.threads):
            child = at_training_scale(inherited(net, plan, self._opened.data.train, gate=untimed))
        return network_of(self.space, plan, child)

    def ratios(self, architecture: tuple[str, ...], strength: float) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Ratios of channels and positions for a share of the multiply-accumulates; none where gates cannot leave so little."""
        known = (architecture, strength)
        if known not in self._ratios:
            self._ratios[known] = self._chosen(architecture, strength)
        return self._ratios[known]

    def _chosen(self, architecture: tuple[str, ...], strength: float) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        net = self.net(architecture)
        gates = place_gates(net)
        if not gates.gates:
            return None
        batches = list(self._opened.data.validation.first(SENSITIVITY_IMAGES))
        sensitivity = sweep_blocks(self.network(architecture).model, gates, batches, ratios=GRID, progress=self._progress)
        try:
            chosen = choose_for_macs(RatioRequest(macs_at_most=strength), net, gates, sensitivity).plan
        except TargetError:
            return None
        return (chosen.channel_ratios, chosen.spatial_ratios) if chosen.prunes else None

    def _prices(self) -> tuple[Prices, float]:
        if self._priced is None:
            path = self._folder / PRICES_FILE
            if not path.exists():
                self._keep(path)
            self._priced = self._kept(path)
        return self._priced

    def _keep(self, path: Path) -> None:
        opened = self._opened
        with LatencyDatabase(opened.request.device.db, progress=self._progress) as database:
            found = open_beside(self.space, opened.data, opened.loaded, opened.request.device, database=database, progress=self._progress)
        prices = found.prices
        tables = [table.tolist() for table in prices.tables]
        write_json(path, {"constant_s": prices.constant_s, "tables": tables, "kind": prices.kind, "reference_s": found.reference_s})

    def _kept(self, path: Path) -> tuple[Prices, float]:
        try:
            value: dict[str, Any] = json.loads(path.read_bytes())
            tables = tuple(np.array(table, dtype=np.float64) for table in value["tables"])
            prices = Prices(space=self.space, constant_s=float(value["constant_s"]), tables=tables, kind=str(value["kind"]))
            return prices, float(value["reference_s"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error

    def _searched(self) -> Supernet:
        """The supernet, searched: now, or in a session before."""
        if self._net is not None:
            return self._net
        opened = self._opened
        prices, reference_s = self._prices()
        settings = SearchSettings(epochs=opened.request.search_epochs, seed=opened.request.seed, gate=untimed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(opened.request.seed)
            net = Supernet(self.space, form=settings.form, runtime=settings.runtime)
        net.set_prices(prices)
        with torch_threads(opened.threads):
            outcome = search(
                net,
                opened.data,
                targets_s=self._targets_s(prices, reference_s),
                settings=settings,
                checkpoint=Checkpoint(path=self._folder / SEARCH_FILE, resume=True),
                progress=self._progress,
            )
        self.seconds, self._net = outcome.seconds, outcome.net
        return outcome.net

    def _targets_s(self, prices: Prices, reference_s: float) -> tuple[float, ...]:
        """The latencies asked for that the space reaches, the middle one first; the middle of what it reaches where it reaches none."""
        least_s, most_s = prices.range_s
        asked = sorted(target.seconds(reference_s) for target in self._opened.request.latencies)
        reached = [seconds for seconds in asked if least_s <= seconds <= most_s]
        middle = len(reached) // 2
        return (reached[middle], *reached[:middle], *reached[middle + 1 :]) if reached else ((least_s + most_s) / 2,)
