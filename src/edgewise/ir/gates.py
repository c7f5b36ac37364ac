"""Which feature maps are pruned for each input, and by how much: plans for gates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgewise._core.errors import PlanError
from edgewise._core.showing import Card, Table, counted


def kept_count(count: int, ratio: float) -> int:
    """How many of ``count`` channels or positions stay when a ratio of them is pruned: ``count - floor(ratio * count + 1e-9)``.

    Args:
        count: Channels or positions; at least 1.
        ratio: Pruned share, in [0, 1).

    Raises:
        PlanError: The ratio lies outside [0, 1).

    Example:
        >>> kept_count(64, 0.2), kept_count(10, 0.9), kept_count(256, 0.6)
        (52, 1, 103)
    """
    if not 0 <= ratio < 1:
        raise PlanError(f"a pruned ratio must lie in [0, 1), got {ratio:g}")
    return count - math.floor(ratio * count + 1e-9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A feature map that is pruned before a convolution reads it.

    Attributes:
        consumer: The convolution whose input is pruned.
        producer: The layer that wrote the map: a convolution or, of a block's output, the sum.
        block: Which of the network's blocks the map was produced in, from 0.
        channels: Channels of the map.
        hw: Its height and width.
        channel_ratio: Pruned share of channels, in [0, 1).
        spatial_ratio: Pruned share of positions, in [0, 1).
    """

    consumer: str
    producer: str
    block: int
    channels: int
    hw: tuple[int, ...]
    channel_ratio: float = 0.0
    spatial_ratio: float = 0.0

    @property
    def kept_channels(self) -> int:
        """Channels that stay, for every input."""
        return kept_count(self.channels, self.channel_ratio)

    @property
    def kept_positions(self) -> int:
        """Positions that stay, for every input."""
        return kept_count(math.prod(self.hw), self.spatial_ratio)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """One of the pruning ratios that a one-for-all network can be switched to.

    Attributes:
        share: Share of the plan's ratios that are used, in [0, 1]: 0 is the dense network, 1 the plan itself.
        latency_s: Seconds for one batch where the network was made, measured; none where nothing was measured.
    """

    share: float
    latency_s: float | None = None

    def __post_init__(self) -> None:
        """Checks the share."""
        if not 0 <= self.share <= 1:
            raise PlanError(f"the share of a budget must lie in [0, 1], got {self.share:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GatePlan:
    """All gates of a network, at most one a consumer.

    Attributes:
        gates: In running order of the consumers.
        heads: Linear layers that read a map of a block through pooling, as (layer, producer, block): they are
            not gated, but static removal of channels reaches them.
        n_blocks: Blocks that ratios are given for.
        budgets: What a one-for-all network can be switched to, by rising share; empty for other networks.

    Example:
        >>> gate = Gate(consumer="b", producer="a", block=0, channels=64, hw=(8, 8), channel_ratio=0.5)
        >>> plan = GatePlan(gates=(gate,), n_blocks=1)
        >>> plan.scaled(0.5).gates[0].kept_channels, GatePlan.from_json(plan.to_json()) == plan
        (48, True)
        >>> plan
        GatePlan: 1 gate in 1 block
        block  maps  gates  channels pruned  positions pruned
            0  8x8       1              50%                0%
    """

    gates: tuple[Gate, ...]
    heads: tuple[tuple[str, str, int], ...] = ()
    n_blocks: int = 0
    budgets: tuple[Budget, ...] = ()

    def __post_init__(self) -> None:
        """Checks that no input is gated twice, and the order of the budgets."""
        names = [gate.consumer for gate in self.gates]
        if len(names) != len(set(names)):
            raise PlanError(f"an input must be gated once, got {sorted(name for name in set(names) if names.count(name) > 1)}")
        shares = [budget.share for budget in self.budgets]
        if shares != sorted(set(shares)):
            raise PlanError(f"budgets must have rising shares, got {shares}")

    def __repr__(self) -> str:
        """The plan as people read it."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        rows = []
        for block in range(self.n_blocks):
            gates = [gate for gate in self.gates if gate.block == block]
            maps = "x".join(map(str, gates[0].hw)) if gates else None
            rows.append((block, maps, len(gates), f"{self.channel_ratios[block]:.0%}", f"{self.spatial_ratios[block]:.0%}"))
        header = ("block", "maps", "gates", "channels pruned", "positions pruned")
        notes = (f"budgets: {', '.join(f'{budget.share:.0%}' for budget in self.budgets)} of these ratios",) if self.budgets else ()
        table = Table(header=header, rows=tuple(rows), numeric=(0, 2, 3, 4))
        return Card(
            title=f"GatePlan: {counted(len(self.gates), 'gate')} in {counted(self.n_blocks, 'block')}", tables=(table,), notes=notes
        )

    @property
    def channel_ratios(self) -> tuple[float, ...]:
        """Pruned share of channels of each block; 0 for a block without gates."""
        ratios = {gate.block: gate.channel_ratio for gate in self.gates}
        return tuple(ratios.get(block, 0.0) for block in range(self.n_blocks))

    @property
    def spatial_ratios(self) -> tuple[float, ...]:
        """Pruned share of positions of each block; 0 for a block without gates."""
        ratios = {gate.block: gate.spatial_ratio for gate in self.gates}
        return tuple(ratios.get(block, 0.0) for block in range(self.n_blocks))

    @property
    def prunes(self) -> bool:
        """Whether any ratio is above 0."""
        return any(gate.channel_ratio or gate.spatial_ratio for gate in self.gates)

    def scaled(self, share: float) -> "GatePlan":
        """The plan with every ratio multiplied by a share in [0, 1]."""
        return self.with_ratios([share * ratio for ratio in self.channel_ratios], [share * ratio for ratio in self.spatial_ratios])

    def with_ratios(self, channels: Sequence[float], positions: Sequence[float]) -> "GatePlan":
        """The plan with other ratios, one for each block.

        Raises:
            PlanError: Another number of ratios than blocks, or one outside [0, 1).
        """
        channels = check_ratios("channel ratios", channels, n_blocks=self.n_blocks)
        positions = check_ratios("spatial ratios", positions, n_blocks=self.n_blocks)
        gates = (replace(gate, channel_ratio=channels[gate.block], spatial_ratio=positions[gate.block]) for gate in self.gates)
        return replace(self, gates=tuple(gates))

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        fields = ("consumer", "producer", "block", "channels", "channel_ratio", "spatial_ratio")
        return {
            "kind": "gates",
            "gates": [{**{name: getattr(gate, name) for name in fields}, "hw": list(gate.hw)} for gate in self.gates],
            "heads": [list(head) for head in self.heads],
            "n_blocks": self.n_blocks,
            "budgets": [{"share": budget.share, "latency_s": budget.latency_s} for budget in self.budgets],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "GatePlan":
        """The plan that :meth:`to_json` wrote.

        Raises:
            PlanError: The value is not such a plan.
        """
        try:
            if value["kind"] != "gates":
                raise PlanError(f"`kind` of a gate plan must be 'gates', got {value['kind']!r}")
            plan = GatePlan(
                gates=tuple(_gate_of(gate) for gate in value["gates"]),
                heads=tuple((str(layer), str(producer), int(block)) for layer, producer, block in value["heads"]),
                n_blocks=int(value["n_blocks"]),
                budgets=tuple(
                    Budget(share=float(one["share"]), latency_s=None if one["latency_s"] is None else float(one["latency_s"]))
                    for one in value["budgets"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PlanError):
                raise
            raise PlanError(f"not a gate plan: {error!r}") from error
        return plan


def _gate_of(value: Mapping[str, Any]) -> Gate:
    gate = Gate(
        consumer=str(value["consumer"]),
        producer=str(value["producer"]),
        block=int(value["block"]),
        channels=int(value["channels"]),
        hw=tuple(int(side) for side in value["hw"]),
        channel_ratio=float(value["channel_ratio"]),
        spatial_ratio=float(value["spatial_ratio"]),
    )
    if gate.kept_channels < 1 or gate.kept_positions < 1:
        raise PlanError(f"a gate must keep at least 1 channel and 1 position, {gate.consumer!r} keeps none")
    return gate


def check_ratios(name: str, ratios: Sequence[float], *, n_blocks: int, labels: Sequence[str] = ()) -> tuple[float, ...]:
    """Ratios of each block from those that a person gave: one for all blocks, or one for each.

    Args:
        name: The flag, for the error.
        ratios: Pruned shares; empty for none.
        n_blocks: Blocks of the network.
        labels: What the blocks are, for the error.

    Raises:
        PlanError: Another number of ratios, or one outside [0, 1).

    Example:
        >>> check_ratios("--channel-ratios", (0.5,), n_blocks=3)
        (0.5, 0.5, 0.5)
    """
    wrong = [ratio for ratio in ratios if not 0 <= ratio < 1]
    if wrong:
        raise PlanError(f"{name} must lie in [0, 1), got {wrong[0]:g}")
    if not ratios:
        return (0.0,) * n_blocks
    if len(ratios) == 1:
        return (ratios[0],) * n_blocks
    if len(ratios) != n_blocks:
        blocks = f"; the blocks are {', '.join(labels)}" if labels else ""
        raise PlanError(f"{name} needs 1 ratio or {n_blocks} (one for each block), got {len(ratios)}{blocks}")
    return tuple(ratios)
