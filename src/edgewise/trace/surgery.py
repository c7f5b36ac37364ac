"""Changing widths: a copy of a network with some channels removed and some added, and some residual blocks left out."""

import copy
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from edgewise._core.errors import PlanError
from edgewise.ir import TiePlan, WidthPlan
from edgewise.trace.traced import Site, Size, Traced, Units


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Gathering:
    """Which old places make up an axis, and which of them stand for new units."""

    places: npt.NDArray[np.int64]
    new: npt.NDArray[np.bool_]

    @property
    def grows(self) -> bool:
        return bool(self.new.any())


def apply_plan(model: nn.Module, plan: WidthPlan, traced: Traced) -> nn.Module:
    """A copy of the network with the widths of the plan.

    Kept units keep their order; new units of a tie stand behind its last kept one, at every
    place alike. Weights that write new units are drawn like the present ones, those that
    read them are zero, and what holds one value for each channel is copied from the last
    kept unit: growing does not change the function beyond rounding. A block all of whose ties keep nothing is replaced
    by the identity.

    Args:
        model: The network; it is not changed.
        plan: What to do to its ties.
        traced: Its trace.

    Returns:
        A new module. An empty plan, or one that keeps everything, gives an equal copy bit by bit.

    Raises:
        PlanError: The plan names a tie or unit that is not there, changes one that must
            stay, or the trace is of another network.
    """
    check_plan(plan, traced)
    gather = _gatherer(plan, traced)
    tensors = _tensors(model)
    _check_sites(tensors, traced)
    gone = tuple(block.name for block in traced.net.left_out(plan.widths))
    by_parameter: dict[str, list[Site]] = defaultdict(list)
    for site in traced.sites:
        if not _within(site.parameter, gone):
            by_parameter[site.parameter].append(site)
    copies: dict[int, Any] = {}  # what the copy holds in the place of a tensor, wherever modules share it
    for name, sites in by_parameter.items():
        old = tensors[name]
        new = _regathered(old, sites, gather=gather, seed=_seed(name, plan))
        if new is not None:
            copies[id(old)] = nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new
    changed = copy.deepcopy(model, copies)
    _resize(changed, (size for size in traced.sizes if not _within(size.module, gone)), gather)
    return without_modules(changed, gone)


def without_modules(model: nn.Module, names: Iterable[str]) -> nn.Module:
    """The model with the modules of these names replaced, in place, by the identity."""
    for name in sorted(names):
        path, _, last = name.rpartition(".")
        parent = model.get_submodule(path)
        if not isinstance(parent, nn.Identity):  # part of a module that is gone already
            setattr(parent, last, nn.Identity())
    return model


def _within(path: str, modules: Iterable[str]) -> bool:
    return any(path == module or path.startswith(f"{module}.") for module in modules)


def gathered_places(plan: WidthPlan, traced: Traced) -> Callable[[Units], tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    """A function that tells which old places make up an axis after the plan, and which of them stand for new units."""
    gather = _gatherer(plan, traced)

    def places(units: Units) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        gathering = gather(units)
        return gathering.places, gathering.new

    return places


def check_plan(plan: WidthPlan, traced: Traced) -> None:
    """Checks that the plan fits the traced network.

    Raises:
        PlanError: It does not.
    """
    traced.net.with_widths(plan.widths)
    for tie_plan in plan.ties:
        tie = traced.net.tie(tie_plan.tie)
        if tie_plan.keep and tie_plan.keep[-1] >= tie.width:
            raise PlanError(f"`keep` of tie {tie.name!r} must lie below its width {tie.width}, got {tie_plan.keep[-1]}")
        if tie_plan.grow and not tie.growable:
            raise PlanError(f"tie {tie.name!r} must not grow ({tie.reason}), got grow={tie_plan.grow}")
        if 0 < len(tie_plan.keep) < tie.width and not tie.free:
            raise PlanError(f"tie {tie.name!r} must keep all its units ({tie.reason}), got {len(tie_plan.keep)} of {tie.width}")


def _gatherer(plan: WidthPlan, traced: Traced) -> Callable[[Units], _Gathering]:
    """Works out gatherings, each distinct sequence of units once."""
    n_units = sum(tie.width for tie in traced.net.ties)
    kept = np.ones(n_units + 1, dtype=bool)  # the last entry stands for channels of no tie, unit -1
    growing = []
    for tie_plan in plan.ties:
        start = traced.starts[tie_plan.tie]
        kept[start : start + traced.net.tie(tie_plan.tie).width] = False
        kept[start + np.array(tie_plan.keep, dtype=np.int64)] = True
        if tie_plan.grow:
            growing.append((start + tie_plan.keep[-1], tie_plan))
    known: dict[int, tuple[Units, _Gathering]] = {}

    def gather(units: Units) -> _Gathering:
        if id(units) not in known:
            known[id(units)] = (units, _gathering(units, kept, growing))
        return known[id(units)][1]

    return gather


def _gathering(units: Units, kept: npt.NDArray[np.bool_], growing: Iterable[tuple[int, TiePlan]]) -> _Gathering:
    """Kept places in order; behind each run of a growing tie's last kept unit, the run again for every new unit."""
    places = [np.flatnonzero(kept[units])]
    orders = [places[0].astype(np.float64)]
    for reference, tie_plan in growing:
        found = np.flatnonzero(units == reference)
        for run in np.split(found, np.flatnonzero(np.diff(found) > 1) + 1) if len(found) else []:
            places.append(np.tile(run, tie_plan.grow))
            orders.append(np.full(len(run) * tie_plan.grow, run[-1] + 0.5))
    order = np.argsort(np.concatenate(orders), kind="stable")
    new = np.concatenate([np.zeros(len(places[0]), dtype=bool), np.ones(sum(map(len, places[1:])), dtype=bool)])
    return _Gathering(places=np.concatenate(places)[order], new=new[order])


def _regathered(old: Tensor, sites: Iterable[Site], *, gather: Callable[[Units], _Gathering], seed: int) -> Tensor | None:
    """The tensor with its axes gathered anew; None if nothing changes."""
    gatherings = [(site, gather(site.units)) for site in sites]
    if all(_is_identity(gathering, site.units) for site, gathering in gatherings):
        return None
    new = old.detach()
    for site, gathering in gatherings:
        new = new.index_select(site.axis, torch.from_numpy(gathering.places).to(old.device))
    # Written units first: where a new unit reads another new unit, the zero of the reader stands.
    for site, gathering in sorted(gatherings, key=lambda pair: pair[0].role == "read"):
        if not gathering.grows or site.role in ("each", "scale") or (site.role == "write" and old.ndim == 1):
            continue
        at = torch.from_numpy(np.flatnonzero(gathering.new)).to(old.device)
        new = new.index_copy(site.axis, at, _fill(new.index_select(site.axis, at), old, role=site.role, seed=seed))
    if old.ndim == 4 and old.is_contiguous(memory_format=torch.channels_last) and not old.is_contiguous():
        return new.contiguous(memory_format=torch.channels_last)
    return new.contiguous()


def _fill(shaped: Tensor, old: Tensor, *, role: str, seed: int) -> Tensor:
    if role == "read":
        return torch.zeros_like(shaped)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(shaped.shape, generator=generator, dtype=torch.float32)
    deviation = old.detach().float().std() if old.numel() > 1 else old.detach().float().abs().mean()
    return (drawn.to(old.device) * deviation).to(old.dtype)


def _is_identity(gathering: _Gathering, units: Units) -> bool:
    return len(gathering.places) == len(units) and not gathering.grows


def _seed(parameter: str, plan: WidthPlan) -> int:
    text = f"{parameter} {sorted((tie.tie, tie.width) for tie in plan.ties)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "little")


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}


def _check_sites(tensors: Mapping[str, Tensor], traced: Traced) -> None:
    for site in traced.sites:
        tensor = tensors.get(site.parameter)
        if tensor is None or tensor.ndim <= site.axis or tensor.shape[site.axis] != len(site.units):
            found = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise PlanError(
                f"`traced` must be the trace of this network: {site.parameter!r} should hold {len(site.units)} "
                f"channels on axis {site.axis}, got {found}; trace it again"
            )


def _resize(model: nn.Module, sizes: Iterable[Size], gather: Callable[[Units], _Gathering]) -> None:
    for size in sizes:
        module = model.get_submodule(size.module)
        number = size.sign * len(gather(size.units).places)
        if size.index is None:
            setattr(module, size.attribute, number)
            continue
        held = getattr(module, size.attribute)
        items = list(held)
        items[size.index] = number
        setattr(module, size.attribute, type(held)(items))
