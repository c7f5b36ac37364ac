"""What a sparsify run starts from."""

from dataclasses import dataclass, replace

from edgewise._core.errors import DataError
from edgewise.dynamic.balancing import balance_channels
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.recipes.records import LoadedModel
from edgewise.trace import Traced
from edgewise.train.batches import Batches, JudgedData


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Start:
    """What a run starts from.

    Attributes:
        loaded: The dense network.
        traced: Its trace.
        plan: Its gates, at the ratios given or at 0.
        balanced: The dense network with the channels of gated maps scaled, if it was ever trained
            (:mod:`edgewise.dynamic.balancing`): what gates are put into.
        balanced_maps: The readers of these maps.
        data: What to train and judge with; none to do neither.
    """

    loaded: LoadedModel
    traced: Traced
    plan: GatePlan
    balanced: LoadedModel
    balanced_maps: tuple[str, ...] = ()
    data: JudgedData | None

    @property
    def net(self) -> NetSpec:
        """The network as hardware sees it."""
        return self.traced.net

    @staticmethod
    def of(loaded: LoadedModel, traced: Traced, plan: GatePlan, data: JudgedData | None) -> "Start":
        """What a run with these gates starts from."""
        if not loaded.trained:
            return Start(loaded=loaded, traced=traced, plan=plan, balanced=loaded, data=data)
        model, maps = balance_channels(loaded.model, traced.net, plan.gates)
        return Start(loaded=loaded, traced=traced, plan=plan, balanced=replace(loaded, model=model), balanced_maps=maps, data=data)


def held_out(data: JudgedData) -> Batches:
    """The validation part.

    Raises:
        DataError: There is none.
    """
    if data.validation is None:
        raise DataError("ratios and budgets are chosen by images that were not trained on, got data without a validation part")
    return data.validation
