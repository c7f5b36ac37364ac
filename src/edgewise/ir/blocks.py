"""Residual blocks: modules that only add something to what they read, so that a network computes on without them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from edgewise.ir.layers import LayerSpec

_KEEPS = frozenset({"max_pool2d"})
"""Operations whose results are results of the activation before them: the largest of some is one of them."""
_IDEMPOTENT = frozenset({"relu", "relu6"})
"""Activations that change nothing when they are applied again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A module that may be left out: what reads its result then reads what the block read.

    Attributes:
        name: Path of the module.
        layers: Names of its layers, in running order.
        source: Name of the layer that it reads, and adds to.
        result: Name of its layer that others read.
        ties: Ties that its layers alone write, in the order of the network's. A width of 0 for all of them says that
            the block is left out.
    """

    name: str
    layers: tuple[str, ...]
    source: str
    result: str
    ties: tuple[str, ...]


def find_blocks(layers: tuple[LayerSpec, ...], *, writers: Mapping[str, tuple[str, ...]], outputs: tuple[str, ...]) -> tuple[Block, ...]:
    """Blocks that can be left out, by the looks of a network.

    A module is one if it has an addition of its own result to the only thing that it reads from outside, of the same
    shape, and does nothing behind it but an activation that this has behind it already.

    Args:
        layers: All layers, in running order.
        writers: For each tie, in order, the layers that write it.
        outputs: Names of the layers whose results the network returns.
    """
    by_name = {layer.name: layer for layer in layers}
    found = []
    for layer in layers:
        module = layer.name.rpartition(".")[0]
        if layer.op != "add" or len(layer.inputs) != 2 or not module:
            continue
        inside = {one.name: one for one in layers if one.name.startswith(f"{module}.")}
        result = _result_of(layer, inside)
        source = _source_of(layer, inside)
        if result is None or source is None or not _alone(inside, layers, source=source, result=result, outputs=outputs):
            continue
        first, last = by_name[source], inside[result]
        same = (first.out_dim, first.out_hw) == (last.out_dim, last.out_hw)
        ties = tuple(tie for tie, names in writers.items() if names and set(names) <= set(inside))
        if same and ties and (result == layer.name or _has_behind_it(first, last.op, by_name)):
            found.append(Block(name=module, layers=tuple(inside), source=source, result=result, ties=ties))
    return tuple(found)


def _result_of(add: LayerSpec, inside: Mapping[str, LayerSpec]) -> str | None:
    """The addition, or the one activation behind it; none where more follows."""
    behind = {add.name}
    for name, layer in inside.items():
        if behind & set(layer.inputs):
            behind.add(name)
    tail = sorted(behind - {add.name})
    if not tail:
        return add.name
    return tail[0] if len(tail) == 1 and inside[tail[0]].op in _IDEMPOTENT else None


def _source_of(add: LayerSpec, inside: Mapping[str, LayerSpec]) -> str | None:
    """What the addition reads from outside the block, where that is one of the two."""
    outside = [name for name in add.inputs if name not in inside]
    return outside[0] if len(outside) == 1 else None


def _alone(inside: Mapping[str, LayerSpec], layers: Iterable[LayerSpec], *, source: str, result: str, outputs: tuple[str, ...]) -> bool:
    """Whether the block reads its source alone, only its result is read, and no weights are shared with others."""
    for layer in layers:
        if layer.name in inside:
            if any(name not in inside and name != source for name in layer.inputs) or layer.shares is not None:
                return False
        elif any(name in inside and name != result for name in layer.inputs) or layer.shares in inside:
            return False
    return not any(name in inside and name != result for name in outputs)


def _has_behind_it(layer: LayerSpec, activation: str, by_name: Mapping[str, LayerSpec]) -> bool:
    while layer.op in _KEEPS and layer.inputs:
        layer = by_name[layer.inputs[0]]
    return layer.op == activation


def rewired(names: tuple[str, ...], gone: Mapping[str, Block]) -> tuple[str, ...]:
    """Names of layers, each result of a block that is left out replaced by what that block read.

    Args:
        names: Names of layers.
        gone: Blocks left out, by the name of their result.
    """
    found = []
    for name in names:
        while name in gone:
            name = gone[name].source
        found.append(name)
    return tuple(found)


def without(block: Block, gone: Mapping[str, Block]) -> Block | None:
    """A block of a network without others, which it may hold; none where it is gone too, or no tie is its own any more.

    Args:
        block: The block.
        gone: Blocks left out, by the name of their result.
    """
    dropped = {name for one in gone.values() for name in one.layers}
    dropped_ties = {tie for one in gone.values() for tie in one.ties}
    layers = tuple(name for name in block.layers if name not in dropped)
    ties = tuple(tie for tie in block.ties if tie not in dropped_ties)
    return replace(block, layers=layers, ties=ties, source=rewired((block.source,), gone)[0]) if layers and ties else None
