"""A network: its layers, and which channel dimensions must change together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from edgewise._core.errors import PlanError, SpecError, UnknownLayerError
from edgewise.ir.blocks import Block, rewired, without
from edgewise.ir.layers import LayerSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Tie:
    """Channels that must be kept or removed together, all over the network.

    Attributes:
        name: Name of the first layer (in running order) that writes these channels.
        width: Present width. One unit stands for ``times`` channels in every dimension
            with a term of this tie.
        writers: Layers with weights that write these channels.
        free: The width may shrink.
        growable: The width may also grow without changing the function.
        reason: Why it is not free, or free but not growable; empty where both.
    """

    name: str
    width: int
    writers: tuple[str, ...]
    free: bool
    growable: bool
    reason: str = ""

    def __post_init__(self) -> None:
        """Checks ``width >= 1`` and that every limit has its reason."""
        if self.width < 1:
            raise SpecError(f"`width` of tie {self.name!r} must be at least 1, got {self.width}")
        if not (self.free and self.growable) and not self.reason:
            raise SpecError(f"tie {self.name!r} is not free or not growable: `reason` must say why, got ''")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftAlone:
    """A layer whose width is not changed, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """A network as hardware sees it, for a batch of one.

    Attributes:
        name: What people call it.
        input_shapes: Shape of each input with a batch of one, such as ``(1, 3, 32, 32)``.
        layers: Operations in running order; every input of a layer stands before it.
        ties: All ties, sorted by the place of their first writer.
        outputs: Names of the layers whose results the network returns.
        left_alone: Layers with weights whose widths cannot be changed (or not grown), with the reason.
        blocks: Residual blocks that can be left out.
    """

    name: str
    input_shapes: tuple[tuple[int, ...], ...]
    layers: tuple[LayerSpec, ...]
    ties: tuple[Tie, ...]
    outputs: tuple[str, ...] = ()
    left_alone: tuple[LeftAlone, ...] = ()
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        """Checks names, order of layers, and that widths agree with the ties."""
        seen: set[str] = set()
        widths = self.widths
        for layer in self.layers:
            missing = [name for name in layer.inputs if name not in seen]
            if missing:
                raise SpecError(f"layer {layer.name!r} reads {missing}, which must stand before it")
            if layer.name in seen:
                raise SpecError(f"layer names must be unique, got {layer.name!r} twice")
            seen.add(layer.name)
            for side, dim, channels in (("in", layer.in_dim, layer.in_channels), ("out", layer.out_dim, layer.out_channels)):
                if dim.width(widths) != channels:
                    raise SpecError(f"`{side}_channels` of {layer.name!r} must equal its dimension {dim.width(widths)}, got {channels}")

    @cached_property
    def _by_name(self) -> dict[str, LayerSpec]:
        return {layer.name: layer for layer in self.layers}

    @property
    def widths(self) -> dict[str, int]:
        """Present width of every tie."""
        return {tie.name: tie.width for tie in self.ties}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers, for one input."""
        return sum(layer.macs for layer in self.layers)

    @property
    def params(self) -> int:
        """Learnt parameters."""
        return sum(layer.params for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights of convolutions and linear layers in fp32, shared ones once."""
        return sum(4 * layer.weight_count for layer in self.layers if layer.shares is None)

    @property
    def largest_map_bytes(self) -> int:
        """Bytes of the largest feature map that a layer writes, for a batch of one in fp32."""
        return max((4 * layer.out_channels * math.prod(layer.out_hw) for layer in self.layers), default=0)

    @property
    def priced(self) -> tuple[LayerSpec, ...]:
        """Convolutions and linear layers, in running order."""
        return tuple(layer for layer in self.layers if layer.priced)

    def layer(self, name: str) -> LayerSpec:
        """The layer of that name.

        Raises:
            UnknownLayerError: There is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownLayerError(f"network {self.name!r} has no layer {name!r}") from None

    def tie(self, name: str) -> Tie:
        """The tie of that name.

        Raises:
            UnknownLayerError: There is none.
        """
        for tie in self.ties:
            if tie.name == name:
                return tie
        raise UnknownLayerError(f"network {self.name!r} has no tie {name!r}")

    def own_tie(self, layer: LayerSpec) -> str | None:
        """The tie that a layer's output width is known by: the last of its dimension's ties in running order.

        A stage whose zero-padded shortcut adds channels to those of the stage before has
        two ties; its own is the one it adds.
        """
        order = {tie.name: place for place, tie in enumerate(self.ties)}
        ties = [name for name in layer.out_dim.ties if layer.name in self.tie(name).writers or not layer.priced]
        return max(ties, key=order.__getitem__, default=None)

    def with_widths(self, widths: Mapping[str, int]) -> "NetSpec":
        """The same network with other widths; ties not named keep theirs.

        Args:
            widths: New width for each tie to change: at least 1, or 0 for all ties of a block, which is left out then.

        Returns:
            A new network whose channels all fit: one width a tie, so that mismatched
            channels cannot be written.

        Raises:
            PlanError: An unknown tie, a width of 0 that leaves no block out, or a tie that may not change so.
        """
        net = self._without(self.left_out(widths))
        known = {tie.name: tie for tie in self.ties}
        for name, width in widths.items():
            if name not in known:
                raise PlanError(f"`widths` must name ties of {self.name!r}, got {name!r}")
            if width != 0:
                _check_width(known[name], width)
        merged = {**net.widths, **{name: width for name, width in widths.items() if width != 0}}
        ties = tuple(replace(tie, width=merged[tie.name]) for tie in net.ties)
        layers = tuple(layer.with_widths(merged) for layer in net.layers)
        return replace(net, ties=ties, layers=layers)

    def left_out(self, widths: Mapping[str, int]) -> tuple[Block, ...]:
        """The blocks that are left out at these widths: those with 0 for all of their ties.

        Raises:
            PlanError: A tie of width 0 belongs to no such block.
        """
        zero = {name for name, width in widths.items() if width == 0}
        gone = tuple(block for block in self.blocks if zero.issuperset(block.ties)) if zero else ()
        stray = sorted(zero - {tie for block in gone for tie in block.ties})
        if stray:
            block = next((block for block in self.blocks if stray[0] in block.ties), None)
            rule = f"or 0 together with {', '.join(block.ties)}" if block else "no block that can be left out is all it writes"
            raise PlanError(f"the width of {stray[0]!r} must be at least 1 ({rule}), got 0")
        return gone

    def _without(self, gone: tuple[Block, ...]) -> "NetSpec":
        """The network without these blocks."""
        if not gone:
            return self
        dropped = {name for block in gone for name in block.layers}
        dropped_ties = {tie for block in gone for tie in block.ties}
        results = {block.result: block for block in gone}
        return replace(
            self,
            layers=tuple(replace(layer, inputs=rewired(layer.inputs, results)) for layer in self.layers if layer.name not in dropped),
            ties=tuple(
                replace(tie, writers=tuple(name for name in tie.writers if name not in dropped))
                for tie in self.ties
                if tie.name not in dropped_ties
            ),
            outputs=rewired(self.outputs, results),
            left_alone=tuple(one for one in self.left_alone if one.name not in dropped),
            blocks=tuple(left for block in self.blocks if (left := without(block, results)) is not None),
        )


def _check_width(tie: Tie, width: int) -> None:
    if width < 1:
        raise PlanError(f"the width of {tie.name!r} must be at least 1, got {width}")
    if width < tie.width and not tie.free:
        raise PlanError(f"tie {tie.name!r} must keep its width {tie.width} ({tie.reason}), got {width}")
    if width > tie.width and not tie.growable:
        raise PlanError(f"tie {tie.name!r} must not grow beyond {tie.width} ({tie.reason}), got {width}")
