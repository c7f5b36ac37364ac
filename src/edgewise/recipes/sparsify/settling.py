"""What gates of settled ratios are put into: the network with its maps balanced, without what no image is to keep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from edgewise._core.progress import Progress
from edgewise.dynamic import GatedNetwork
from edgewise.dynamic.balancing import CHANGING, balance_channels, record_maps
from edgewise.dynamic.removing import Removal, plan_removal
from edgewise.dynamic.training import hints_of
from edgewise.ir import NetSpec, WidthPlan
from edgewise.ir.gates import GatePlan
from edgewise.recipes.records import LoadedModel, ModelRecord
from edgewise.recipes.refitting import forward_of, refit_pruned
from edgewise.recipes.training import Lessons
from edgewise.trace import Traced
from edgewise.trace.surgery import apply_plan
from edgewise.train.hints import Hints


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Settled:
    """A network ready for gates of settled ratios.

    Attributes:
        dense: The network with its maps balanced: it computes what the original does, and teaches.
        traced: Its trace.
        removal: What is removed for good, and the gates on the rest.
        maps: Readers of the maps that were balanced.
    """

    dense: LoadedModel
    traced: Traced
    removal: Removal
    maps: tuple[str, ...] = ()

    @property
    def net(self) -> NetSpec:
        """What is left of the network, as hardware sees it."""
        return self.traced.net.with_widths(self.removal.widths.widths)

    @property
    def hints(self) -> Hints:
        """The maps to learn from, as far as their channels are still there."""
        staying = self.removal.staying
        return replace(hints_of(self.removal.gates), channels=tuple(staying.get(gate.consumer) for gate in self.removal.gates.gates))

    def left(self) -> nn.Module:
        """What is left of the network, without gates."""
        return apply_plan(self.dense.model, self.removal.widths, self.traced)

    def gated(self, *, lessons: Lessons | None, progress: Progress) -> tuple[GatedNetwork, tuple[str, ...]]:
        """What is left with its gates, its layers refitted, and the names of these (:mod:`edgewise.recipes.refitting`).

        Args:
            lessons: Whose images say how to refit; none not to.
            progress: Is told.
        """
        network = GatedNetwork(self.left(), self.removal.gates).eval()
        refitted = refit_pruned(self.dense, self.traced, network, self.removal.widths, lessons=lessons, progress=progress)
        return network, refitted


def settle(
    loaded: LoadedModel,
    traced: Traced,
    plan: GatePlan,
    *,
    lessons: Lessons | None,
    remove: bool = False,
    changing: Sequence[float] = (CHANGING,),
) -> Settled:
    """Balances a network for the ratios of its gates, and removes what no image is to keep.

    Args:
        loaded: The network; one that was never trained is not balanced.
        traced: Its trace.
        plan: Gates and their settled ratios, of the network as it is.
        lessons: Whose images say what its channels are like; none to go by weights alone.
        remove: Remove channels; otherwise all stay (:mod:`edgewise.dynamic.removing`).
        changing: Share of the kept channels that may be others for every image, one for all blocks or one for each.
    """
    forward = forward_of(lessons) if loaded.trained else None
    statistics = None if forward is None else record_maps(loaded.model, plan.gates, forward)
    removal = Removal(widths=WidthPlan(), gates=plan, staying={})
    if remove:
        removal = plan_removal(loaded.model, traced.net, plan, statistics, changing=changing)
    if not loaded.trained:
        return Settled(dense=loaded, traced=traced, removal=removal)
    model, maps = balance_channels(loaded.model, traced.net, plan.gates, statistics, changing=changing)
    return Settled(dense=replace(loaded, model=model), traced=traced, removal=removal, maps=maps)


def without_gates(loaded: LoadedModel, network: GatedNetwork, removal: Removal) -> LoadedModel:
    """What is left of a dense network where channels were removed for good, without gates; else the dense network itself.

    Args:
        loaded: The dense network.
        network: What is left, with gates.
        removal: What was removed.
    """
    if not removal.widths.ties:
        return loaded
    return replace(loaded, model=network.plain(), record=record_left(loaded, removal), name=f"{loaded.name}, channels removed")


def record_left(loaded: LoadedModel, removal: Removal) -> ModelRecord:
    """How to build what is left of a dense network again, tensors apart: its own record where nothing was removed."""
    return loaded.record.followed_by(removal.widths, trained=loaded.trained) if removal.widths.ties else loaded.record
