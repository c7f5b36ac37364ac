"""Where gates go: on maps between two convolutions that nobody else reads."""

from collections.abc import Collection, Mapping, Sequence

from edgewise._core.errors import SpecError
from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.gates import Gate, GatePlan, check_ratios

_ACTIVATIONS = frozenset({"relu", "relu6", "hardswish", "silu", "gelu", "leaky_relu", "prelu", "hardtanh"})
_PASSED = _ACTIVATIONS | {"batch_norm", "max_pool2d", "avg_pool2d", "dropout", "identity"}
_CONV = frozenset({"conv2d"})
_CONV_OR_SUM = frozenset({"conv2d", "add"})
_TO_HEAD = _PASSED | {"flatten", "view", "adaptive_avg_pool2d", "mean"}


def place_gates(
    net: NetSpec, *, channel_ratios: Sequence[float] = (), spatial_ratios: Sequence[float] = (), block_outputs: bool = False
) -> GatePlan:
    """The gates of a network: every map that one convolution writes and one other reads.

    Gates stand behind norm, activation and pooling, on the map as its reader sees it. A map that a sum or
    several layers read is not gated, nor is the network's input, nor a map without an activation, nor one that
    a grouped convolution reads. Blocks are numbered by the resolution at which maps are written.

    Args:
        net: The network.
        channel_ratios: Pruned share of channels, one for all blocks or one for each; empty for 0.
        spatial_ratios: The same for positions.
        block_outputs: Gate also what convolutions read of sums and of maps with several readers. Only that
            reader's input is pruned: the shortcut carries the whole sum on.

    Raises:
        SpecError: No map can be gated, and a ratio is not 0.
        PlanError: The number of ratios is not that of the blocks, or one is outside [0, 1).
    """
    readers = dict.fromkeys(count_readers(net), 1) if block_outputs else count_readers(net)
    origins = _CONV_OR_SUM if block_outputs else _CONV
    found = [
        (layer, producer)
        for layer in net.layers
        if layer.op == "conv2d" and layer.groups == 1 and (producer := _producer(net, layer, readers, passed=_PASSED, origins=origins))
    ]
    if not found:
        if any((*channel_ratios, *spatial_ratios)):
            raise SpecError(f"{net.name} has nothing to gate: no map is written by one convolution and read by one other alone")
        return GatePlan(gates=())
    sizes = list(dict.fromkeys(producer.out_hw for _, producer in found))
    labels = [_label(found, size) for size in sizes]
    channels = check_ratios("--channel-ratios", channel_ratios, n_blocks=len(sizes), labels=labels)
    spatial = check_ratios("--spatial-ratios", spatial_ratios, n_blocks=len(sizes), labels=labels)
    gates = tuple(
        Gate(
            consumer=layer.name,
            producer=producer.name,
            block=sizes.index(producer.out_hw),
            channels=layer.in_channels,
            hw=layer.in_hw,
            channel_ratio=channels[sizes.index(producer.out_hw)],
            spatial_ratio=spatial[sizes.index(producer.out_hw)],
        )
        for layer, producer in found
    )
    heads = tuple(
        (layer.name, producer.name, sizes.index(producer.out_hw))
        for layer in net.layers
        if layer.op == "linear" and (producer := _producer(net, layer, count_readers(net), passed=_TO_HEAD)) and producer.out_hw in sizes
    )
    return GatePlan(gates=gates, heads=heads, n_blocks=len(sizes))


def count_readers(net: NetSpec) -> dict[str, int]:
    """How many layers read each map; who calls the network counts as one."""
    counts = dict.fromkeys(net.outputs, 1)
    for layer in net.layers:
        for name in layer.inputs:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _label(found: Sequence[tuple[LayerSpec, LayerSpec]], size: tuple[int, ...]) -> str:
    consumers = [layer.name for layer, producer in found if producer.out_hw == size]
    return f"{'x'.join(map(str, size))} read by {consumers[0]}{f' to {consumers[-1]}' if len(consumers) > 1 else ''}"


def walk_back(
    net: NetSpec, layer: LayerSpec, readers: Mapping[str, int], *, passed: Collection[str], origins: Collection[str]
) -> tuple[LayerSpec, ...]:
    """What a layer reads, back to where it comes from.

    Args:
        net: The network.
        layer: The reader.
        readers: How many layers read each map; the walk ends at one that others read.
        passed: Operations of one input that are passed through.
        origins: Operations that it may come from.

    Returns:
        The layers from the reader back to the origin, which is last; empty where there is none.
    """
    found: list[LayerSpec] = []
    name = layer.inputs[0]
    while readers[name] == 1:
        found.append(net.layer(name))
        if found[-1].op in origins:
            return tuple(found)
        if found[-1].op not in passed or len(found[-1].inputs) != 1:
            break
        name = found[-1].inputs[0]
    return ()


def _producer(
    net: NetSpec, layer: LayerSpec, readers: Mapping[str, int], *, passed: Collection[str], origins: Collection[str] = _CONV
) -> LayerSpec | None:
    """The layer whose map a layer reads through operations on each channel, an activation among them, if nobody else reads it."""
    path = walk_back(net, layer, readers, passed=passed, origins=origins)
    return path[-1] if any(each.op in _ACTIVATIONS for each in path) else None
