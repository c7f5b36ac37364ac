"""What operations that only move values do with channels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from edgewise.trace.context import Context, Layout
from edgewise.trace.ledger import Channels, FromParameters, Ids, Source, Value


def move(context: Context) -> tuple[Value, ...]:
    """Permute, slice, expand and the like, worked out by moving places of channels themselves."""
    channels = context.channels(context.source)
    if channels is None:
        return (None,)
    values = tuple(_single_axis(layout, channels) for layout in _layouts(context, channels))
    if None in values or not values:
        context.freeze_all(f"read by {context.step.where}")
    return values or (None,)


def move_elsewhere(context: Context) -> tuple[Value, ...]:
    """Like :func:`move`, but only for axes other than the channels', which must stay otherwise."""
    channels = context.channels(context.source)
    if channels is None:
        return (None,)
    results = move(context)
    for result in results:
        if not isinstance(result, Channels) or not np.array_equal(result.ids, channels.ids):
            context.ledger.freeze(channels.ids, f"read by {context.step.where}")
            return (None,) * len(results)
    return results


def slice_axis(context: Context) -> tuple[Value, ...]:
    """A range of one axis; a range of channels may be counted by the module."""
    channels = context.channels(context.source)
    if channels is None or int(context.argument("dim", 0)) % context.source.ndim != channels.axis:
        return move(context)
    results = move(context)
    if results[0] is not None and context.step.index in context.choices.edited and isinstance(results[0], Channels):
        start = int(context.argument("start", 0)) % len(channels.ids)
        edit_sizes(context, [channels.ids[:start], channels.ids[: start + len(results[0].ids)], results[0].ids])
    return results


def split(context: Context) -> tuple[Value, ...]:
    """Pieces of one axis; equal pieces of channels join, so that pieces stay equal."""
    channels = context.channels(context.source)
    n_pieces = len(context.step.outputs)
    if channels is None:
        return (None,) * n_pieces
    axis = int(context.argument("dim", 0)) % context.source.ndim
    if axis != channels.axis:
        return (channels,) * n_pieces
    sizes = [piece.shape[axis] for piece in context.step.outputs]
    if context.step.index not in context.choices.unedited and context.step.name != "chunk":
        pieces = list(np.split(channels.ids, np.cumsum(sizes)[:-1]))
        if edit_sizes(context, pieces) and context.step.name == "split_with_sizes":
            return tuple(Channels(axis=axis, ids=ids) for ids in pieces)
    if len(set(sizes)) == 1:
        context.ledger.join_rows(channels.ids.reshape(n_pieces, -1))
    elif context.step.name == "split" or context.step.name == "chunk":
        context.ledger.freeze(channels.ids, f"split into unequal parts by {context.step.where}")
    pieces = list(np.split(channels.ids, np.cumsum(sizes)[:-1]))
    return tuple(Channels(axis=axis, ids=ids) for ids in pieces)


def unbind(context: Context) -> tuple[Value, ...]:
    """One tensor for each place of an axis."""
    channels = context.channels(context.source)
    axis = int(context.argument("dim", 0)) % context.source.ndim
    if channels is None or axis == channels.axis:
        context.freeze_all(f"read by {context.step.where}")
        return (None,) * len(context.step.outputs)
    shift = 1 if axis < channels.axis else 0
    return (Channels(axis=channels.axis - shift, ids=channels.ids),) * len(context.step.outputs)


def concatenate(context: Context) -> Value:
    """Tensors behind each other; along another axis than the channels' these join."""
    out = context.step.outputs[0]
    dim = int(context.argument("dim", 0))
    tensors = [tensor for tensor in context.step.inputs if tensor.ndim == out.ndim]
    if dim % out.ndim not in {channels.axis for tensor in tensors if (channels := context.channels(tensor))}:
        return _join_along(context, tensors, [context.channels(tensor) for tensor in tensors])
    axis = dim % out.ndim
    parts = []
    for tensor in tensors:
        channels = context.channels(tensor)
        if channels is not None and channels.axis == axis:
            parts.append(channels.ids)
            continue
        if channels is not None:
            context.ledger.freeze(channels.ids, f"read by {context.step.where}")
        parts.append(context.ledger.fresh(tensor.shape[axis]))
        context.ledger.freeze(parts[-1], f"a tensor of fixed width stands beside it in {context.step.where}")
    result = Channels(axis=axis, ids=np.concatenate(parts))
    if context.step.index in context.choices.edited:
        edit_sizes(context, [result.ids])
    return result


def stack(context: Context) -> Value:
    """Tensors along a new axis: their channels join."""
    out = context.step.outputs[0]
    axis = int(context.argument("dim", 0)) % out.ndim
    joined = _join_along(context, list(context.step.inputs), [context.channels(tensor) for tensor in context.step.inputs])
    if not isinstance(joined, Channels):
        return None
    return Channels(axis=joined.axis + (1 if axis <= joined.axis else 0), ids=joined.ids)


def _join_along(context: Context, tensors: Sequence[Tensor], found: Sequence[Channels | None]) -> Value:
    main = next(channels for channels in found if channels is not None)
    for tensor, channels in zip(tensors, found, strict=True):
        if channels is not None and channels.axis == main.axis and len(channels.ids) == len(main.ids):
            context.ledger.join(main.ids, channels.ids)
        elif channels is not None:
            context.ledger.freeze(channels.ids, f"read by {context.step.where}")
            context.ledger.freeze(main.ids, f"read by {context.step.where}")
        elif tensor.shape[main.axis] > 1:
            context.ledger.attach(context.value(tensor), main.axis, ids=main.ids, role="each", step=context.step.index)
    return main


def reshape(context: Context) -> Value:
    """Another shape; where it splits the channel axis, one of the two parts repeats the other."""
    channels = context.channels(context.source)
    if channels is None:
        return None
    layouts = _layouts(context, channels)
    layout = layouts[0] if layouts else None
    result = _join_parts(context, layout, channels) if layout is not None else None
    if result is None:
        context.ledger.freeze(channels.ids, f"read by {context.step.where}")
    elif context.step.index in context.choices.edited:
        edit_sizes(context, [result.ids, channels.ids])
    return result


def _join_parts(context: Context, layout: Layout, channels: Channels) -> Channels:
    """Joins channels so that only one of the axes that a reshape made distinguishes them."""
    if len(layout.axes) == 1:
        return Channels(axis=layout.axes[0], ids=channels.ids[layout.places])
    kept = 0 if context.step.index in context.choices.trailing else len(layout.axes) - 1
    table = np.moveaxis(channels.ids[layout.places], kept, -1)
    return Channels(axis=layout.axes[kept], ids=context.ledger.join_rows(table.reshape(-1, table.shape[-1])))


def shuffle_pixels(context: Context) -> Value:
    """Channels become positions, ``r * r`` of them for each that is left."""
    channels = context.channels(context.source)
    if channels is None:
        return None
    factor = int(context.argument("upscale_factor", 1)) ** 2
    return Channels(axis=channels.axis, ids=context.ledger.join_rows(channels.ids.reshape(-1, factor).T))


def unshuffle_pixels(context: Context) -> Value:
    """Positions become channels, ``r * r`` for each that was there."""
    channels = context.channels(context.source)
    if channels is None:
        return None
    return Channels(axis=channels.axis, ids=np.repeat(channels.ids, int(context.argument("downscale_factor", 1)) ** 2))


def shuffle_channels(context: Context) -> Value:
    """Channels of all groups interleaved."""
    channels = context.channels(context.source)
    if channels is None:
        return None
    groups = int(context.argument("groups", 1))
    return Channels(axis=channels.axis, ids=np.repeat(context.ledger.join_rows(channels.ids.reshape(groups, -1)), groups))


def unfold_windows(context: Context) -> Value:
    """Windows laid out as columns: every channel once for each place in the window."""
    channels = context.channels(context.source)
    if channels is None:
        return None
    repeated = np.repeat(channels.ids, context.step.outputs[0].shape[-2] // len(channels.ids))
    return Channels(axis=context.step.outputs[0].ndim - 2, ids=repeated)


def pad(context: Context) -> Value:
    """Padding; of channels, it adds channels that are always zero, or drops some."""
    tensor = context.source
    channels = context.channels(tensor)
    amounts = list(context.argument("pad", context.argument("padding", [])))
    if channels is None:
        return None
    place = 2 * (tensor.ndim - 1 - channels.axis)
    before, after = amounts[place : place + 2] if place + 1 < len(amounts) else (0, 0)
    if before == 0 and after == 0:
        return channels
    ids = channels.ids
    front = context.ledger.fresh(before) if before > 0 else ids[: -before or 0]
    back = context.ledger.fresh(after) if after > 0 else ids[len(ids) + after :]
    _name_padding(context, (front, back), (before, after))
    kept = ids[max(0, -before) : len(ids) - max(0, -after)]
    parts = [front if before > 0 else front[:0], kept, back if after > 0 else back[:0]]
    return Channels(axis=channels.axis, ids=np.concatenate(parts))


def _name_padding(context: Context, parts: tuple[Ids, Ids], amounts: tuple[int, int]) -> None:
    module = context.ledger.modules[context.step.module]
    names = getattr(type(module), "channel_padding_attributes", None)
    for place, (ids, amount) in enumerate(zip(parts, amounts, strict=True)):
        if amount and names is None:
            context.ledger.freeze(ids, f"number of padded channels written in code ({context.step.where})")
        elif amount and names is not None:
            context.ledger.size(context.step.module, names[place], ids, sign=1 if amount > 0 else -1)


def edit_sizes(context: Context, candidates: Sequence[Ids]) -> bool:
    """Lets surgery edit the module's own numbers that equal a candidate's length; says whether there are any."""
    module = context.ledger.modules.get(context.step.module)
    if module is None:
        return False
    found = len(context.ledger.sizes)
    for attribute, held in vars(module).items():
        items = list(enumerate(held)) if isinstance(held, tuple | list) else [(None, held)]
        if isinstance(held, tuple | list) and [ids.size for ids in candidates] != list(held):
            continue
        for index, number in items:
            matching = [ids for place, ids in enumerate(candidates) if len(ids) == number and index in (None, place)]
            if isinstance(number, int) and not isinstance(number, bool) and matching and not attribute.startswith("_"):
                context.ledger.size(context.step.module, attribute, matching[0], index=index)
    return len(context.ledger.sizes) > found


def _single_axis(layout: Layout | None, channels: Channels) -> Channels | None:
    if layout is None or len(layout.axes) != 1:
        return None
    return Channels(axis=layout.axes[0], ids=channels.ids[layout.places])


def _layouts(context: Context, channels: Channels) -> tuple[Layout | None, ...]:
    """Where the operation puts the channels of its first input, for each result; nothing if it refuses."""
    key = (context.step.index, channels.axis, len(channels.ids))
    if key not in context.layouts:
        context.layouts[key] = tuple(_layout(moved) for moved in _run_on_places(context, channels))
    return context.layouts[key]


def _run_on_places(context: Context, channels: Channels) -> list[Tensor]:
    """The operation's results on an array of the input's shape that holds the place of every value's channel."""
    source = context.source
    shape = [-1 if axis == channels.axis else 1 for axis in range(source.ndim)]
    places = torch.arange(len(channels.ids)).view(shape).expand(source.shape)
    if context.step.name in ("view", "flatten"):
        return [places.reshape(context.step.outputs[0].shape)]
    arguments = {name: tree_map(lambda held: places if held is source else held, value) for name, value in context.step.arguments.items()}
    try:
        result = context.step.function(**arguments)
    except (RuntimeError, TypeError, NotImplementedError):
        return []
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def _layout(moved: Tensor) -> Layout | None:
    """The compact form of an array of places; None where there is no telling the axis of a single channel."""
    if not moved.numel():
        return None
    axes = [axis for axis in range(moved.ndim) if moved.shape[axis] > 1 and bool((moved != moved.narrow(axis, 0, 1)).any())]
    if not axes:  # there is one channel: its axis is the first of size one behind the batch
        axes = [axis for axis in range(1, moved.ndim) if moved.shape[axis] == 1][:1]
    if not axes:
        return None
    corner = moved[tuple(slice(None) if axis in axes else 0 for axis in range(moved.ndim))]
    return Layout(axes=tuple(axes), places=corner.contiguous().numpy())


def move_parameter(context: Context) -> Value:
    """A parameter in another shape: which of its axes run where."""
    parameters = context.parameters()
    out = context.step.outputs[0]
    tensor = context.source
    sources = tuple(_moved(context, source, tensor, out) for source in parameters[0].sources)
    return FromParameters(sources=sources, altered=parameters[0].altered)


def _moved(context: Context, source: Source, tensor: Tensor, out: Tensor) -> Source:
    name = context.step.name
    if source.ordered and tuple(out.shape) == source.shape:
        return replace(source, axes=tuple(range(out.ndim)))
    if name in {"view", "flatten", "squeeze", "unsqueeze", "expand", "expand_as"}:
        return replace(source, axes=_regrouped(source.axes, tensor.shape, out.shape))
    if name in {"permute", "transpose", "t", "movedim", "numpy_T"}:
        places = torch.arange(tensor.ndim)
        order = _permutation(context, places.tolist(), tensor.ndim)
        return replace(source, axes=tuple(source.axes[place] for place in order), ordered=False)
    return replace(source, axes=(None,) * out.ndim, ordered=False)


def _permutation(context: Context, places: list[int], n_axes: int) -> list[int]:
    name = context.step.name
    if name == "permute":
        return [int(axis) % n_axes for axis in context.argument("dims")]
    if name == "transpose":
        first, second = int(context.argument("dim0")) % n_axes, int(context.argument("dim1")) % n_axes
        places[first], places[second] = places[second], places[first]
        return places
    if name == "movedim":
        probe = torch.empty([axis + 2 for axis in range(n_axes)], device="meta")
        moved = torch.movedim(probe, context.argument("source"), context.argument("destination"))
        return [size - 2 for size in moved.shape]
    return places[::-1]


def _regrouped(axes: Sequence[int | None], old: Sequence[int], new: Sequence[int]) -> tuple[int | None, ...]:
    """Which old axis each new axis is: those of equal size with as many values behind them."""
    behind_old = {(size, _product(old[place + 1 :])): axes[place] for place, size in enumerate(old) if size > 1}
    if _product(old) != _product(new):
        shift = len(new) - len(old)
        return tuple(axes[place - shift] if place >= shift and old[place - shift] == size else None for place, size in enumerate(new))
    return tuple(behind_old.get((size, _product(new[place + 1 :]))) if size > 1 else None for place, size in enumerate(new))


def _product(sizes: Sequence[int]) -> int:
    return int(np.prod(sizes, dtype=np.int64)) if len(sizes) else 1
