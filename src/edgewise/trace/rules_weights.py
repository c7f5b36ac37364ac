"""What convolutions, linear layers, norms and products do with channels."""

import math

import numpy as np
from torch import Tensor

from edgewise.trace.context import Context
from edgewise.trace.ledger import Channels, FromParameters, Ids, Value, owner_of


def convolve(context: Context) -> Value:
    """A convolution of any kind: new channels, or those it reads where it is depthwise."""
    tensor, weight = context.tensor("input"), context.tensor("weight")
    if tensor is None or weight is None or not isinstance(context.value(weight), FromParameters):
        context.freeze_all(f"its weight is no parameter ({context.step.where})")
        return None
    transposed = context.step.name.startswith("conv_transpose")
    axis = tensor.ndim - weight.ndim + 1
    groups = int(context.argument("groups", 1))
    n_in = tensor.shape[axis]
    n_out = weight.shape[1] * groups if transposed else weight.shape[0]
    read = _channels_at(context, tensor, axis)
    if groups > 1 and groups == n_in and weight.shape[1 if not transposed else 0] in (1, n_in) and n_out % n_in == 0:
        written = _depthwise(context, read, n_out, transposed=transposed)
    else:
        written = _grouped(context, read, n_out, groups=groups, transposed=transposed)
    if written is None:
        return None
    _name_sizes(context, weight, (("in_channels", read), ("out_channels", written)))
    return Channels(axis=axis, ids=written)


def _depthwise(context: Context, read: Ids | None, n_out: int, *, transposed: bool) -> Ids | None:
    weight = context.tensor("weight")
    if read is None or weight is None:
        return None
    written = np.repeat(read, n_out // len(read))
    context.attach("weight", 0, ids=read if transposed else written, role="each")
    context.attach("bias", 0, ids=written, role="each")
    _name_sizes(context, weight, (("groups", read),))
    return written


def _grouped(context: Context, read: Ids | None, n_out: int, *, groups: int, transposed: bool) -> Ids:
    ledger = context.ledger
    written = np.tile(ledger.fresh(n_out // groups), groups)
    if read is not None:
        first = ledger.join_rows(read.reshape(groups, -1))
        in_axis = 0 if transposed else 1
        context.attach("weight", in_axis, ids=np.tile(first, groups) if transposed else first, role="read")
    out_ids = written[: n_out // groups] if transposed else written
    context.attach("weight", 1 if transposed else 0, ids=out_ids, role="write")
    context.attach("bias", 0, ids=written, role="write")
    return written


def linear(context: Context) -> Value:
    """A linear layer over the last axis; channels on another axis stay: they say how often it runs."""
    tensor, weight = context.tensor("input"), context.tensor("weight")
    if tensor is None or weight is None or not isinstance(context.value(weight), FromParameters):
        context.freeze_all(f"its weight is no parameter ({context.step.where})")
        return None
    channels = context.channels(tensor)
    if channels is not None and channels.axis != tensor.ndim - 1:
        context.ledger.freeze(channels.ids, f"{context.step.where} runs once for each of them")
        return channels
    written = context.ledger.fresh(weight.shape[0])
    if channels is not None:
        context.attach("weight", 1, ids=channels.ids, role="read")
    context.attach("weight", 0, ids=written, role="write")
    context.attach("bias", 0, ids=written, role="write")
    _name_sizes(context, weight, (("in_features", channels.ids if channels else None), ("out_features", written)))
    return Channels(axis=tensor.ndim - 1, ids=written)


def multiply_matrices(context: Context) -> Value:
    """A product of two tensors: a weight's acts like a linear layer, otherwise what is summed over must stay."""
    left, right = context.step.inputs[-2:]
    weight = context.value(right)
    channels = context.channels(left)
    if isinstance(weight, FromParameters) and right.ndim == 2 and (channels is None or channels.axis == left.ndim - 1):
        written = context.ledger.fresh(right.shape[1])
        if channels is not None:
            context.ledger.attach(weight, 0, ids=channels.ids, role="read", step=context.step.index)
        context.ledger.attach(weight, 1, ids=written, role="write", step=context.step.index)
        if len(context.step.inputs) == 3:
            bias = context.step.inputs[0]
            context.ledger.attach(context.value(bias), bias.ndim - 1, ids=written, role="write", step=context.step.index)
        return Channels(axis=left.ndim - 1, ids=written)
    if len(context.step.inputs) != 2 or left.ndim < 2 or right.ndim < 2:
        context.freeze_all(f"read by {context.step.where}")
        return None
    return _product(context, left, right)


def _product(context: Context, left: Tensor, right: Tensor) -> Value:
    """Channels on an axis that is not summed over pass through; the others must stay."""
    n_axes = context.step.outputs[0].ndim
    passing: list[Channels] = []
    for tensor, summed in ((left, tensor_axis(left, -1)), (right, tensor_axis(right, -2))):
        channels = context.channels(tensor)
        if channels is None:
            continue
        if channels.axis == summed:
            context.ledger.freeze(channels.ids, f"read by {context.step.where}")
        else:
            passing.append(Channels(axis=channels.axis + n_axes - tensor.ndim, ids=channels.ids))
    if len(passing) == 1 and context.step.outputs[0].shape[passing[0].axis] == len(passing[0].ids):
        return passing[0]
    for channels in passing:
        context.ledger.freeze(channels.ids, f"read by {context.step.where}")
    return None


def tensor_axis(tensor: Tensor, axis: int) -> int:
    """The axis counted from the front."""
    return axis % tensor.ndim


def attend(context: Context) -> Value:
    """Attention mixes channels of queries and keys in a way that no width can change."""
    context.freeze_all(f"read by {context.step.where}")
    return None


def normalise_batch(context: Context) -> Value:
    """Batch and instance norm treat every channel by itself."""
    tensor = context.source
    channels = context.channels(tensor)
    if channels is None:
        return None
    if channels.axis != 1:
        context.ledger.freeze(channels.ids, f"{context.step.where} normalises another axis")
        return channels
    scale = "scale" if context.step.name == "batch_norm" else "each"
    context.attach("weight", 0, ids=channels.ids, role="scale" if scale == "scale" else "each")
    for name in ("bias", "running_mean", "running_var"):
        context.attach(name, 0, ids=channels.ids, role="each")
    for name in ("weight", "running_mean"):
        held = context.tensor(name)
        if held is not None:
            _name_sizes(context, held, (("num_features", channels.ids),))
    return channels


def normalise_groups(context: Context) -> Value:
    """Group norm averages over channels: they can go as long as groups stay alike."""
    channels = context.channels(context.source)
    if channels is None:
        return None
    if channels.axis != 1:
        context.ledger.freeze(channels.ids, f"{context.step.where} normalises another axis")
        return channels
    groups = int(context.argument("num_groups", context.argument("group", 1)))
    context.ledger.join_rows(channels.ids.reshape(groups, -1))
    context.ledger.limit(channels.ids, f"{context.step.where} normalises across channels")
    for name in ("weight", "bias"):
        context.attach(name, 0, ids=channels.ids, role="each")
    context.ledger.size(context.step.module, "num_channels", channels.ids)
    return channels


def normalise_layer(context: Context) -> Value:
    """Layer and RMS norm average over channels: they can go, none may be added."""
    tensor = context.source
    channels = context.channels(tensor)
    if channels is None:
        return None
    shape = context.argument("normalized_shape", ())
    place = channels.axis - (tensor.ndim - len(shape))
    if place < 0:
        return channels
    context.ledger.limit(channels.ids, f"{context.step.where} normalises across channels")
    for name in ("weight", "bias"):
        context.attach(name, place, ids=channels.ids, role="each")
    context.ledger.size(context.step.module, "normalized_shape", channels.ids, index=place)
    return channels


def _channels_at(context: Context, tensor: Tensor, axis: int) -> Ids | None:
    channels = context.channels(tensor)
    if channels is None:
        return None
    if channels.axis != axis:
        context.ledger.freeze(channels.ids, f"{context.step.where} reads them as positions")
        return None
    return channels.ids


def _name_sizes(context: Context, weight: Tensor, sizes: tuple[tuple[str, Ids | None], ...]) -> None:
    value = context.value(weight)
    if not isinstance(value, FromParameters):
        return
    for owner in {owner_of(source.parameter) for source in value.sources}:
        for attribute, ids in sizes:
            if ids is not None:
                context.ledger.size(owner, attribute, ids)


def repeats_of(tensor: Tensor) -> int:
    """How many positions a linear layer is applied to, over the last axis."""
    return math.prod(tensor.shape[:-1])
