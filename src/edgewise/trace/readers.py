"""Layers behind removed channels, refitted: they compute from the channels that stay what they computed from all of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
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
from edgewise.trace.surgery import gathered_places
from edgewise.trace.traced import Traced, Units

Forward = Callable[[nn.Module], object]
"""Runs a network on images; the same ones each time."""
RIDGE = 0.1
"""Weight of staying with the old weights, as a share of the channels' mean variance."""
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
    """

    weight: Float[Tensor, "out in *kernel"]
    bias: Float[Tensor, " out"] | None
    units: Units
    out_units: Units
    seen: Float[Tensor, "rows in"]


Readers = Mapping[str, Reader]
"""Readers by the name of their module, in the order they compute in."""


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

    def keep(name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
        calls[name] += 1
        most = min(_MOST_ROWS, max(_LEAST_ROWS, _VALUES // module.get_parameter("weight").shape[1]))
        seen[name] = _rows(module, given, most)

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
        )
    return found


def refit_readers(
    changed: nn.Module, readers: Readers, plan: WidthPlan, traced: Traced, forward: Forward, *, drifted: bool = True
) -> tuple[str, ...]:
    """Refits the layers that read removed channels, and those behind them; changes ``changed``.

    With x what a layer read before and y what it reads now, its weights W become W A, where A minimises
    |x - A y|^2 + r |A - E|^2 over the images, both centred; E keeps the old weights of the channels that stay. So a
    reader takes over what the missing channels said as far as the others know it. In one run of the network each
    reader is refitted just before it computes, from what the readers before it, refitted, made of the images: it makes
    up for their errors, too (Zhang et al. 2016, "Accelerating very deep convolutional networks", asymmetric
    reconstruction; He, Zhang and Sun 2017). No gradients are taken, and no labels looked at.

    Batch norms go by the statistics of these images meanwhile, and keep them. New channels are not read, as before.

    Args:
        changed: What :func:`~edgewise.trace.apply_plan` made of the network.
        readers: What the layers read in the network as it was.
        plan: What was done to it.
        traced: The trace of the network as it was.
        forward: Runs a network on the images that ``readers`` was recorded with.
        drifted: Also refit layers that lost no channel themselves, behind those that did, or behind a block left out.

    Returns:
        The layers refitted, in order; none, and nothing changed, for a plan that removes no channel.
    """
    places = gathered_places(plan, traced)
    refitted: list[str] = []
    there = {name for name, _ in changed.named_modules()}
    losing = {name for name, reader in readers.items() if len(np.unique(places(reader.units)[0])) < len(reader.units)}
    first = next((place for place, name in enumerate(readers) if name in losing or name not in there), None)
    if first is None:
        return ()
    wanted = [name for name in [*readers][first:] if name in there and (drifted or name in losing)]

    def refit(name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
        _refit(module, readers[name], _rows(module, given, len(readers[name].seen)), places=places)
        refitted.append(name)

    with _hooked(changed, wanted, refit), _modes(changed, norms=True):
        forward(changed)
    return tuple(refitted)


_Places = Callable[[Units], tuple[Int[np.ndarray, " now"], np.ndarray]]


def _refit(module: nn.Module, reader: Reader, now: Float[Tensor, "rows now"], *, places: _Places) -> None:
    """New weights for what the layer reads now; new channels keep the weights they have."""
    (kept, new), (rows, new_rows) = places(reader.units), places(reader.out_units)
    known, old_rows = torch.from_numpy(np.flatnonzero(~new)), torch.from_numpy(np.flatnonzero(~new_rows))
    kept_places, row_places = torch.from_numpy(kept[~new]), torch.from_numpy(rows[~new_rows])
    now = now[:, known]
    mean_before, mean_now = reader.seen.mean(dim=0).double(), now.mean(dim=0).double()
    mixing = _mixing(reader.seen, now, kept_places)
    if mixing is None:
        return
    weight = reader.weight[row_places.to(reader.weight.device)].cpu().double()
    mixed = torch.einsum("oc...,ck->ok...", weight, mixing)
    with torch.no_grad():
        target = module.get_parameter("weight")
        target[old_rows.unsqueeze(1), known.unsqueeze(0)] = mixed.to(target)
        if reader.bias is not None:
            shift = weight.flatten(2).sum(dim=2) if weight.ndim > 2 else weight
            bias = reader.bias[row_places.to(reader.bias.device)].cpu().double() + shift @ (mean_before - mixing @ mean_now)
            module.get_parameter("bias")[old_rows] = bias.to(target)


def _mixing(
    before: Float[Tensor, "rows channels"], now: Float[Tensor, "rows kept"], kept: Int[Tensor, " kept"]
) -> Float[Tensor, "channels kept"] | None:
    """The A of the best x = A y; none where what is read now never varies."""
    before, now = before - before.mean(dim=0), now - now.mean(dim=0)
    within, across = (now.T @ now).double() / len(now), (before.T @ now).double() / len(now)
    ridge = RIDGE * float(within.diagonal().mean())
    if not np.isfinite(ridge) or ridge <= 0:
        return None
    staying = torch.zeros_like(across)
    staying[kept, torch.arange(len(kept))] = ridge
    mixing: Tensor = torch.linalg.solve(within + ridge * torch.eye(len(kept), dtype=within.dtype), (across + staying).T).T
    return mixing if bool(mixing.isfinite().all()) else None


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
    read: Tensor = given[0].detach()
    if not isinstance(module, nn.Linear):
        batched = read if read.ndim == module.get_parameter("weight").ndim else read.unsqueeze(0)
        read = batched.movedim(1, -1)
    rows = read.reshape(-1, read.shape[-1])
    return rows[_positions(len(rows), most).to(rows.device)].cpu().float()


def _positions(n_rows: int, most: int) -> Int[Tensor, " rows"]:
    if n_rows <= most:
        return torch.arange(n_rows)
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(n_rows))[:most]


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
