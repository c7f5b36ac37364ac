"""Maps whose channels are scaled so that attention ranks them by what their reader makes of them.

The tutorial ranks a channel by its mean alone. But a channel of small values that its reader multiplies by large weights says as
much as one of large values with small weights, and networks come with any share of the two. Rectifiers and pooling commute with
positive factors, so the factor of a channel can be moved from the reader's weights into the norm before, and the network computes
what it did; then the mean ranks what the reader gets. *Ours*; the idea of moving such factors is that of cross-layer equalisation
(Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.1).
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
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
_DROPPED_FACTOR = 0.03
"""Of a channel that is to be dropped of nearly every image."""
CHANGING = 0.3
"""Share of the kept channels that may be others for every image."""
_CHANGING_FACTOR = 0.3
"""Of a channel that may or may not be kept, if its worth and its mean are those of its like."""


@dataclass(frozen=True, slots=True, eq=False)
class MapStatistics:
    """What the channels of one map are like, over images and positions.

    Attributes:
        mean: Their means.
        deviation: Their standard deviations.
    """

    mean: Float[Tensor, " c"]
    deviation: Float[Tensor, " c"]


def record_maps(model: nn.Module, gates: Sequence[Gate], forward: Callable[[nn.Module], object]) -> dict[str, MapStatistics]:
    """Statistics of the maps that gates are to prune, as they are without gates.

    Args:
        model: The network; evaluated in evaluation mode, and left as it was.
        gates: Where maps will be pruned.
        forward: Calls the network on a few images.

    Returns:
        Statistics by consumer, of those that are modules of the network.
    """
    modules, found = dict(model.named_modules()), {}
    hooks = []

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].detach().float().transpose(0, 1).flatten(1)
            found[name] = MapStatistics(mean=values.mean(1), deviation=values.std(1, correction=0))

        return record

    was_training = model.training
    model.eval()
    try:
        hooks = [modules[g.consumer].register_forward_pre_hook(recorder(g.consumer)) for g in gates if g.consumer in modules]
        with torch.no_grad():
            forward(model)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return found


def balance_channels(
    model: nn.Module,
    net: NetSpec,
    gates: Sequence[Gate],
    statistics: Mapping[str, MapStatistics] | None = None,
    *,
    changing: Sequence[float] = (CHANGING,),
) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of a network that computes the same, with maps that attention ranks by their reader's weights, too.

    The factor of a channel is the sum of the magnitudes of the weights that read it, over its mean in the layer.

    With statistics, and where a gate is to prune channels, their *worth* decides instead: a channel's standard deviation times the root
    of the sum of the squares of the weights that read it, which is how much its reader would miss. Of as many as the gate keeps, the
    worthiest are left as they are, all but a share that is *changing*. These places go to twice as many others, by what is in the
    image: scaled by their worth over their mean, they are ranked by how active they are, times what they are worth. All others are
    made so small that they are hardly ever kept; :mod:`edgewise.dynamic.removing` removes them for good. Most of what is read is
    then the same for all images, so that readers can make up for what is missing (:mod:`edgewise.recipes.refitting`), and learn
    much faster than from channels that all come and go.

    Args:
        model: A trained network.
        net: The network as hardware sees it.
        gates: Where maps are pruned.
        statistics: Of these maps by consumer, as :func:`record_maps` gives them, for gates whose ratios are settled; none, or none of
            some, to go by weights alone.
        changing: Share of the kept channels that may be others for every image, in [0, 1]; one for all blocks, or one for each.

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
        known, n_changing = (statistics or {}).get(gate.consumer), changing_places(gate, changing)
        if _move_factors(modules.get(path[-1].name), modules.get(gate.consumer), gate, known, n_changing=n_changing):
            done.append(gate.consumer)
    return copy, tuple(done)


def changing_places(gate: Gate, changing: Sequence[float]) -> int:
    """How many of a gate's places go to others for every image; twice as many channels compete for them, if there are so many.

    Args:
        gate: The gate.
        changing: Share of the kept channels, one for all blocks or one for each.
    """
    return round((changing[gate.block] if len(changing) > 1 else changing[0]) * gate.kept_channels)


def by_worth(weight: Float[Tensor, "out in *kernel"], deviation: Float[Tensor, " in"]) -> Int[Tensor, " in"]:
    """The channels that a convolution reads, the worthiest first, equal ones in their order (:func:`balance_channels`)."""
    return _worth(weight, deviation).argsort(descending=True, stable=True)


def _worth(weight: Tensor, deviation: Tensor) -> Tensor:
    return (weight.double().square().sum((0, 2, 3)).sqrt() * deviation.to(weight).double()).nan_to_num(posinf=0.0)


def _move_factors(
    scaled: nn.Module | None, reader: nn.Module | None, gate: Gate, statistics: MapStatistics | None, *, n_changing: int
) -> bool:
    """Moves a factor for each channel from a reader into what scales its map; whether that could be done."""
    if not isinstance(reader, nn.Conv2d) or not isinstance(scaled, nn.Conv2d | _BatchNorm):
        return False
    own, read = (dict(module.named_parameters(recurse=False)) for module in (scaled, reader))
    # Weights that something else computes (a parametrization) are none of a module's own parameters.
    if "weight" not in own or "weight" not in read or len(own["weight"]) != read["weight"].shape[1]:
        return False
    with torch.no_grad():
        if statistics is not None and gate.channel_ratio > 0 and bool((statistics.mean >= 0).all()):
            factors = _settled_factors(read["weight"], gate, statistics, n_changing=n_changing)
        else:
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


def _settled_factors(weight: Tensor, gate: Gate, statistics: MapStatistics, *, n_changing: int) -> Tensor:
    mean = statistics.mean.to(weight).double()
    worth, order = _worth(weight, statistics.deviation), by_worth(weight, statistics.deviation)
    sure, changing = order[: gate.kept_channels - n_changing], order[gate.kept_channels - n_changing :][: 2 * n_changing]
    factors = torch.full_like(worth, _DROPPED_FACTOR)
    activity = _relative(worth[changing]) / _relative(mean[changing]).clamp(min=1e-6)
    factors[changing] = (_CHANGING_FACTOR * activity).clamp(_DROPPED_FACTOR, 1.0)
    factors[sure] = 1.0
    return factors.to(weight)


def _relative(values: Tensor) -> Tensor:
    return values / values.mean().clamp(min=1e-12)
