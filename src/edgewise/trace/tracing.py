"""From a module that runs to a :class:`~edgewise.ir.NetSpec` with its ties."""

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from edgewise._core.errors import SpecError, UsageError, WeightsError
from edgewise.ir import LeftAlone, NetSpec, Tie
from edgewise.ir.blocks import find_blocks
from edgewise.ir.layers import CONV_OPS
from edgewise.trace.analysis import Analysis, Layouts, analyse
from edgewise.trace.blocks import with_exact_blocks
from edgewise.trace.context import Choices
from edgewise.trace.layers import is_channels_used, make_layers, name_steps, name_ties, returned_layers
from edgewise.trace.ledger import Channels
from edgewise.trace.record import Record, run_recorded
from edgewise.trace.ties import FIXED, Grouping, group_channels
from edgewise.trace.traced import Site, Size, Traced, Units
from edgewise.trace.trials import Findings
from edgewise.trace.verify import settle


def trace(model: nn.Module, inputs: tuple[Tensor, ...], *, name: str = "", verify: bool = True) -> Traced:
    """Finds the layers of a network and the channels that belong together.

    The network runs once, as a copy in eval mode. Then, with ``verify``, trial surgery on
    copies with other weights shows whether every width that looks free is: networks whose
    code holds sizes fail there, and what fails is left alone with the reason.

    Args:
        model: Any module with convolutions; it is not changed.
        inputs: Example inputs, with a batch of one.
        name: What people call it; its class by default.
        verify: Try the surgery. Without, a network with sizes written in its code may get
            ties that surgery cannot change.

    Returns:
        The network as hardware sees it, and what :func:`apply_plan` needs.

    Raises:
        UsageError: ``model`` is no module.
        WeightsError: A weight is not a number.
        SpecError: The model cannot be copied, does not run on these inputs, or has no convolution.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"`model` must be a torch.nn.Module, got {type(model).__name__}")
    check_weights(model)
    subject = _copied(model)
    record = run_recorded(subject, inputs)
    if record.error is not None:
        raise _cannot_run(record)
    if not any(step.name in CONV_OPS for step in record.steps):
        raise SpecError(f"`model` must have a convolution, got {name or type(model).__name__} without any")
    label = name or type(model).__name__

    layouts: Layouts = {}

    def build(choices: Choices) -> Findings:
        analysis = analyse(subject, record, choices, layouts=layouts)
        return Findings(record=record, analysis=analysis, grouping=group_channels(analysis))

    def assemble(findings: Findings) -> Traced:
        return _assemble(subject, record, analysis=findings.analysis, grouping=findings.grouping, name=label)

    if not verify:
        return assemble(build(Choices()))
    return with_exact_blocks(settle(subject, build=build, assemble=assemble), subject, record)


def check_weights(model: nn.Module) -> None:
    """Checks that no weight is NaN or infinite.

    Raises:
        WeightsError: One is; the text names it.
    """
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and name.split(".")[-1] != "mask" and bool(torch.isnan(tensor).any()):
            raise WeightsError(f"weights must be numbers, got NaN in {name!r}; load other weights")


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model).eval()
    except Exception as error:  # a user's module may refuse in any way
        raise SpecError(f"`model` must allow copy.deepcopy, got {_one_line(error)}") from error


def _cannot_run(record: Record) -> SpecError:
    shapes = ", ".join("x".join(map(str, tensor.shape)) for tensor in record.inputs)
    assert record.error is not None
    return SpecError(
        f"`model` must run on inputs of shape {shapes}; it failed in {record.module or 'its own forward'} "
        f"({_one_line(record.error)}); give the shape it expects (--input)"
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _assemble(model: nn.Module, record: Record, *, analysis: Analysis, grouping: Grouping, name: str) -> Traced:
    names = name_steps(model, record, analysis)
    tie_names = name_ties([names[group.step][0] for group in grouping.groups])
    layers = make_layers(model, record, analysis=analysis, grouping=grouping, names=names, tie_names=tie_names)
    sites = _sites(analysis, grouping)
    ties = []
    for tie_name, group, start in zip(tie_names, grouping.groups, grouping.starts[:-1], strict=True):
        writers = tuple(layer.name for layer in layers if layer.priced and tie_name in layer.out_dim.ties)
        reason = group.frozen or group.limited or (_side_by_side(sites, int(start)) if group.width == 1 else "")
        ties.append(Tie(name=tie_name, width=group.width, writers=writers, free=not group.frozen, growable=not reason, reason=reason))
    outputs = returned_layers(record, names, layers)
    net = NetSpec(
        name=name,
        input_shapes=tuple(tuple(tensor.shape) for tensor in record.inputs),
        layers=layers,
        ties=tuple(ties),
        outputs=outputs,
        blocks=find_blocks(layers, writers={tie.name: tie.writers for tie in ties}, outputs=outputs),
        left_alone=_left_alone(record, analysis, names=names, grouping=grouping, ties=ties),
    )
    starts = {tie.name: int(start) for tie, start in zip(ties, grouping.starts[:-1], strict=True)}
    return Traced(net=net, sites=sites, sizes=_sizes(analysis, grouping), starts=starts)


def _side_by_side(sites: Iterable[Site], unit: int) -> str:
    """Why a tie of one unit cannot grow; empty where it can. Places side by side may be one run, as of a flattened map, or parts of two."""
    twice = any(bool(((site.units[1:] == unit) & (site.units[:-1] == unit)).any()) for site in sites)
    return "its only unit stands at places side by side, of which new units may belong behind each or behind all" if twice else ""


def _left_alone(
    record: Record, analysis: Analysis, *, names: Mapping[int, tuple[str, ...]], grouping: Grouping, ties: list[Tie]
) -> tuple[LeftAlone, ...]:
    """Layers with weights none of whose output channels can go, or be added to."""
    found: dict[str, str] = {}
    for step, reading in zip(record.steps, analysis.readings, strict=True):
        if not names[step.index] or not is_channels_used(step, reading):
            continue
        value = reading.outputs[0]
        own = _ties_of(grouping.units(value.ids), grouping, ties) if isinstance(value, Channels) else []
        if any(tie.free and tie.growable for tie in own):
            continue
        shrinkable = [tie for tie in own if tie.free]
        reason = f"can shrink, not grow: {shrinkable[0].reason}" if shrinkable else own[0].reason if own else "its width is fixed"
        found.setdefault(names[step.index][0], reason)
    return tuple(LeftAlone(name=name, reason=reason) for name, reason in found.items())


def _ties_of(units: Units, grouping: Grouping, ties: list[Tie]) -> list[Tie]:
    places = np.unique(np.searchsorted(grouping.starts, units[units != FIXED], side="right") - 1)
    return [ties[place] for place in places.tolist()]


def _sites(analysis: Analysis, grouping: Grouping) -> tuple[Site, ...]:
    """Every axis that holds channels of a tie, each once; equal sequences of units share one array."""
    shared: dict[bytes, Units] = {}
    found: dict[tuple[str, int], Site] = {}
    for use in analysis.ledger.axes:
        units = grouping.units(use.ids)
        if (use.parameter, use.axis) not in found and bool((units != FIXED).any()):
            units = shared.setdefault(units.tobytes(), units)
            found[(use.parameter, use.axis)] = Site(parameter=use.parameter, axis=use.axis, role=use.role, units=units)
    return tuple(found.values())


def _sizes(analysis: Analysis, grouping: Grouping) -> tuple[Size, ...]:
    found: dict[tuple[str, str, int | None], Size] = {}
    for size in analysis.ledger.sizes:
        units = grouping.units(size.ids)
        if bool((units != FIXED).any()):
            key = (size.module, size.attribute, size.index)
            found.setdefault(key, Size(module=size.module, attribute=size.attribute, index=size.index, sign=size.sign, units=units))
    return tuple(found.values())
