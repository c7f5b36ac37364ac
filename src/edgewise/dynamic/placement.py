"""Where gates go: on maps between two convolutions that nobody else reads."""

from collections.abc import Sequence

from edgewise._core.errors import SpecError
from edgewise.ir import LayerSpec, NetSpec
from edgewise.ir.gates import Gate, GatePlan, check_ratios

_ACTIVATIONS = frozenset({"relu", "relu6", "hardswish", "silu", "gelu", "leaky_relu", "prelu", "hardtanh"})
_PASSED = _ACTIVATIONS | {"batch_norm", "max_pool2d", "avg_pool2d", "dropout", "identity"}
_TO_HEAD = _PASSED | {"flatten", "view", "adaptive_avg_pool2d", "mean"}


def place_gates(net: NetSpec, *, channel_ratios: Sequence[float] = (), spatial_ratios: Sequence[float] = ()) -> GatePlan:
    """The gates of a network: every map that one convolution writes and one other reads.

    Gates stand behind norm, activation and pooling, on the map as its reader sees it. A map that a sum or
    several layers read is not gated, nor is the network's input, nor a map without an activation. Blocks are
    numbered by the resolution at which maps are written.

    Args:
        net: The network.
        channel_ratios: Pruned share of channels, one for all blocks or one for each; empty for 0.
        spatial_ratios: The same for positions.

    Raises:
        SpecError: No map can be gated, and a ratio is not 0.
        PlanError: The number of ratios is not that of the blocks, or one is outside [0, 1).
    """
    readers = _readers(net)
    found = [(layer, producer) for layer in net.layers if layer.op == "conv2d" and (producer := _producer(net, layer, readers, _PASSED))]
    if not found:
        if any((*channel_ratios, *spatial_ratios)):
            raise SpecError(f"{net.name} has nothing to gate: no map is written by one convolution and read by one other alone")
        return GatePlan(gates=())
    sizes = list(dict.fromkeys(producer.out_hw for _, producer in found))
    channels = check_ratios("--channel-ratios", channel_ratios, n_blocks=len(sizes))
    spatial = check_ratios("--spatial-ratios", spatial_ratios, n_blocks=len(sizes))
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
        if layer.op == "linear" and (producer := _producer(net, layer, readers, _TO_HEAD)) and producer.out_hw in sizes
    )
    return GatePlan(gates=gates, heads=heads, n_blocks=len(sizes))


def _readers(net: NetSpec) -> dict[str, int]:
    counts = dict.fromkeys(net.outputs, 1)
    for layer in net.layers:
        for name in layer.inputs:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _producer(net: NetSpec, layer: LayerSpec, readers: dict[str, int], passed: frozenset[str]) -> LayerSpec | None:
    """The convolution whose map a layer reads through operations on each channel, if nobody else reads it."""
    activated = False
    name = layer.inputs[0]
    while readers[name] == 1:
        before = net.layer(name)
        if before.op == "conv2d":
            return before if activated else None
        if before.op not in passed or len(before.inputs) != 1:
            return None
        activated = activated or before.op in _ACTIVATIONS
        name = before.inputs[0]
    return None
