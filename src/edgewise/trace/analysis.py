"""Which channels of a recorded network belong together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from edgewise.trace.context import Choices, Context, Layout
from edgewise.trace.ledger import Channels, FromParameters, Ledger, Source, Value
from edgewise.trace.record import Record, Step
from edgewise.trace.rules import MOVES_PARAMETERS, SAME_VALUE, rule_of
from edgewise.trace.rules_layout import move_parameter
from edgewise.trace.rules_weights import convolve, linear

RETURNED = "the network returns it"
"""Why the channels of a network's outputs must stay."""
GIVEN = "it is the network's input"
"""Why the channels of a network's inputs must stay."""
MAX_SOURCES = 16
"""Where a value is computed from more parameters than this, their axes are not followed."""
Layouts = dict[tuple[int, int, int], tuple[Layout | None, ...]]
"""Layouts by operation, channel axis and number of channels."""
_WRITERS = {"linear": linear} | {f"conv{kind}{axes}d": convolve for kind in ("", "_transpose") for axes in (1, 2, 3)}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reading:
    """What an operation was found to read and write.

    Attributes:
        inputs: What was known of each of its inputs.
        outputs: What is known of each of its outputs.
        on_data: Its result depends on the network's inputs.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    on_data: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Analysis:
    """The books after a walk through all operations, and a reading of each."""

    ledger: Ledger
    readings: tuple[Reading, ...]
    network_inputs: tuple[Value, ...]


def analyse(model: nn.Module, record: Record, choices: Choices, *, layouts: Layouts) -> Analysis:
    """Walks through the operations of a run and keeps books on channels.

    Args:
        model: The network that ran.
        record: Its run.
        choices: What verification has learnt so far.
        layouts: Layouts worked out in earlier walks through the same run; filled further.

    Returns:
        The books, and what each operation reads and writes.
    """
    ledger = Ledger(modules=dict(model.named_modules()))
    values: dict[int, Value] = dict(_parameters(model))
    network_inputs = tuple(_input_value(ledger, tensor) for tensor in record.inputs)
    values.update({id(tensor): value for tensor, value in zip(record.inputs, network_inputs, strict=True)})
    data = {id(tensor) for tensor in record.inputs}
    readings = []
    for step in record.steps:
        context = Context(step=step, ledger=ledger, values=values, choices=choices, layouts=layouts)
        inputs = tuple(context.value(tensor) for tensor in step.inputs)
        on_data = any(id(tensor) in data for tensor in step.inputs)
        outputs = _judge(context, inputs, on_data=on_data)
        if step.index in choices.frozen or step.index in choices.limited:
            _restrict(context, outputs)
        values.update({id(tensor): value for tensor, value in zip(step.outputs, outputs, strict=True)})
        data.update(id(tensor) for tensor in step.outputs if on_data)
        readings.append(Reading(inputs=inputs, outputs=outputs, on_data=on_data))
    for tensor in record.outputs:
        returned = values.get(id(tensor))
        if isinstance(returned, Channels):
            ledger.freeze(returned.ids, RETURNED)
    return Analysis(ledger=ledger, readings=tuple(readings), network_inputs=network_inputs)


def _parameters(model: nn.Module) -> Mapping[int, FromParameters]:
    found: dict[int, FromParameters] = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        shape = tuple(tensor.shape)
        source = Source(parameter=name, shape=shape, axes=tuple(range(tensor.ndim)), ordered=tensor.is_contiguous())
        found.setdefault(id(tensor), FromParameters(sources=(source,)))
    return found


def _input_value(ledger: Ledger, tensor: Tensor) -> Value:
    if tensor.ndim < 2 or not tensor.is_floating_point():
        return None
    channels = Channels(axis=1, ids=ledger.fresh(tensor.shape[1]))
    ledger.freeze(channels.ids, GIVEN)
    return channels


def _judge(context: Context, inputs: tuple[Value, ...], *, on_data: bool) -> tuple[Value, ...]:
    step = context.step
    n_outputs = len(step.outputs)
    result: Value | tuple[Value, ...]
    if any(isinstance(value, Channels) for value in inputs):
        result = rule_of(context)(context)
    elif inputs and step.name in _WRITERS and not isinstance(inputs[0], FromParameters):
        result = _WRITERS[step.name](context)
    elif not on_data and any(isinstance(value, FromParameters) for value in inputs):
        result = _from_parameters(context)
    else:
        result = None
    if not isinstance(result, tuple):
        return (result,) * n_outputs
    return result if len(result) == n_outputs else (None,) * n_outputs


def _restrict(context: Context, outputs: tuple[Value, ...]) -> None:
    """Freezes or limits all channels that the operation touches, as verification asks."""
    index, ledger = context.step.index, context.ledger
    found = [context.channels(tensor) for tensor in context.step.inputs]
    touched = [value.ids for value in (*found, *outputs) if isinstance(value, Channels)]
    touched += [use.ids for use in ledger.axes if use.step == index]
    for ids in touched:
        if index in context.choices.frozen:
            ledger.freeze(ids, context.choices.frozen[index])
        else:
            ledger.limit(ids, context.choices.limited[index])


def _from_parameters(context: Context) -> Value | tuple[Value, ...]:
    """What is known of a value computed from parameters (and plain numbers) only."""
    step = context.step
    if not step.outputs:
        return ()
    if step.name in SAME_VALUE:
        return context.value(context.source)
    if step.name in MOVES_PARAMETERS and isinstance(context.value(context.source), FromParameters):
        return move_parameter(context)
    sources = tuple(_aligned(context, tensor) for tensor in step.inputs)
    found = tuple(dict.fromkeys(source for group in sources for source in group))
    if len(found) > MAX_SOURCES:
        nowhere: tuple[int | None, ...] = (None,) * step.outputs[0].ndim
        found = tuple(dict.fromkeys(replace(source, axes=nowhere, ordered=False) for source in found))
    # An alteration value by value is told too: what was zero need not be so any more.
    return FromParameters(sources=found, altered=step.where)


def _aligned(context: Context, tensor: Tensor) -> tuple[Source, ...]:
    """The sources behind one input of a computation, by the axes of its result."""
    value, out = context.value(tensor), context.step.outputs[0]
    if not isinstance(value, FromParameters):
        return ()
    if _reads_vector(context.step, tensor):
        axes = tuple(0 if place == 1 and out.shape[1] == len(tensor) else None for place in range(out.ndim))
        return tuple(replace(source, axes=axes, ordered=False) for source in value.sources)
    shift = out.ndim - tensor.ndim
    whole = tensor.shape == out.shape
    return tuple(replace(source, axes=_shifted(source, tensor, out, shift), ordered=source.ordered and whole) for source in value.sources)


def _reads_vector(step: Step, tensor: Tensor) -> bool:
    """Whether it is one of a norm's vectors, which run along the second axis."""
    return step.name in {"batch_norm", "instance_norm"} and tensor.ndim == 1


def _shifted(source: Source, tensor: Tensor, out: Tensor, shift: int) -> tuple[int | None, ...]:
    places = (place - shift for place in range(out.ndim))
    return tuple(
        source.axes[held] if 0 <= held < tensor.ndim and tensor.shape[held] == out.shape[place] else None
        for place, held in enumerate(places)
    )
