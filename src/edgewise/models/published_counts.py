"""How the published tables count parameters and operations, where it differs from ours.

The rows of HRankPlus, which the tutorial's tables quote, follow from widths by these rules
to the last printed digit. Ours: ``macs`` are multiply-accumulates of convolutions and
linear layers, ``params`` all learnt parameters.
"""

import math

from edgewise.ir import LayerSpec, NetSpec


def thop_operations(net: NetSpec) -> int:
    """The "FLOPs" of the published pruned networks, as the tool thop counts them.

    Multiply-accumulates of convolutions and linear layers, one more for each convolution
    output that a bias is added to, and two more for each that batch norm scales and shifts.
    Batch norm of vectors is not counted.

    Args:
        net: The network.

    Returns:
        For VGG-16 with the HRank widths 66,949,248, where ``net.macs`` is 66,521,088.
    """
    return net.macs + sum(_extra_operations(layer) for layer in net.layers)


def parameters_without_norms(net: NetSpec) -> int:
    """Parameters of convolutions and linear layers alone: how the published *base* rows count."""
    return sum(layer.params for layer in net.priced)


def _extra_operations(layer: LayerSpec) -> int:
    outputs = layer.out_channels * math.prod(layer.out_hw)
    if layer.op == "conv2d" and layer.bias:
        return outputs
    if layer.op == "batch_norm" and layer.out_hw:
        return 2 * outputs
    return 0
