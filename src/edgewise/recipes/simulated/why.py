"""Where the time of a network went on a simulated device, layer by layer, and why it did not follow the work."""

from dataclasses import dataclass
from typing import Any

from edgewise.cost.chip.device import PieceCost
from edgewise.recipes.simulated.simulate import SimulatedLayer, Simulation

_NOISE = 0.02
_FOLLOWED_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedWhy:
    """One layer before and after: the fields of a measured row, its kind apart."""

    layer: str
    macs_before: int
    macs_after: int
    latency_before_s: float
    latency_after_s: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "kind": "simulated"}


def explain_simulated(before: Simulation, after: Simulation) -> tuple[SimulatedWhy, ...]:
    """Compares two simulations of one network.

    Args:
        before: The network as it came.
        after: The network at other widths, or with blocks left out, whose layers do nothing and take no time.
    """
    now = {layer.name: layer for layer in after.layers}
    rows = []
    for old in before.layers:
        new = now.get(old.name)
        rows.append(
            SimulatedWhy(
                layer=old.name,
                macs_before=old.cost.macs // before.batch,
                macs_after=new.cost.macs // after.batch if new else 0,
                latency_before_s=old.cost.latency_s,
                latency_after_s=new.cost.latency_s if new else 0.0,
                reason="" if new is None or _followed(old, new) else reason(old, new),
            )
        )
    return tuple(rows)


def _followed(old: SimulatedLayer, new: SimulatedLayer) -> bool:
    """Whether at least half of the share of MACs saved was saved in time."""
    saved_s = 1 - new.cost.latency_s / old.cost.latency_s
    if not old.cost.macs:
        return saved_s >= -_NOISE
    saved = 1 - new.cost.macs / old.cost.macs
    return saved_s >= saved * (_FOLLOWED_SHARE if saved > 0 else 1.0) - _NOISE


def reason(old: SimulatedLayer, new: SimulatedLayer) -> str:
    """The first cause that holds, in words."""
    was, now = old.cost, new.cost
    if isinstance(was, PieceCost) or isinstance(now, PieceCost):
        return _chip_reason(old, new)
    if now.family != was.family:
        return f"another kernel is cheapest now: {now.family} ({was.family} before)"
    if now.blocks == was.blocks and new.out_channels != old.out_channels:
        return f"the same {now.blocks} blocks: a tile of {now.family} costs as much part full ({now.tile_utilisation:.0%} used now)"
    if now.waves == was.waves and now.blocks != was.blocks:
        return f"the same {now.waves} waves, the last {now.utilisation:.0%} full on average ({was.utilisation:.0%} before)"
    if now.bound_by == "launch":
        return "launching its kernels takes most of its time"
    if now.bound_by == "memory":
        return "bound by memory traffic, which does not follow the MACs"
    return "smaller layers fill the processors less well"


def _chip_reason(old: SimulatedLayer, new: SimulatedLayer) -> str:
    was, now = old.cost, new.cost
    assert isinstance(was, PieceCost) and isinstance(now, PieceCost)
    if now.arrays == was.arrays:
        return f"the same {now.arrays} arrays: one costs as much part full ({now.utilisation:.0%} of the cells used now)"
    return f"{now.arrays} arrays after {was.arrays}: whole arrays are filled less well ({now.utilisation:.0%} after {was.utilisation:.0%})"
