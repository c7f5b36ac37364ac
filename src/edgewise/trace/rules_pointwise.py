"""What operations on single values, reductions and spatial operations do with channels."""

from torch import Tensor

from edgewise.trace.context import Context
from edgewise.trace.ledger import Channels, FromParameters, Ids, Value


def keep(context: Context) -> Value:
    """The result has the channels of the first input."""
    return context.value(context.source)


def combine(context: Context) -> Value:
    """Values of several tensors meet place by place, with broadcasting: their channels join."""
    out = context.step.outputs[0]
    found = [(tensor, context.channels(tensor)) for tensor in context.step.inputs]
    placed = [(tensor, ids, channels.axis + out.ndim - tensor.ndim) for tensor, channels in found if channels for ids in (channels.ids,)]
    axes = {axis for _, ids, axis in placed if len(ids) == out.shape[axis]}
    if len(axes) != 1:
        return _undecided(context, placed, out)
    axis = axes.pop()
    main = next(ids for _, ids, place in placed if place == axis and len(ids) == out.shape[axis])
    for _, ids, place in placed:
        if place == axis and len(ids) == len(main):
            context.ledger.join(main, ids)
        else:
            context.ledger.freeze(ids, f"broadcast by {context.step.where}")
    for tensor, channels in found:
        if channels is None:
            _meet_constant(context, tensor, axis - (out.ndim - tensor.ndim), main)
    return Channels(axis=axis, ids=main)


def _undecided(context: Context, placed: list[tuple[Tensor, Ids, int]], out: Tensor) -> Value:
    for _, ids, _ in placed:
        context.ledger.freeze(ids, f"broadcast by {context.step.where}")
    return None


def _meet_constant(context: Context, tensor: Tensor, axis: int, ids: Ids) -> None:
    """A tensor without channels of its own either has one value for all channels, or must follow them."""
    if axis < 0 or tensor.shape[axis] == 1 or len(ids) == 1:
        value = context.value(tensor)
        if axis >= 0 and len(ids) == 1 and isinstance(value, FromParameters):
            context.ledger.freeze(ids, f"combined with a parameter by {context.step.where}")
        return
    value = context.value(tensor)
    if isinstance(value, FromParameters):
        context.ledger.attach(value, axis, ids=ids, role="each", step=context.step.index)
    else:
        context.ledger.freeze(ids, f"combined with a tensor of fixed width by {context.step.where}")


def gate_halves(context: Context) -> Value:
    """A gated linear unit: one half of the channels scales the other."""
    channels = context.channels(context.source)
    if channels is None:
        return None
    axis = int(context.argument("dim", -1)) % context.source.ndim
    if axis != channels.axis:
        return channels
    return Channels(axis=axis, ids=context.ledger.join_rows(channels.ids.reshape(2, -1)))


def prelu(context: Context) -> Value:
    """A leaky ReLU with a slope for each channel, or one for all."""
    channels = context.channels(context.source)
    slope = context.tensor("weight")
    if channels is None or slope is None or slope.numel() == 1:
        return channels
    context.attach("weight", 0, ids=channels.ids, role="each")
    context.ledger.size(context.step.module, "num_parameters", channels.ids)
    return channels


def normalise_along(context: Context) -> Value:
    """Softmax and running sums keep the shape but mix along one axis."""
    channels = context.channels(context.source)
    if channels is not None and int(context.argument("dim", -1)) % context.source.ndim == channels.axis:
        context.ledger.limit(channels.ids, f"read across channels by {context.step.where}")
    return channels


def reduce(context: Context) -> Value:
    """A mean, sum, maximum or norm over some axes."""
    tensor = context.source
    channels = context.channels(tensor)
    if channels is None:
        return None
    dims = context.step.arguments.get("dim")
    axes = set(range(tensor.ndim)) if dims is None or dims == [] else {int(axis) % tensor.ndim for axis in _listed(dims)}
    if channels.axis in axes:
        context.ledger.limit(channels.ids, f"read across channels by {context.step.where}")
        return None
    lost = 0 if context.argument("keepdim", False) else len([axis for axis in axes if axis < channels.axis])
    return Channels(axis=channels.axis - lost, ids=channels.ids)


def spatial(context: Context) -> Value:
    """Pooling, resizing and the like: every channel by itself."""
    tensor, out = context.source, context.step.outputs[0]
    channels = context.channels(tensor)
    if channels is None:
        return None
    if out.ndim != tensor.ndim or out.shape[channels.axis] != len(channels.ids) or channels.axis > 1:
        context.ledger.freeze(channels.ids, f"{context.step.where} reads them as positions")
        return None
    return channels


def unknown(context: Context) -> Value:
    """An operation without a rule: what it reads must stay."""
    context.freeze_all(f"read by {context.step.where}")
    return None


def _listed(dims: int | list[int] | tuple[int, ...]) -> list[int]:
    return [dims] if isinstance(dims, int) else list(dims)
