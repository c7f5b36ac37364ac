"""Layers behind removed channels, refitted: they compute from what stays what they computed from all channels."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgewise.ir import WidthPlan
from edgewise.trace.patches import patches, reads_patches, sampled
from edgewise.trace.surgery import gathered_places
from edgewise.trace.traced import Traced, Units

Forward = Callable[[nn.Module], object]
"""Runs a network on images; the same ones each time."""
RIDGE = 0.1
"""Weight of staying with the old weights, as a share of the mean variance of what is read."""
_KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_MOST_INPUTS = 2048
_VALUES, _LEAST_ROWS, _MOST_ROWS = 1 << 20, 1 << 12, 1 << 14
"""Values kept of what a layer reads, and the bounds of the number of positions that follows."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reader:
    """A layer that reads channels, and what it read in the network as it was.

    Attributes:
        weight: Its weights.
        bias: Its bias, or none.
        units: The unit behind each channel that it reads.
        out_units: The unit behind each channel that it writes; -1 where all of them stay.
        seen: What it read, at some positions of some images.
        said: What it made of some patches, without its bias; none where a patch is one position, or too much to solve for.
    """

    weight: Float[Tensor, "out in *kernel"]
    bias: Float[Tensor, " out"] | None
    units: Units
    out_units: Units
    seen: Float[Tensor, "rows in"]
    said: Float[Tensor, "patches out"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Readers:
    """What the layers of a network read in one run.

    Attributes:
        by_name: Readers by the name of their module, in the order they compute in.
        traced: The network's trace.
        forward: Runs a network on the same images.
    """

    by_name: Mapping[str, Reader]
    traced: Traced
    forward: Forward


def record_readers(model: nn.Module, traced: Traced, forward: Forward) -> Readers:
    """What every layer reads that could be refitted: plain convolutions of one group and linear layers, called once.

    Args:
        model: The network as it is; its modes are left as they were.
        traced: Its trace.
        forward: Runs it on a few hundred images.
    """
    written = {site.parameter: site.units for site in traced.sites if site.axis == 0 and site.role == "write"}
    read = {site.parameter: site.units for site in traced.sites if site.axis == 1 and site.role == "read"}
    calls: Counter[str] = Counter()
    seen: dict[str, Tensor] = {}
    said: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
        calls[name] += 1
        weight = module.get_parameter("weight").detach()
        seen[name] = _rows(module, given, min(_MOST_ROWS, max(_LEAST_ROWS, _VALUES // weight.shape[1])))
        if isinstance(module, nn.Conv2d) and reads_patches(module):
            said[name] = patches(module, _batched(module, given)) @ weight.flatten(1).cpu().float().T

    names = [name for name in _refittable(model) if f"{name}.weight" in read]
    with _hooked(model, names, keep), _modes(model):
        forward(model)
    found: dict[str, Reader] = {}
    for name in (each for each in seen if calls[each] == 1):
        weight, bias = model.get_parameter(f"{name}.weight").detach(), getattr(model.get_submodule(name), "bias", None)
        out_units = written.get(f"{name}.weight", np.full(len(weight), -1, dtype=np.int64))
        found[name] = Reader(
            weight=weight,
            bias=None if bias is None else bias.detach(),
            units=read[f"{name}.weight"],
            out_units=out_units,
            seen=seen[name],
            said=said.get(name),
        )
    return Readers(by_name=found, traced=traced, forward=forward)


def refit_readers(
    changed: nn.Module,
    readers: Readers,
    plan: WidthPlan,
    *,
    drifted: bool = True,
    neighbours: bool = True,
    pruned: Collection[str] = (),
) -> tuple[str, ...]:
    """Refits the layers that read removed or pruned channels, and those behind them; changes ``changed``.

    With x what a layer read before and y what it reads now, its weights become those that minimise
    |W x - V y|^2 + r |V - W|^2 over the images, both sides centred; V starts from the old weights of the channels that stay. So
    a reader takes over what the missing channels said as far as the others know it. In one run of the network each
    reader is refitted just before it computes, from what the readers before it, refitted, made of the images: it makes
    up for their errors, too (Zhang et al. 2016, "Accelerating very deep convolutional networks", asymmetric
    reconstruction; He, Zhang and Sun 2017). No gradients are taken, and no labels looked at.

    A kernel's taps are solved for together, so that what is missing at one position is made up for by its neighbours, too;
    without ``neighbours``, and in layers that read too much for that, channels are mixed alike at all taps.
    Batch norms go by the statistics of these images meanwhile, and keep them. New channels are not read, as before.

    Args:
        changed: What :func:`~edgewise.trace.apply_plan` made of the network; perhaps with gates at work.
        readers: What the layers read in the network as it was; ``changed`` is run on the same images.
        plan: What was done to it.
        drifted: Also refit layers that lost no channel themselves, behind those that did, or behind a block left out.
        neighbours: Solve for all taps of a kernel; better, and several times slower.
        pruned: Layers that gates prune what they read of.

    Returns:
        The layers refitted, in order; none, and nothing changed, for a plan that removes no channel, without gates.
    """
    layers, places = readers.by_name, gathered_places(plan, readers.traced)
    refitted: list[str] = []
    there = {name for name, _ in changed.named_modules()}
    losing = {name for name, layer in layers.items() if name in pruned or len(np.unique(places(layer.units)[0])) < len(layer.units)}
    first = next((place for place, name in enumerate(layers) if name in losing or name not in there), None)
    if first is None:
        return ()
    wanted = [name for name in [*layers][first:] if name in there and (drifted or name in losing)]

    def refit(name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
        _refit(module, layers[name], given, places=places, neighbours=neighbours)
        refitted.append(name)

    with _hooked(changed, wanted, refit), _modes(changed, norms=True):
        readers.forward(changed)
    return tuple(refitted)


_Places = Callable[[Units], tuple[Int[np.ndarray, " now"], np.ndarray]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Staying:
    """What is left of a layer: the places of its channels now, and where these were."""

    now: Int[Tensor, " kept"]
    before: Int[Tensor, " kept"]


def _refit(module: nn.Module, reader: Reader, given: tuple[Any, ...], *, places: _Places, neighbours: bool) -> None:
    """New weights for what the layer reads now; new channels keep the weights they have."""
    read, written = (_staying(places(units)) for units in (reader.units, reader.out_units))
    weight = reader.weight[written.before.to(reader.weight.device)].cpu().double()
    if neighbours and reader.said is not None and isinstance(module, nn.Conv2d):
        now = patches(module, _batched(module, given)[:, read.now])
        fitted = _by_patches(weight[:, read.before], reader.said[:, written.before], now)
    else:
        fitted = _by_channels(weight, reader.seen, _rows(module, given, len(reader.seen))[:, read.now], read.before)
    if fitted is None:
        return
    with torch.no_grad():
        target = module.get_parameter("weight")
        target[written.now.unsqueeze(1), read.now.unsqueeze(0)] = fitted.weight.to(target)
        if reader.bias is not None:
            bias = reader.bias[written.before.to(reader.bias.device)].cpu().double() + fitted.shift
            module.get_parameter("bias")[written.now] = bias.to(target)


def _staying(places: tuple[Int[np.ndarray, " now"], np.ndarray]) -> _Staying:
    before, new = places
    return _Staying(now=torch.from_numpy(np.flatnonzero(~new)), before=torch.from_numpy(before[~new]))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fitted:
    """Weights of the channels that stay, and what they add to the bias."""

    weight: Float[Tensor, "out kept *kernel"]
    shift: Float[Tensor, " out"]


def _by_channels(
    weight: Float[Tensor, "out in *kernel"],
    before: Float[Tensor, "rows in"],
    now: Float[Tensor, "rows kept"],
    kept: Int[Tensor, " kept"],
) -> _Fitted | None:
    """The weights times the A of the best x = A y, alike at all taps; none where what is read now never varies."""
    staying = torch.zeros(weight.shape[1], len(kept), dtype=torch.float64)
    staying[kept, torch.arange(len(kept))] = 1.0
    mixing = _ridge(now, before, staying.T)
    if mixing is None:
        return None
    mean_before, mean_now = before.mean(dim=0).double(), now.mean(dim=0).double()
    each = weight.flatten(2).sum(dim=2) if weight.ndim > 2 else weight
    return _Fitted(weight=torch.einsum("oc...,kc->ok...", weight, mixing), shift=each @ (mean_before - mean_now @ mixing))


def _by_patches(
    weight: Float[Tensor, "out kept height width"], said: Float[Tensor, "patches out"], now: Float[Tensor, "patches values"]
) -> _Fitted | None:
    """The weights of all taps that say of the patches now what was said before; none where these never vary."""
    found = _ridge(now, said, weight.flatten(1).T)
    if found is None:
        return None
    return _Fitted(weight=found.T.reshape(weight.shape), shift=said.mean(dim=0).double() - now.mean(dim=0).double() @ found)


def _ridge(
    read: Float[Tensor, "rows inputs"], wanted: Float[Tensor, "rows outputs"], start: Float[Tensor, "inputs outputs"]
) -> Float[Tensor, "inputs outputs"] | None:
    """The V of the best ``wanted`` = ``read`` V, both centred, near ``start``; none where what is read never varies."""
    read, wanted = read - read.mean(dim=0), wanted - wanted.mean(dim=0)
    within, across = (read.T @ read).double() / len(read), (read.T @ wanted).double() / len(read)
    ridge = RIDGE * float(within.diagonal().mean())
    if not np.isfinite(ridge) or ridge <= 0:
        return None
    within += ridge * torch.eye(len(within), dtype=within.dtype)
    found: Tensor = torch.linalg.solve(within, across + ridge * start)
    return found if bool(found.isfinite().all()) else None


def _refittable(model: nn.Module) -> list[str]:
    """Plain layers of one group whose weights are their own and not too many channels wide."""
    owners: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)].append(name)
    return [
        name
        for name, module in model.named_modules()
        if type(module) in _KINDS
        and getattr(module, "groups", 1) == 1
        and module.get_parameter("weight").shape[1] <= _MOST_INPUTS
        and all(len(owners[id(parameter)]) == 1 for parameter in module.parameters(recurse=False))
    ]


def _rows(module: nn.Module, given: tuple[Any, ...], most: int) -> Float[Tensor, "rows channels"]:
    """What a layer reads, a row for each position; the same few positions for every network run on the same images."""
    read = given[0].detach() if isinstance(module, nn.Linear) else _batched(module, given).movedim(1, -1)
    rows: Tensor = read.reshape(-1, read.shape[-1])
    return rows[sampled(len(rows), most).to(rows.device)].cpu().float()


def _batched(module: nn.Module, given: tuple[Any, ...]) -> Float[Tensor, "images channels *positions"]:
    """The map that a convolution reads, of one image, too, as a batch."""
    read: Tensor = given[0].detach()
    return read if read.ndim == module.get_parameter("weight").ndim else read.unsqueeze(0)


@contextmanager
def _hooked(model: nn.Module, names: list[str], hook: Callable[[str, nn.Module, tuple[Any, ...]], None]) -> Iterator[None]:
    """Calls a function with the name, the module and its arguments before each of some modules computes."""
    handles = [model.get_submodule(name).register_forward_pre_hook(partial(hook, name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _modes(model: nn.Module, *, norms: bool = False) -> Iterator[None]:
    """Evaluation mode without gradients; with ``norms``, batch norms take the statistics of the images and keep them."""
    training = {module: module.training for module in model.modules()}
    momenta = {module: module.momentum for module in training if isinstance(module, _BatchNorm)}
    model.eval()
    for norm in momenta if norms else ():
        norm.train()
        norm.momentum = 1.0
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for norm, momentum in momenta.items():
            norm.momentum = momentum
