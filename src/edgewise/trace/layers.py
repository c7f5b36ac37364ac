"""From recorded operations to the layers of a :class:`~edgewise.ir.NetSpec`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from edgewise.ir import Dim, LayerSpec
from edgewise.ir.layers import CONV_OPS, PRICED_OPS, Scalar
from edgewise.trace.analysis import Analysis, Reading
from edgewise.trace.ledger import Channels, FromParameters, Value, owner_of
from edgewise.trace.record import Record, Step
from edgewise.trace.rules import SAME_VALUE
from edgewise.trace.rules_weights import repeats_of
from edgewise.trace.ties import Grouping, dimension

_SPATIAL_ARGUMENTS = ("kernel_size", "stride", "padding", "dilation")
_NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"})
_MERGED = frozenset({"matmul", "mm", "addmm"})


@dataclass(kw_only=True, slots=True)
class _Naming:
    """Names given so far, and the layer that made each tensor."""

    taken: set[str] = field(default_factory=set)
    made_by: dict[int, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)

    def unique(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        self.taken.add(name)
        return name


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Scene:
    """Everything that layers are made from."""

    model: nn.Module
    analysis: Analysis
    grouping: Grouping
    tie_names: Sequence[str]
    numbers: Mapping[str, int]
    naming: _Naming

    @property
    def widths(self) -> dict[str, int]:
        return {tie: group.width for tie, group in zip(self.tie_names, self.grouping.groups, strict=True)}

    def dim(self, value: Value, shape: Sequence[int]) -> Dim:
        if isinstance(value, Channels):
            units = self.grouping.units(value.ids)
            return dimension(units, starts=self.grouping.starts, names=self.tie_names)
        return Dim(fixed=shape[_fixed_axis(shape)] if len(shape) > 1 else 0)


def name_ties(names: Sequence[str]) -> tuple[str, ...]:
    """Names of ties from those of their first writers; a second tie of one writer gets a number.

    Example:
        >>> name_ties(["conv1", "conv2", "conv1"])
        ('conv1', 'conv2', 'conv1:2')
    """
    counts: dict[str, int] = {}
    named = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        named.append(name if counts[name] == 1 else f"{name}:{counts[name]}")
    return tuple(named)


def name_steps(model: nn.Module, record: Record, analysis: Analysis) -> dict[int, tuple[str, ...]]:
    """Names of the layers that each operation becomes: one for each of its results, none if it does no work."""
    naming = _Naming()
    for place in range(len(record.inputs)):
        naming.unique("input" if place == 0 else f"input_{place + 1}")
    leaves = {name for name, module in model.named_modules() if next(module.children(), None) is None}
    names: dict[int, tuple[str, ...]] = {}
    for step, reading in zip(record.steps, analysis.readings, strict=True):
        if _is_dropped(step, reading):
            names[step.index] = ()
            continue
        owner = _weight_owner(step, reading)
        own = step.module if step.module in leaves and step.module else f"{step.module}.{step.name}".lstrip(".")
        names[step.index] = tuple(naming.unique(owner or own) for _ in step.outputs)
    return names


def make_layers(
    model: nn.Module,
    record: Record,
    *,
    analysis: Analysis,
    grouping: Grouping,
    names: Mapping[int, tuple[str, ...]],
    tie_names: Sequence[str],
) -> tuple[LayerSpec, ...]:
    """All layers in running order, the inputs first."""
    numbers = {name: tensor.numel() for name, tensor in model.named_parameters()}
    naming = _Naming()
    scene = _Scene(model=model, analysis=analysis, grouping=grouping, tie_names=tie_names, numbers=numbers, naming=naming)
    layers = []
    for place, (tensor, value) in enumerate(zip(record.inputs, analysis.network_inputs, strict=True)):
        layers.append(_input_layer(scene, tensor, value, "input" if place == 0 else f"input_{place + 1}"))
        naming.made_by[id(tensor)] = layers[-1].name
    for step, reading in zip(record.steps, analysis.readings, strict=True):
        given = names[step.index]
        if not given:
            source = next((naming.made_by[id(tensor)] for tensor in step.inputs if id(tensor) in naming.made_by), None)
            naming.made_by.update({id(tensor): source for tensor in step.outputs if source is not None})
            continue
        readers = tuple(naming.made_by[id(tensor)] for tensor in step.inputs if id(tensor) in naming.made_by)
        for piece, name in enumerate(given):
            layers.append(_layer(scene, step, reading=reading, piece=piece, name=name, readers=readers))
            naming.made_by[id(step.outputs[piece])] = name
    return tuple(layers)


def returned_layers(record: Record, names: Mapping[int, tuple[str, ...]], layers: Iterable[LayerSpec]) -> tuple[str, ...]:
    """Names of the layers whose results the network returns."""
    made_by: dict[int, str] = {id(tensor): "input" if place == 0 else f"input_{place + 1}" for place, tensor in enumerate(record.inputs)}
    for step in record.steps:
        given = names[step.index]
        source = next((made_by[id(tensor)] for tensor in step.inputs if id(tensor) in made_by), None)
        for place, tensor in enumerate(step.outputs):
            name = given[place] if given else source
            if name is not None:
                made_by[id(tensor)] = name
    known = {layer.name for layer in layers}
    found = [made_by[id(tensor)] for tensor in record.outputs if id(tensor) in made_by]
    return tuple(dict.fromkeys(name for name in found if name in known))


def is_channels_used(step: Step, reading: Reading) -> bool:
    """Whether the operation has a weight that makes channels: a convolution, a linear layer or a product with a parameter."""
    return _op_of(step, reading) in PRICED_OPS


def _op_of(step: Step, reading: Reading) -> str:
    if step.name in _MERGED and any(isinstance(value, FromParameters) for value in reading.inputs):
        return "linear"
    return step.name


def _is_dropped(step: Step, reading: Reading) -> bool:
    """Operations that do no work, or prepare parameters and constants."""
    return step.name in SAME_VALUE or not step.outputs or (not reading.on_data and _op_of(step, reading) not in PRICED_OPS)


def _weight_owner(step: Step, reading: Reading) -> str:
    """Path of the module that owns the operation's weight, if it has one of its own."""
    if step.name not in _NORMS and _op_of(step, reading) not in PRICED_OPS:
        return ""
    held = step.arguments.get("weight")
    for tensor, value in zip(step.inputs, reading.inputs, strict=True):
        if isinstance(value, FromParameters) and (held is None or tensor is held):
            return owner_of(value.sources[0].parameter)
    return ""


def _input_layer(scene: _Scene, tensor: Tensor, value: Value, name: str) -> LayerSpec:
    dim = scene.dim(value, tensor.shape)
    # What the network adds to its input shares a tie with it.
    width = dim.width(scene.widths)
    return LayerSpec(name=name, op="input", out_dim=dim, in_channels=0, out_channels=width, out_hw=_positions(tensor, value))


def _layer(scene: _Scene, step: Step, *, reading: Reading, piece: int, name: str, readers: tuple[str, ...]) -> LayerSpec:
    op = _op_of(step, reading)
    place = next((place for place, value in enumerate(reading.inputs) if not isinstance(value, FromParameters)), 0)
    source = step.inputs[place] if step.inputs else None
    read = _along_last(op, source, reading.inputs[place]) if source is not None else None
    out = step.outputs[piece]
    written = _along_last(op, out, reading.outputs[piece])
    out_dim = scene.dim(written, _shape(op, out))
    in_dim = out_dim if op == "cat" else Dim() if source is None else scene.dim(read, _shape(op, source))
    widths = scene.widths
    spatial = {name: _spatial(step, name, step.arguments.get("weight")) for name in _SPATIAL_ARGUMENTS}
    groups = int(step.arguments.get("groups", 1)) if op in CONV_OPS else 1
    in_channels, out_channels = in_dim.width(widths), out_dim.width(widths)
    weights = _Parameters() if piece else _Parameters.of(scene, step, reading=reading, name=name, op=op)
    return LayerSpec(
        name=name,
        op=op,
        inputs=readers,
        in_dim=in_dim,
        out_dim=out_dim,
        in_channels=in_channels,
        out_channels=out_channels,
        in_hw=_positions(source, read) if source is not None else (),
        out_hw=_positions(out, written),
        kernel=spatial["kernel_size"],
        stride=spatial["stride"],
        padding=spatial["padding"],
        dilation=spatial["dilation"],
        groups=groups,
        depthwise=op in CONV_OPS and groups > 1 and groups == in_channels,
        bias=weights.bias,
        parameters_per_channel=weights.per_channel,
        fixed_parameters=weights.fixed,
        repeats=repeats_of(source) if op == "linear" and source is not None else 1,
        shares=weights.shares,
        attributes=_attributes(step, piece, reading),
    )


def _along_last(op: str, tensor: Tensor, value: Value) -> Value:
    """What is known of a tensor's channels; a linear layer's are those of the last axis, whatever it carries along."""
    return None if op == "linear" and isinstance(value, Channels) and value.axis != tensor.ndim - 1 else value


def _shape(op: str, tensor: Tensor) -> tuple[int, ...]:
    return (1, tensor.shape[-1]) if op == "linear" else tuple(tensor.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parameters:
    """How many learnt values a layer has, each parameter counted at its first use."""

    bias: bool = False
    per_channel: int = 0
    fixed: int = 0
    shares: str | None = None

    @staticmethod
    def of(scene: _Scene, step: Step, *, reading: Reading, name: str, op: str) -> "_Parameters":
        naming = scene.naming
        weight = step.arguments.get("weight", step.arguments.get("mat2", step.arguments.get("other")))
        bias, per_channel, fixed, shares = False, 0, 0, None
        out = step.outputs[0]
        width = out.shape[-1 if op == "linear" else _axis(out, reading.outputs[0])] if out.ndim else 1
        for tensor, value in zip(step.inputs, reading.inputs, strict=True):
            for source in value.sources if isinstance(value, FromParameters) else ():
                if source.parameter not in scene.numbers:
                    continue
                count = scene.numbers[source.parameter]
                if op in PRICED_OPS and tensor is weight and count == tensor.numel():
                    shares = naming.weights.setdefault(source.parameter, name)
                elif (
                    op in PRICED_OPS and tensor is step.arguments.get("bias") and count == width and source.parameter not in naming.counted
                ):
                    bias = True
                elif source.parameter not in naming.counted:
                    follows = count % width == 0 and any(
                        use.parameter == source.parameter and use.step == step.index for use in scene.analysis.ledger.axes
                    )
                    per_channel += count // width if follows else 0
                    fixed += 0 if follows else count
                naming.counted.add(source.parameter)
        return _Parameters(bias=bias, per_channel=per_channel, fixed=fixed, shares=None if shares == name else shares)


def _axis(tensor: Tensor, value: Value) -> int:
    return value.axis if isinstance(value, Channels) else _fixed_axis(tensor.shape)


def _fixed_axis(shape: Sequence[int]) -> int:
    return 1 if len(shape) in (2, 4, 5) else max(0, len(shape) - 1)


def _positions(tensor: Tensor, value: Value) -> tuple[int, ...]:
    """The sizes of all axes but batch and channels."""
    axis = _axis(tensor, value)
    return tuple(size for place, size in enumerate(tensor.shape) if place not in (0, axis))


def _spatial(step: Step, name: str, weight: Tensor | None) -> tuple[int, ...]:
    if name == "kernel_size" and isinstance(weight, Tensor) and step.name in CONV_OPS:
        return tuple(weight.shape[2:])
    held = step.arguments.get(name)
    axes = len(weight.shape) - 2 if isinstance(weight, Tensor) and step.name in CONV_OPS else 2
    if held == "same" and isinstance(weight, Tensor):
        dilation = _spatial(step, "dilation", weight)
        return tuple((size - 1) * factor // 2 for size, factor in zip(weight.shape[2:], dilation, strict=True))
    if held == "valid":
        return (0,) * axes
    if name == "stride" and held == []:
        return _spatial(step, "kernel_size", weight)
    if isinstance(held, int) and not isinstance(held, bool):
        return (held,) * axes
    if isinstance(held, list | tuple):
        return tuple(int(size) for size in held) * (axes if len(held) == 1 else 1)
    return ()


def _attributes(step: Step, piece: int, reading: Reading) -> tuple[tuple[str, Scalar], ...]:
    """All other constants of the operation, lists as text; further results of one operation tell which they are."""
    found: dict[str, Scalar] = {}
    for name, held in step.arguments.items():
        if name in (*_SPATIAL_ARGUMENTS, "groups", "training", "cudnn_enabled", "memory_format"):
            continue
        scalar = _scalar(held)
        if scalar is not None:
            found[name] = scalar
    if len(step.outputs) > 1:
        found["piece"] = piece
    value = reading.outputs[piece]
    if isinstance(value, Channels) and value.axis != 1:
        found["channel_axis"] = value.axis
    return tuple(sorted(found.items()))


def _scalar(held: Any) -> Scalar | None:  # noqa: ANN401 - any argument of an operation
    if isinstance(held, bool | int | float | str):
        return held
    if isinstance(held, list | tuple) and held and all(isinstance(item, bool | int | float) for item in held):
        return ",".join(str(item) for item in held)
    return None
