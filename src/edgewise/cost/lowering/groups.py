"""Fused groups: a convolution or linear layer with the norm, addition and activation that run inside it.

Which layers fuse does not depend on widths, so a network is cut once and priced at many widths.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.layers import CONV_OPS

FREE_OPS = frozenset({"input", "view", "flatten", "dropout", "identity", "detach", "contiguous", "constant", "unsqueeze", "squeeze"})
"""Operations that take no time of their own: they rename what lies in memory."""

ACTIVATIONS = frozenset(
    {
        "relu",
        "relu6",
        "leaky_relu",
        "sigmoid",
        "tanh",
        "hardsigmoid",
        "hardswish",
        "silu",
        "gelu",
        "elu",
        "hardtanh",
        "clamp",
        "mish",
        "softplus",
    }
)
"""Operations on single values that follow a layer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionRules:
    """What a runtime fuses behind a convolution.

    Attributes:
        norm: Batch norm folds into the weights before it.
        norm_after_linear: Batch norm folds into a linear layer too.
        add: A residual addition runs inside the convolution that comes last.
        conv_activations: Activations that run inside a convolution.
        linear_activations: Activations that run inside a linear layer.
    """

    norm: bool = True
    norm_after_linear: bool = False
    add: bool = True
    conv_activations: frozenset[str] = frozenset()
    linear_activations: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Layers that a runtime runs as one kernel call.

    Attributes:
        head: The layer that names the group: its convolution or linear layer, or its only layer.
        layers: All layers of the group in running order, the head first.
        activation: Name of the fused activation, or ``""``.
        adds: Name of the layer whose output a fused addition reads, or ``""``.
    """

    head: LayerSpec
    layers: tuple[LayerSpec, ...]
    activation: str = ""
    adds: str = ""

    @property
    def last(self) -> LayerSpec:
        """The layer whose result the group writes."""
        return self.layers[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its layers."""
        return tuple(layer.name for layer in self.layers)


def readers_of(net: NetSpec) -> dict[str, tuple[LayerSpec, ...]]:
    """For each layer, the layers that read its output, in running order."""
    readers: dict[str, list[LayerSpec]] = {layer.name: [] for layer in net.layers}
    for layer in net.layers:
        for name in dict.fromkeys(layer.inputs):
            readers[name].append(layer)
    return {name: tuple(found) for name, found in readers.items()}


def fused_groups(net: NetSpec, rules: FusionRules) -> tuple[Group, ...]:
    """Cuts a network into fused groups.

    Args:
        net: The network.
        rules: What the runtime fuses.

    Returns:
        Groups in running order of their heads; every layer that takes time stands in one.
    """
    readers = readers_of(net)
    taken: set[str] = set()
    groups: list[Group] = []
    for layer in net.layers:
        if layer.name in taken or layer.op in FREE_OPS:
            continue
        group = _grow_group(layer, readers, taken, rules=rules, outputs=frozenset(net.outputs))
        taken.update(group.names)
        groups.append(group)
    return tuple(groups)


def _grow_group(
    head: LayerSpec, readers: Mapping[str, tuple[LayerSpec, ...]], taken: set[str], *, rules: FusionRules, outputs: frozenset[str]
) -> Group:
    layers, activation, adds = [head], "", ""
    conv = head.op in CONV_OPS
    allowed = rules.conv_activations if conv else rules.linear_activations
    while head.priced and len(readers[layers[-1].name]) == 1 and layers[-1].name not in outputs:
        (reader,) = readers[layers[-1].name]
        if reader.name in taken:
            break
        if reader.op == "batch_norm" and len(layers) == 1 and (rules.norm if conv else rules.norm_after_linear):
            layers.append(reader)
        elif reader.op in allowed:
            layers.append(reader)
            activation = reader.op
            break
        else:
            other = _addend(reader, layers[-1], head, readers) if conv and rules.add and reader.op == "add" and not adds else ""
            if not other:
                break
            adds = other
            layers.append(reader)
    return Group(head=head, layers=tuple(layers), activation=activation, adds=adds)


def _addend(add: LayerSpec, tail: LayerSpec, head: LayerSpec, readers: Mapping[str, tuple[LayerSpec, ...]]) -> str:
    """The other input of an addition, if it is as large and does not itself depend on the head; else ``""``."""
    others = [name for name in add.inputs if name != tail.name]
    if len(others) != 1 or add.out_hw != tail.out_hw or add.out_channels != tail.out_channels:
        return ""
    return "" if _follows(others[0], head, readers, until=add.name) else others[0]


def _follows(name: str, head: LayerSpec, readers: Mapping[str, tuple[LayerSpec, ...]], *, until: str) -> bool:
    """Whether layer ``name`` depends on the head, by a path that does not lead through ``until``."""
    seen, open_names = {until}, [head.name]
    while open_names:
        here = open_names.pop()
        if here == name:
            return True
        fresh = [reader.name for reader in readers[here] if reader.name not in seen]
        seen.update(fresh)
        open_names += fresh
    return False
