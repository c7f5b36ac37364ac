"""Maps whose channels are scaled so that attention ranks them by what their reader makes of them.

The tutorial ranks a channel by its mean alone. But a channel of small values that its reader multiplies by large weights says as
much as one of large values with small weights, and networks come with any share of the two. Rectifiers and pooling commute with
positive factors, so the factor of a channel can be moved from the reader's weights into the norm before, and the network computes
what it did; then the mean ranks what the reader gets. *Ours*; the idea of moving such factors is that of cross-layer equalisation
(Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.1).
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgewise.dynamic.placement import count_readers, walk_back
from edgewise.ir import NetSpec
from edgewise.ir.gates import Gate

_HOMOGENEOUS = frozenset({"relu", "leaky_relu", "prelu", "max_pool2d", "avg_pool2d", "dropout", "identity"})
"""Operations on each channel alone with f(s x) = s f(x) for positive s."""
_SCALING = frozenset({"batch_norm", "conv2d"})
_LEAST_FACTOR = 0.05
"""Of a channel that its reader hardly uses, so that no value overflows."""


def balance_channels(model: nn.Module, net: NetSpec, gates: Sequence[Gate]) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of a network that computes the same, with maps that attention ranks by their reader's weights, too.

    The factor of a channel is the sum of the magnitudes of the weights that read it, over its mean in the layer.

    Args:
        model: A trained network.
        net: The network as hardware sees it.
        gates: Where maps are pruned.

    Returns:
        The copy, equal to rounding, and the consumers whose maps were balanced: those read by nobody else, with nothing between
        their norm (or convolution) and their reader but rectifiers without an upper bound, pooling and dropout.

    Example:
        >>> from edgewise.dynamic import place_gates
        >>> from edgewise.trace import trace
        >>> plain = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1))
        >>> _ = [nn.init.ones_(plain[place].weight) for place in (0, 2)]
        >>> with torch.no_grad():
        ...     plain[2].weight[0, 1] = 3.0
        >>> net = trace(plain, (torch.ones(1, 1, 2, 2),)).net
        >>> balanced, consumers = balance_channels(plain, net, place_gates(net).gates)
        >>> consumers, balanced[0].weight.flatten().tolist(), balanced[2].weight.flatten().tolist()
        (('2',), [0.5, 1.5], [2.0, 2.0])
    """
    copy, readers = deepcopy(model), count_readers(net)
    modules = dict(copy.named_modules())
    shared = {layer.shares for layer in net.layers} | {layer.name for layer in net.layers if layer.shares}
    done = []
    for gate in gates:
        path = walk_back(net, net.layer(gate.consumer), readers, passed=_HOMOGENEOUS, origins=_SCALING)
        if not path or {path[-1].name, gate.consumer} & shared:
            continue
        if _move_factors(modules.get(path[-1].name), modules.get(gate.consumer)):
            done.append(gate.consumer)
    return copy, tuple(done)


def _move_factors(scaled: nn.Module | None, reader: nn.Module | None) -> bool:
    """Moves a factor for each channel from a reader into what scales its map; whether that could be done."""
    if not isinstance(reader, nn.Conv2d) or not isinstance(scaled, nn.Conv2d | _BatchNorm):
        return False
    own, read = (dict(module.named_parameters(recurse=False)) for module in (scaled, reader))
    # Weights that something else computes (a parametrization) are none of a module's own parameters.
    if "weight" not in own or "weight" not in read or len(own["weight"]) != read["weight"].shape[1]:
        return False
    with torch.no_grad():
        factors = _factors(read["weight"])
        for parameter in own.values():
            parameter.mul_(factors.reshape(-1, *[1] * (parameter.ndim - 1)))
        read["weight"].div_(factors[None, :, None, None])
    return True


def _factors(weight: Tensor) -> Tensor:
    sums = weight.abs().sum((0, 2, 3), dtype=torch.float64)
    if not (torch.isfinite(sums).all() and sums.sum() > 0):
        return torch.ones_like(sums).to(weight)
    return (sums / sums.mean()).clamp(min=_LEAST_FACTOR).to(weight)
